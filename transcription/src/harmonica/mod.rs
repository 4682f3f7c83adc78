//! Harmonica (arXiv 2609.04640): one pitched instrument at a time, five sizes from 20 thousand to 15 million weights, with velocities.
//! Native port of the reproduction package `harmonica-amt` 0.3.0, in float32 (the package itself rounds to bfloat16).
//!
//! `resample` and `constant_q` make a log spectrum of the whole recording, streaming; `segments` cuts it into overlapping chunks;
//! `reference` (libtorch, any device) or `cpu` (our own code) makes three maps of each; `decoding` finds the notes.

pub mod config;
pub mod constant_q;
pub mod cpu;
pub mod decoding;
mod network;
pub mod reference;
pub mod resample;
pub mod segments;
mod song;

pub use config::{Options, Size};
pub use network::{Chunk, ChunkMaps, Harmonica, Loaded, Setup, own_model, own_model_for};
pub use segments::Chunks;
pub use song::HarmonicaSong;

/// The name of the family; alone it means [`config::DEFAULT_SIZE`].
pub const FAMILY: &str = "harmonica";

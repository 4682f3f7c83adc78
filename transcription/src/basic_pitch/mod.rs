//! Basic Pitch (ICASSP 2022, "nmp"): any instrument, 16.7 thousand weights. Native port of the package `basic-pitch` 0.4.0.
//!
//! `segments` cuts windows, `model` makes three maps of each: on the CPU in `host` (with `constant_q`), in libtorch for a GPU in
//! `on_device` (with `front_end`). `maps` lays the windows' maps end to end, `onsets`, `decoding` and `bends` find the notes. The package's quirks are kept in parity mode and mended otherwise; each place says so.

pub mod analysis;
pub mod bends;
pub mod config;
mod constant_q;
pub mod decoding;
mod front_end;
mod host;
pub mod maps;
mod model;
mod network;
mod on_device;
mod onsets;
mod segments;
mod song;

pub use config::Options;
pub use model::Model;
pub use network::BasicPitch;
pub use segments::{Window, Windows};
pub use song::{BasicPitchSong, notes_of};

/// The name that users write.
pub const NAME: &str = "basic-pitch";

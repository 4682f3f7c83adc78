//! Transkun 2.0 (Yan and Duan, ISMIR 2024): piano, with velocities and both pedals. Native port of the package `transkun` 2.0.1, in float32.
//!
//! `segments` cuts a recording into overlapping windows of sixteen seconds; `reference` (libtorch, any device) or `cpu` (our own code)
//! scores every interval of every key and pedal in one; `semi_crf` chooses among them, exactly; `attributes` says what the chosen ones
//! sound like; `stitching` joins the windows' events.

mod attributes;
pub mod config;
mod cost;
mod cpu;
mod network;
pub mod reference;
mod segments;
pub mod semi_crf;
mod song;
pub mod stitching;

pub use crate::cpu::Isa;
pub use attributes::{Attributes, Candidates, Track};
pub use config::{Options, Shape};
pub use cpu::Model;
pub use network::{Setup, Transkun, own_model};
pub use segments::{Cut, Segment};
pub use song::TranskunSong;

pub const NAME: &str = "transkun";

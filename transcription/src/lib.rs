//! Networks and their note decoding: a recording in, notes out. They run in libtorch, Basic Pitch on a CPU in kernels of our own.
//!
//! The walk of a song: `audio::Recording` -> [`network::Segments`] (lazy, bounded look-ahead) -> the engine's feed ->
//! [`network::Network::run`] on the thread that owns the device -> outputs in song order -> [`network::Song::notes`] -> notes.
//!
//! The only crate that names `tch`. It knows nothing of HTTP, Redis, databases or clusters.

pub mod basic_pitch;
mod cpu;
pub mod device;
pub mod engine;
mod error;
mod guard;
pub mod harmonica;
mod midi;
pub mod mt3;
pub mod network;
pub mod precision;
pub mod registry;
mod shim;
pub mod stages;
pub mod transkun;

pub use cpu::peak::multiply_adds_a_second;
pub use device::DeviceChoice;
pub use engine::{
    CancelHandle, Engine, EngineConfig, Faults, Finished, SongEvent, SongRequest as Song, Stage,
    Submission,
};
pub use error::Error;
pub use midi::midi;
pub use precision::Precision;
pub use shim::Autocast;

/// Every network that this build knows, by the name that users write.
pub const MODELS: &[&str] = &[
    basic_pitch::NAME,
    "harmonica:nano",
    "harmonica:small",
    "harmonica:medium",
    "harmonica:large",
    "harmonica:x-large",
    transkun::NAME,
    mt3::NAME,
];

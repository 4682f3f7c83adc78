//! MT3 (Gardner et al., ICLR 2022): any number of instruments at once, as a stream of events that a transformer writes for each two
//! seconds of sound.
//!
//! `segments` cuts a recording; `front_end` makes log-mel frames of a segment on the device; `model` is encoder and decoder, one step
//! at a time; `batch` keeps rows of any songs in flight and `network` shows them to the engine; `events` and `notes` turn tokens into
//! notes. Two profiles: `magenta`, the authors' inference, and `seed`, that of a PyTorch port with a front end of its own.
//!
//! It knows nothing of where weights come from but a file of bytes (`weights`).

pub mod batch;
mod cache;
pub mod config;
mod cost;
pub mod events;
mod file;
pub mod front_end;
pub mod instruments;
mod linear;
pub mod mel;
pub mod model;
mod network;
pub mod notes;
pub mod options;
pub mod resample;
pub mod segments;
mod song;
pub mod weights;

pub use config::{Profile, Shape};
pub use network::{Mt3, Setup, set_threads};
pub use options::Options;
pub use segments::{Passage, Passages, Rules};
pub use song::{Mt3Song, Spoken};
pub use weights::Weights;

/// The name that users write.
pub const NAME: &str = "mt3";

//! Notes and what they are written as: notes JSON, CSV, MIDI, piano rolls.
//! Knows nothing of audio, networks, queues or HTTP: everything here can be rendered again from notes JSON alone.

pub mod csv;
mod error;
pub mod midi;
mod note;
pub mod roll;
mod transcript;

pub use error::Error;
pub use note::{Bends, Note, Pedal, PedalKind};
pub use transcript::Transcript;

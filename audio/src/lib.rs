//! Recordings in, samples out: what a file is (`probe`), its decoded blocks (`Recording`), mono (`downmix`) and another rate (`Resampler`).
//! Knows nothing of networks, notes, queues or HTTP.

mod downmix;
mod ebml;
mod edits;
mod error;
mod frames;
mod guard;
mod limits;
mod open;
mod packets;
mod probe;
mod recording;
mod resample;
mod riff;
mod sniff;
mod source;
mod tags;
mod warning;

pub use downmix::downmix;
pub use error::Error;
pub use limits::Limits;
pub use probe::{Probe, probe};
pub use recording::{Block, Recording};
pub use resample::Resampler;
pub use source::Source;
pub use warning::Warning;

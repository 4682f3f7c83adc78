//! Standard MIDI files from notes, and a look at one from elsewhere.

use crate::{Error, Transcript};

/// How notes become a MIDI file.
#[derive(Clone, Debug, PartialEq)]
pub struct MidiOptions {
    /// Only the header's tempo: times are never stretched by it.
    pub tempo_bpm: f64,
    pub bends: BendPolicy,
    /// Bytes and quirks of the Basic Pitch package instead of ours.
    pub parity: bool,
    /// Provenance, as a text meta event.
    pub text: Option<String>,
}

impl Default for MidiOptions {
    fn default() -> Self {
        MidiOptions { tempo_bpm: 120.0, bends: BendPolicy::default(), parity: false, text: None }
    }
}

/// What happens to pitch bends, which MIDI knows per channel only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BendPolicy {
    /// Bends are left out.
    None,
    /// Kept where a note sounds alone, dropped from notes that overlap.
    #[default]
    Monophonic,
    /// One track and channel per pitch (`multiple_pitch_bends`).
    PerPitch,
}

/// What a MIDI file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct MidiSummary {
    pub notes: usize,
    pub tracks: usize,
    pub seconds: f64,
}

pub fn write(_transcript: &Transcript, _options: &MidiOptions) -> Vec<u8> {
    todo!()
}

/// Parses a MIDI file that others made; bounded.
pub fn check(_bytes: &[u8]) -> Result<MidiSummary, Error> {
    todo!()
}

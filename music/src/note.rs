//! The note and the pedal: times in seconds from the start of the recording.

use serde::{Deserialize, Serialize};

/// One sounding note.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub onset: f64,
    pub offset: f64,
    pub pitch: u8,
    pub velocity: u8,
    pub program: u8,
    pub is_drum: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bends: Option<Bends>,
}

/// Pitch bends spread evenly from a note's onset to its offset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bends {
    /// What a value of 1 means, in cents.
    pub unit_cents: f64,
    pub values: Vec<i32>,
}

/// A pedal held from onset to offset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pedal {
    pub kind: PedalKind,
    pub onset: f64,
    pub offset: f64,
    pub value: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PedalKind {
    Sustain,
    Soft,
}

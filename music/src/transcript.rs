//! Notes JSON: the one result from which everything else is rendered.

use serde::{Deserialize, Serialize};

use crate::{Error, Note, Pedal};

/// All notes of a recording, and where they come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    pub schema: u32,
    pub provenance: serde_json::Value,
    pub notes: Vec<Note>,
    pub pedals: Vec<Pedal>,
}

impl Transcript {
    /// Schema 1 with nothing in it but its provenance (an object).
    pub fn new(provenance: serde_json::Value) -> Self {
        Transcript { schema: 1, provenance, notes: Vec::new(), pedals: Vec::new() }
    }

    pub fn to_json(&self) -> Result<String, Error> {
        todo!()
    }

    pub fn from_json(_json: &str) -> Result<Self, Error> {
        todo!()
    }
}

//! The bodies that travel inside a task. The one place where API and worker agree; the scripts never look inside.
//!
//! Unknown fields are ignored on read and missing ones have defaults, so that two versions can run side by side.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the worker is asked to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskPayload {
    pub filename: String,
    pub media_type: String,
    pub bytes: u64,
    pub sha256: String,
    pub model: String,
    pub options: Map<String, Value>,
    /// Limit on the decoded length; 0 = none.
    pub max_seconds: u64,
    /// The text itself where it was not one of ours (a task of the seed's era); never written.
    #[serde(skip)]
    pub raw: Option<String>,
}

impl TaskPayload {
    /// Never fails: what is not ours becomes the default payload with the text kept in `raw`.
    pub fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self {
            raw: Some(text.to_owned()),
            ..Self::default()
        })
    }
}

/// How far the current attempt is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// decode, inference, notes or store.
    pub stage: String,
    pub current: u64,
    pub total: u64,
}

impl Progress {
    /// 0 to 1; 0 while the total is unknown.
    pub fn fraction(&self) -> f64 {
        if self.total == 0 {
            0.0
        } else {
            (self.current as f64 / self.total as f64).clamp(0.0, 1.0)
        }
    }
}

/// Why an attempt failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskError {
    /// Stable, for programs: `audio_undecodable`.
    pub code: String,
    /// decode input model oom_gpu storage internal timeout cancelled poison model_unavailable.
    pub kind: String,
    /// For people.
    pub message: String,
}

/// Where the result lies and how it came about; the result itself never enters Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResultPointer {
    pub notes: u64,
    pub midi_sha256: String,
    pub notes_sha256: String,
    pub midi_bytes: u64,
    pub notes_bytes: u64,
    pub audio_ms: u64,
    pub busy_ms: u64,
    pub wall_ms: u64,
    pub device: String,
    pub model: String,
    pub model_digest: String,
    pub warnings: Vec<String>,
    /// `sha256(token)[..16]`: part of the names of the stored files.
    pub fingerprint: String,
}

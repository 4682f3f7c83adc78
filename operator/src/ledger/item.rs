//! What goes over the wire. Fields that are not known here are stepped over, so that the API may be newer.

use std::collections::BTreeMap;

use crds::{OptionValue, Source};
use serde::{Deserialize, Serialize};

/// A transcription that is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub source: Source,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<BTreeMap<String, OptionValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    pub priority: i32,
    pub limits: Limits,
    /// `release/namespace`.
    pub origin: String,
    /// From the start; later it has a call of its own.
    #[serde(default)]
    pub suspended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    pub backoff_limit: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<i32>,
    pub queue_deadline_seconds: i32,
    pub ttl_seconds_after_finished: i32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    #[default]
    Created,
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
}

impl State {
    pub fn is_final(self) -> bool {
        matches!(
            self,
            State::Succeeded | State::Failed | State::Cancelled | State::Expired
        )
    }
}

/// A transcription as the API has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Item {
    pub id: String,
    pub origin: String,
    /// Number of its last change.
    pub seq: u64,
    pub state: State,
    pub suspended: bool,
    pub model: Option<String>,
    pub queue: Option<String>,
    pub audio_ms: Option<i64>,
    pub sample_rate: Option<i32>,
    pub channels: Option<i32>,
    pub attempt: Option<i32>,
    pub created_at_ms: Option<i64>,
    pub queued_at_ms: Option<i64>,
    pub started_at_ms: Option<i64>,
    pub finished_at_ms: Option<i64>,
    /// How long the result is kept for its job after the end; an older API does not say.
    pub ttl_seconds: Option<i64>,
    pub error: Option<Problem>,
    pub result: Option<Outcome>,
    pub progress: Option<Progress>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub code: String,
    pub kind: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    pub url: Option<String>,
    pub sha256: String,
    pub notes: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    pub stage: String,
    pub current: u64,
    pub total: u64,
}

/// Changes in the order in which they happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    pub items: Vec<Item>,
    /// Where to go on.
    pub next: u64,
}

/// Why a transcription is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    Cancelled,
    Deadline,
    QueueDeadline,
}

impl Cancel {
    pub fn as_str(self) -> &'static str {
        match self {
            Cancel::Cancelled => "cancelled",
            Cancel::Deadline => "deadline",
            Cancel::QueueDeadline => "queue_deadline",
        }
    }
}

//! What the worker asks of a network, and what it gets back. The seam at which tests put a scripted engine: it says
//! nothing about tensors, Redis or HTTP.

use std::fs::File;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::Control;

/// Turns recordings into notes. Called from as many threads as the worker has slots.
pub trait Transcriber: Send + Sync + 'static {
    /// Models that this worker announces.
    fn models(&self) -> Vec<String>;

    /// False once the device is beyond repair: the worker then gives back what it holds and ends.
    fn healthy(&self) -> bool {
        true
    }

    /// Runs one recording to its end; blocking. It reports every measured step to `control` and looks at
    /// `control.cancelled()` at least a few times a second. A panic counts as one attempt's failure.
    fn transcribe(&self, song: Song, control: &Control) -> Result<Finished, Failure>;
}

/// A recording and what was asked of it.
#[derive(Debug)]
pub struct Song {
    pub audio: File,
    /// Of the user's file name: a hint for the decoder, nothing more.
    pub extension: Option<String>,
    pub model: String,
    pub options: Map<String, Value>,
    /// The limit of decoded seconds; `None` = no limit.
    pub max_seconds: Option<f64>,
}

/// The notes and how they came to be.
#[derive(Clone, Debug)]
pub struct Finished {
    pub transcript: music::Transcript,
    pub audio_seconds: f64,
    /// This song's share of the time that the device was busy.
    pub busy: Duration,
    /// Its share of the time in which its network ran.
    pub device_time: Duration,
    pub warnings: Vec<String>,
    pub model_digest: String,
    pub device: String,
}

/// Why an attempt has no notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Stable word for programs, such as `audio_undecodable`.
    pub code: String,
    /// One of the queue's kinds: decode, input, model, oom_gpu, storage, internal, model_unavailable.
    pub kind: String,
    pub message: String,
    /// Whether another run could do better.
    pub retryable: bool,
    /// Nothing will run on this device again until the process is a new one.
    pub poisons_device: bool,
}

impl Failure {
    /// A failure of the worker itself, worth another run.
    pub(crate) fn internal(code: &str, message: impl Into<String>) -> Self {
        Failure::ours(code, "internal", message.into())
    }

    /// A failure to get the audio in or the result out, worth another run.
    pub(crate) fn storage(code: &str, message: impl Into<String>) -> Self {
        Failure::ours(code, "storage", message.into())
    }

    fn ours(code: &str, kind: &str, message: String) -> Self {
        Failure {
            code: code.into(),
            kind: kind.into(),
            message,
            retryable: true,
            poisons_device: false,
        }
    }
}

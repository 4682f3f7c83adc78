//! Why notes or a MIDI file were refused.

/// Why notes or a MIDI file were refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the notes JSON is not valid: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the notes JSON is not valid: {0}")]
    Invalid(String),
    #[error("the MIDI file is not valid: {0}")]
    Midi(String),
}

//! Why a recording could not be read, in words for its owner and in a stable code for machines.

/// Why a recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the recording holds no sound: {0}")]
    Empty(String),
    #[error("this is not a recording that can be decoded: {0}")]
    Undecodable(String),
    #[error("the codec is not supported: {0}; convert the file to FLAC, WAV or MP3")]
    Unsupported(String),
    #[error("the recording is longer than the limit of {limit_seconds} s")]
    TooLong { limit_seconds: f64 },
    #[error("the recording could not be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("the recording is outside the limits: {0}")]
    Limits(String),
}

impl Error {
    /// The stable code that API, rows and clients show.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Empty(_) => "audio_empty",
            Error::Undecodable(_) => "audio_undecodable",
            Error::Unsupported(_) => "codec_unsupported",
            Error::TooLong { .. } => "audio_too_long",
            Error::Unreadable(_) => "audio_unreadable",
            Error::Limits(_) => "audio_limits",
        }
    }
}

//! What an operator asked for: kept with the row as JSON, compared with a repeated request, and read again by whoever fetches
//! the source or enqueues the task. No SQL here, and no checks: those are the route's.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Never changes after the row is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub source: Source,
    /// As given; none = the default, then.
    pub model: Option<String>,
    /// As given, in the custom resource's names.
    pub options: Map<String, Value>,
    pub queue: Option<String>,
    pub priority: i64,
    /// Errors beyond the first run.
    pub backoff_limit: u32,
    pub run_limit_seconds: Option<u64>,
    pub queue_limit_seconds: Option<u64>,
}

/// Where the recording comes from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// May hold a signature in its query: never logged, never shown.
    Url(String),
    /// A key of the object store.
    Object(String),
    /// The id of another row.
    Transcription(String),
}

impl Source {
    /// The word for it in the job object.
    pub fn kind(&self) -> &'static str {
        match self {
            Source::Url(_) => "url",
            Source::Object(_) => "object",
            Source::Transcription(_) => "transcription",
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Url(_) => formatter.write_str("Url(***)"),
            Source::Object(key) => write!(formatter, "Object({key:?})"),
            Source::Transcription(id) => write!(formatter, "Transcription({id})"),
        }
    }
}

/// The part of a row that only rows of operators have.
#[derive(Debug, Clone, PartialEq)]
pub struct Operated {
    /// `release/namespace`.
    pub origin: String,
    /// Number of the last change.
    pub seq: u64,
    pub asked: Asked,
    pub suspended: bool,
    /// How long the result must be kept after the end, however short the retention.
    pub ttl_ms: Option<u64>,
    /// When it must have been started.
    pub queue_deadline_ms: Option<u64>,
    /// When it must have ended; known once it runs.
    pub run_deadline_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_stored_and_never_printed() {
        let source = Source::Url("https://example.org/a.wav?signature=secret".to_owned());
        assert!(!format!("{source:?}").contains("secret"));
        let stored = serde_json::to_string(&source).unwrap();
        assert_eq!(
            stored,
            r#"{"url":"https://example.org/a.wav?signature=secret"}"#
        );
        assert_eq!(serde_json::from_str::<Source>(&stored).unwrap(), source);
    }
}

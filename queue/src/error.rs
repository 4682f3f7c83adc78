//! What can go wrong between the caller and Redis, in classes that a caller can act on.
//!
//! A transition that the protocol itself refuses (fenced, unknown, already final) is an answer, never an error.

/// Everything that a call of this crate may return instead of an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Redis could not be reached, did not answer in time or is not ready. A script may or may not have run: repeat the
    /// same call (same nonce or token) until there is an answer.
    #[error(
        "Redis is unavailable: {0}; check that it runs at the configured URL, then repeat the call"
    )]
    Unavailable(#[source] redis::RedisError),
    /// Redis answered that it does not take writes (out of memory, disk trouble). Nothing was done.
    #[error("Redis refuses writes: {0}; free its memory or disk, then repeat the call")]
    Refused(#[source] redis::RedisError),
    /// The URL cannot be used.
    #[error(
        "Redis URL cannot be used: {0}; expected redis://, rediss:// or unix:// (redis+unix://)"
    )]
    Url(#[source] redis::RedisError),
    /// The server would lose tasks by design.
    #[error(
        "Redis runs with maxmemory-policy {policy}, which may evict tasks; set maxmemory-policy to noeviction"
    )]
    Evicting { policy: String },
    /// Any other error that Redis answered.
    #[error("Redis answered an error: {0}")]
    Redis(#[source] redis::RedisError),
    /// An answer that this version of the crate does not understand.
    #[error("unexpected answer of {script}: {answer}; do all processes run the same version?")]
    Protocol {
        script: &'static str,
        answer: String,
    },
    /// A value that may not enter the queue.
    #[error("{what} {value:?} is not valid: {rule}")]
    Invalid {
        what: &'static str,
        value: String,
        rule: &'static str,
    },
    /// A body that is larger than the queue carries.
    #[error(
        "{what} has {bytes} bytes, at most {limit} fit into the queue; keep the data elsewhere and enqueue its name"
    )]
    TooLarge {
        what: &'static str,
        bytes: usize,
        limit: usize,
    },
}

impl Error {
    /// Lost connection, time-out, loading, read-only replica: repeat the same call later.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Error::Unavailable(_))
    }

    /// Redis is up and refuses writes (OOM, MISCONF).
    pub fn is_refused(&self) -> bool {
        matches!(self, Error::Refused(_))
    }
}

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        use redis::{ErrorKind, ServerErrorKind};
        // Before 7.0 an error inside a script hides its code in the text.
        let text = error.to_string();
        let hidden = |code: &str| text.contains(&format!("-{code} "));
        match error.code() {
            Some("OOM" | "MISCONF" | "NOREPLICAS") => return Error::Refused(error),
            _ if hidden("OOM") || hidden("MISCONF") || hidden("NOREPLICAS") => {
                return Error::Refused(error);
            }
            Some("LOADING" | "READONLY" | "MASTERDOWN" | "TRYAGAIN" | "BUSY" | "CLUSTERDOWN") => {
                return Error::Unavailable(error);
            }
            _ => {}
        }
        match error.kind() {
            ErrorKind::InvalidClientConfig => Error::Url(error),
            // The connection ended in the middle of a reply: the server has acted, and nobody knows how.
            ErrorKind::Parse => Error::Unavailable(error),
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly,
            ) => Error::Unavailable(error),
            _ if error.is_timeout()
                || error.is_connection_dropped()
                || error.is_connection_refusal()
                || error.is_io_error() =>
            {
                Error::Unavailable(error)
            }
            _ => Error::Redis(error),
        }
    }
}

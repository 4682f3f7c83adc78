//! The wall between the decoders and us: their panics become errors, and their errors get our words.

use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::errors::Error as Theirs;

use crate::Error;

/// A panic in a decoder on damaged data.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs `work`; what it was called on must not be used again after a panic.
pub(crate) fn guard<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

impl From<Panicked> for Error {
    fn from(Panicked: Panicked) -> Error {
        Error::Undecodable("the decoder gave up on damaged data".to_owned())
    }
}

/// What an error means where no sample came of it. The source's own failures are told apart before (`Failure`).
pub(crate) fn at_start(error: Theirs) -> Error {
    match error {
        Theirs::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Error::Undecodable("the file ends within its header".to_owned()),
        Theirs::Unsupported(what) if what.contains("(probe)") => Error::Undecodable("no known audio format was found in it".to_owned()),
        Theirs::Unsupported(what) if what.contains("missing") || what.contains("not a") || what.contains("required") => Error::Undecodable(what.to_owned()),
        Theirs::Unsupported("aac: aac too complex" | "common (mp4a): program config element") => Error::Unsupported("AAC other than plain AAC-LC in mono or stereo (this one is HE-AAC or has more channels)".to_owned()),
        Theirs::Unsupported(what) => Error::Unsupported(what.to_owned()),
        Theirs::DecodeError(what) | Theirs::LimitError(what) => Error::Undecodable(what.to_owned()),
        other => Error::Undecodable(other.to_string()),
    }
}

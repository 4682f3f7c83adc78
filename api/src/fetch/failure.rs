//! Why a source was not fetched, and whether trying again may help. What is said of it is for the one who asked: the host may be
//! named, the rest of the address may hold a signature and never is.

use queue::TaskError;

use super::address::Refusal;
use crate::error::{ApiError, Code};

#[derive(Debug)]
pub(super) enum Failure {
    /// Trying again would give the same.
    Final(TaskError),
    /// The other side may be better later; so often, then it is final.
    Again(TaskError),
    /// We cannot, now: the object store or the database is away. Not the source's fault, and never final.
    Away(String),
    /// Somebody else fetches it by now, or it is over.
    Lost,
}

pub(super) fn error(code: &str, message: impl Into<String>) -> TaskError {
    let kind = match code {
        "audio_undecodable" | "codec_unsupported" => "decode",
        "internal" => "internal",
        _ => "input",
    };
    TaskError {
        code: code.to_owned(),
        kind: kind.to_owned(),
        message: message.into().chars().take(500).collect(),
    }
}

impl Failure {
    pub(super) fn last(code: &str, message: impl Into<String>) -> Self {
        Failure::Final(error(code, message))
    }

    pub(super) fn again(code: &str, message: impl Into<String>) -> Self {
        Failure::Again(error(code, message))
    }

    /// What an answer of another server means for its source. `None`: here it comes.
    pub(super) fn of_status(status: u16, host: &str) -> Option<Self> {
        match status {
            200 => None,
            404 | 410 => Some(Self::last(
                "source_not_found",
                format!("{host} has nothing at this address ({status})"),
            )),
            408 | 425 | 429 | 500..=599 => Some(Self::again(
                "source_unreachable",
                format!("{host} answered {status}"),
            )),
            401 | 403 => Some(Self::last(
                "source_refused",
                format!(
                    "{host} does not let us have it ({status}); is a signature missing or over?"
                ),
            )),
            _ => Some(Self::last(
                "source_refused",
                format!("{host} answered {status} instead of 200"),
            )),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::last(code_of(&refusal).as_str(), refusal.to_string())
    }
}

/// The code of an address that is not gone to.
pub(crate) fn code_of(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Invalid(_) => Code::SourceInvalid,
        Refusal::Forbidden(_) => Code::SourceForbiddenAddress,
    }
}

impl From<crate::objects::Error> for Failure {
    fn from(error: crate::objects::Error) -> Self {
        Failure::Away(crate::error::causes(&error))
    }
}

impl From<crate::db::Error> for Failure {
    fn from(error: crate::db::Error) -> Self {
        Failure::Away(error.to_string())
    }
}

/// What a look at the stored recording said.
impl From<ApiError> for Failure {
    fn from(found: ApiError) -> Self {
        match found.code.status().as_u16() {
            503 | 507 => Failure::Away(found.to_string()),
            500..=599 => Failure::Again(error("internal", "the recording could not be looked at")),
            _ => Failure::Final(error(found.code.as_str(), found.detail)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_servers_are_final_or_worth_another_try() {
        let code = |status| match Failure::of_status(status, "example.org") {
            None => ("", false),
            Some(Failure::Final(error)) => (Box::leak(error.code.into_boxed_str()) as &str, false),
            Some(Failure::Again(error)) => (Box::leak(error.code.into_boxed_str()) as &str, true),
            other => panic!("{other:?}"),
        };
        assert_eq!(code(200), ("", false));
        assert_eq!(code(404), ("source_not_found", false));
        assert_eq!(code(410), ("source_not_found", false));
        assert_eq!(code(403), ("source_refused", false));
        assert_eq!(code(204), ("source_refused", false));
        assert_eq!(code(206), ("source_refused", false));
        assert_eq!(code(503), ("source_unreachable", true));
        assert_eq!(code(429), ("source_unreachable", true));
    }
}

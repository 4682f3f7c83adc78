//! What can go wrong with a command, in words for the person who typed it: the failure on one line, what to do about it
//! on the next, and the exit code that goes with it.

use std::process::ExitCode;

use serde::Deserialize;

use crate::ui;

/// Something failed.
pub(crate) const FAILED: u8 = 1;
/// The command line was wrong.
pub(crate) const USAGE: u8 = 2;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Problem(Problem),
    #[error("cannot reach {server}: {reason}")]
    Unreachable { server: String, reason: String },
    #[error("{server} answered {status} with something that is not an answer of this service")]
    NotOurs { server: String, status: u16 },
    #[error("{0}")]
    Usage(String),
}

/// An RFC 9457 problem document; also the shape of a transcription's own `error`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    pub(crate) title: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<String>,
    /// What a stored task error calls its detail.
    pub(crate) message: Option<String>,
    /// Which part of the request was wrong.
    pub(crate) errors: Vec<FieldError>,
    /// From the header of the answer, never from the body.
    #[serde(skip)]
    pub(crate) retry_after_seconds: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FieldError {
    pub(crate) pointer: String,
    pub(crate) detail: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let detail = self.detail.as_ref().or(self.message.as_ref());
        match (&self.title, detail) {
            (Some(title), Some(detail)) if title != detail => write!(f, "{title}: {detail}")?,
            (Some(words), _) | (None, Some(words)) => write!(f, "{words}")?,
            (None, None) => write!(f, "failed without saying why")?,
        }
        for error in &self.errors {
            if detail.is_none_or(|detail| !detail.contains(&error.detail)) {
                write!(f, "; {}: {}", error.pointer, error.detail)?;
            }
        }
        match &self.code {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

impl Failure {
    /// What the reader can do now, where that is known.
    fn hint(&self) -> Option<String> {
        match self {
            Failure::Unreachable { .. } => {
                Some("`wtt up` starts a server on this machine; --server URL (or WTT_SERVER) names another".into())
            }
            Failure::NotOurs { .. } => Some("is --server (or WTT_SERVER) the address of a wtt server?".into()),
            Failure::Usage(_) => Some("`wtt COMMAND --help` explains the flags".into()),
            Failure::Problem(problem) => problem.hint(),
        }
    }
}

impl Problem {
    fn hint(&self) -> Option<String> {
        let known = match self.code.as_deref().unwrap_or_default() {
            "audio_undecodable" | "codec_unsupported" => {
                "`ffmpeg -i IN OUT.wav` turns most recordings into one that can be read"
            }
            "audio_empty" => "the file holds no sound; was it saved completely?",
            "not_ready" => "`wtt watch ID` follows it until it is done",
            "model_unknown" | "model_unavailable" => {
                "GET /api/v1/models of the server lists what it has"
            }
            _ => "",
        };
        if !known.is_empty() {
            return Some(known.into());
        }
        if let Some(seconds) = self.retry_after_seconds {
            return Some(format!("the server asks to try again in {seconds} s"));
        }
        let by_status = match self.status? {
            401 | 403 => {
                "give the server's key with --api-key-file or --api-key (WTT_API_KEY_FILE, WTT_API_KEY)"
            }
            404 => "`wtt list` shows what the server has",
            413 => "the server's limit is set by its --max-upload-bytes",
            _ => return None,
        };
        Some(by_status.into())
    }
}

/// The stable code of what failed on this machine; a server's own is part of its problem's words.
fn local_code(error: &anyhow::Error) -> Option<&'static str> {
    error
        .downcast_ref::<transcription::Error>()
        .map(transcription::Error::code)
}

/// One failed thing among several: said at once, while the rest goes on.
pub(crate) fn say(error: &anyhow::Error) {
    let code = local_code(error).map_or_else(String::new, |code| format!(" ({code})"));
    ui::note(format!("wtt: {error:#}{code}"));
    if let Some(hint) = error.downcast_ref::<Failure>().and_then(Failure::hint) {
        ui::note(format!("hint: {hint}"));
    }
}

/// For programs, in the shape that `wtt transcribe --json` has: the words, and the code and status where the server or the engine gave them.
pub(crate) fn as_json(error: &anyhow::Error) -> serde_json::Value {
    let mut said = serde_json::json!({"message": format!("{error:#}")});
    let known = match error.downcast_ref() {
        Some(Failure::Problem(problem)) => (problem.code.as_deref(), problem.status),
        Some(Failure::Unreachable { .. }) => (Some("unreachable"), None),
        _ => (local_code(error), None),
    };
    if let (Some(code), _) = known {
        said["code"] = code.into();
    }
    if let (_, Some(status)) = known {
        said["status"] = status.into();
    }
    serde_json::json!({ "error": said })
}

/// Does the same to each of several ids, goes on after a failure, and fails in the end if any of them did.
pub(crate) async fn for_each(
    ids: &[String],
    act: impl AsyncFn(&str) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for id in ids {
        if let Err(error) = act(id).await {
            code = report(&error);
        }
    }
    Ok(code)
}

/// The end of a command that failed.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    say(error);
    match error.downcast_ref::<Failure>() {
        Some(Failure::Usage(_)) => ExitCode::from(USAGE),
        _ => ExitCode::from(FAILED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_title_detail_and_code() {
        let problem = Problem {
            title: Some("Not found".into()),
            detail: Some("there is no transcription abc".into()),
            code: Some("transcription_unknown".into()),
            ..Problem::default()
        };
        assert_eq!(
            problem.to_string(),
            "Not found: there is no transcription abc (transcription_unknown)"
        );
    }

    #[test]
    fn programs_get_the_code_whatever_stands_around_it() {
        let problem = Problem {
            title: Some("Too large".into()),
            code: Some("upload_too_large".into()),
            status: Some(413),
            ..Problem::default()
        };
        let error = anyhow::Error::new(Failure::Problem(problem)).context("song.mp3");
        let said = as_json(&error)["error"].take();
        assert_eq!(
            (&said["code"], &said["status"]),
            (&"upload_too_large".into(), &413.into())
        );
        let words = said["message"].as_str();
        assert!(words.is_some_and(|words| words.contains("song.mp3")));
        let other = as_json(&anyhow::anyhow!("no such file"));
        assert_eq!(
            other,
            serde_json::json!({"error": {"message": "no such file"}})
        );
    }

    #[test]
    fn a_task_error_reads_the_same_way() {
        let problem: Problem =
            serde_json::from_str(r#"{"code":"internal","kind":"internal","message":"it broke"}"#)
                .unwrap();
        assert_eq!(problem.to_string(), "it broke (internal)");
    }

    #[test]
    fn the_context_of_a_failure_does_not_hide_its_exit_code_or_hint() {
        let error = anyhow::Error::new(Failure::Usage("no".into())).context("song.mp3");
        assert!(
            error
                .downcast_ref::<Failure>()
                .and_then(Failure::hint)
                .is_some()
        );
        assert_eq!(format!("{error:#}"), "song.mp3: no");
    }
}

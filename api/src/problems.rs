//! Where the `type` of a problem leads: a short text for each code. Titles of answers come from `error`; codes that only
//! workers and the queue give have theirs here, because a failed transcription carries them.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::error::{ApiError, ApiResult, Code};
use crate::extract::Path;
use crate::state::AppState;

/// Codes of transcriptions that failed, which no answer has: code and what it means.
const OF_TASKS: &[(&str, &str)] = &[
    (
        "model_unavailable",
        "The worker does not have the network's weights",
    ),
    (
        "out_of_memory",
        "The recording needs more memory than there is",
    ),
    ("worker_lost", "The workers that ran it were lost"),
    ("deadline_exceeded", "It took longer than it may"),
    ("deadline", "It ran longer than whoever asked for it allows"),
    (
        "queue_deadline",
        "It waited for its start longer than whoever asked for it allows",
    ),
    (
        "source_refused",
        "The source's server does not give the recording away",
    ),
    ("source_too_large", "The source is too large"),
    ("source_timeout", "The source did not arrive in time"),
    (
        "source_unreachable",
        "The source's server cannot be reached",
    ),
    (
        "poison",
        "It took down every worker that ran it, and is not run again",
    ),
    (
        "audio_damaged",
        "The recording is not the one that was uploaded any more",
    ),
    (
        "temp_dir_too_small",
        "The recording does not fit onto the workers' disks",
    ),
    (
        "audio_unreadable",
        "The recording could not be read where it is stored",
    ),
];

/// The `type` of the problem with this code.
pub(crate) fn address(code: &str) -> String {
    format!("/problems/{code}")
}

/// A name as a step of a JSON pointer (RFC 6901).
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/problems", get(list))
        .route("/problems/{code}", get(show))
}

async fn list() -> Response {
    let mut text = "Codes of problems. GET /problems/CODE tells about one.\n\n".to_owned();
    for code in Code::ALL {
        text.push_str(&line(code.as_str(), code.title()));
    }
    for (code, title) in OF_TASKS {
        text.push_str(&line(code, title));
    }
    plain(text)
}

fn line(code: &str, title: &str) -> String {
    format!("{code:<26} {title}\n")
}

async fn show(Path(wanted): Path<String>) -> ApiResult<Response> {
    let of_answers = Code::ALL.iter().find(|code| code.as_str() == wanted);
    if let Some(code) = of_answers {
        let status = code.status();
        return Ok(plain(format!(
            "{}\n{wanted}, HTTP {status}\n\nThe `detail` of the answer says what was wrong and what to do about it.\n",
            code.title()
        )));
    }
    let of_tasks = OF_TASKS.iter().find(|(code, _)| *code == wanted);
    let (code, title) = of_tasks.ok_or_else(|| {
        ApiError::new(
            Code::NotFound,
            "no problem has this code; `GET /problems` names them all",
        )
    })?;
    Ok(plain(format!(
        "{title}\n{code}, the `error` of a transcription that failed\n\nIts `detail` says more.\n"
    )))
}

fn plain(text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, text).into_response()
}

//! `POST /transcribe/_result/`: a result in the first system's form. That system took one from anybody; here the token of the
//! claim is needed, and the same checks and fences hold as for every result.

use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Request, State};
use axum::http::HeaderMap;
use bytes::Bytes;
use queue::{FailAnswer, Failure, TaskError, Verdict};
use serde_json::{Value, json};

use super::{SeedError, find};
use crate::db::Row;
use crate::error::{ApiError, Code};
use crate::extract::{Json, Multipart};
use crate::internal::{self, Attempt, HandIn, Outcome, Report};
use crate::state::AppState;

/// What is no file: an id or a word.
const LONGEST_TEXT_BYTES: usize = 1024;

/// A form whose sender holds the claim.
struct Form {
    row: Row,
    attempt: Attempt,
    task_type: String,
    result_file: Option<Bytes>,
    notes: Option<Bytes>,
}

pub(super) async fn receive(
    State(state): State<AppState>,
    request: Request,
) -> Result<Json<Value>, SeedError> {
    let headers = request.headers().clone();
    // The token first: without one nothing is read.
    Attempt::of("0", &headers)?;
    let multipart = Multipart::from_request(request, &state).await?;
    let Some(form) = read(&state, &headers, multipart).await? else {
        return Ok(message("Already processed"));
    };
    let attempt = form.attempt;
    match form.task_type.as_str() {
        "failed" => fail(&state, &attempt).await,
        "completed" => {
            let midi = form.result_file.ok_or_else(|| missing("result_file"))?;
            // Everything else that this service shows is rendered from the notes; the first system's workers sent MIDI alone.
            let notes = match form.notes {
                Some(notes) => notes,
                None => notes_of(&midi)?,
            };
            let report = Report {
                audio_ms: form.row.audio_ms,
                model: form.row.model,
                ..Report::default()
            };
            let handed_in = HandIn {
                midi,
                notes,
                report,
            };
            match internal::store(&state, &attempt, handed_in).await? {
                Outcome::Stored => Ok(message("Result received")),
                Outcome::Already => Ok(message("Already processed")),
            }
        }
        _ => Err(SeedError::new(
            Code::ParameterInvalid,
            "task_type must be completed or failed",
        )),
    }
}

/// The id must come before the files: no byte of a file is kept for somebody who does not hold the claim. None: this token
/// has handed its result in already.
async fn read(
    state: &AppState,
    headers: &HeaderMap,
    form: Multipart,
) -> Result<Option<Form>, SeedError> {
    let limit = state.config.limits.max_result_bytes;
    let mut holder: Option<(Row, Attempt)> = None;
    let mut task_type = String::new();
    let (mut result_file, mut notes) = (None, None);
    let mut form = form.0;
    while let Some(field) = form.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "audio_midi_id" if holder.is_none() => {
                let row = find(state, &text(field, &name).await?).await?;
                let attempt = Attempt::of(&row.id, headers)?;
                if attempt.verify(state).await? == Verdict::DoneByThisToken {
                    return Ok(None);
                }
                holder = Some((row, attempt));
            }
            "task_type" => task_type = text(field, &name).await?,
            "result_file" | "notes" if holder.is_none() => {
                return Err(SeedError::new(
                    Code::ParameterInvalid,
                    "send audio_midi_id before the files",
                ));
            }
            "result_file" => result_file = Some(internal::part(field, &name, limit).await?),
            "notes" => notes = Some(internal::part(field, &name, limit).await?),
            _ => {}
        }
    }
    let (row, attempt) = holder.ok_or_else(SeedError::unknown)?;
    Ok(Some(Form {
        row,
        attempt,
        task_type,
        result_file,
        notes,
    }))
}

async fn text(field: Field<'_>, name: &str) -> Result<String, ApiError> {
    let bytes = internal::part(field, name, LONGEST_TEXT_BYTES).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The notes of a result that brought none: what its MIDI file says.
fn notes_of(midi: &[u8]) -> Result<Bytes, SeedError> {
    let refused = |error: music::Error| SeedError::new(Code::ResultInvalid, &error.to_string());
    let mut transcript = music::Transcript::new(json!({"source": "midi"}));
    transcript.notes = music::midi::read(midi).map_err(refused)?;
    Ok(transcript.to_json().map_err(refused)?.into())
}

async fn fail(state: &AppState, attempt: &Attempt) -> Result<Json<Value>, SeedError> {
    let message_of = "the worker reported a failure".to_owned();
    let error = TaskError {
        code: "internal".to_owned(),
        kind: "internal".to_owned(),
        message: message_of,
    };
    let failure = Failure {
        id: attempt.id.clone(),
        token: attempt.token.clone(),
        error,
        retryable: false,
        backoff_ms: 0,
    };
    match state.queue.fail(&failure).await? {
        FailAnswer::Retrying | FailAnswer::Final => Ok(message("Result received")),
        FailAnswer::Already => Ok(message("Already processed")),
        FailAnswer::Stale => Err(SeedError(attempt.stale())),
        FailAnswer::Unknown => Err(SeedError(attempt.unknown())),
    }
}

fn message(text: &str) -> Json<Value> {
    Json(json!({ "message": text }))
}

fn missing(name: &str) -> SeedError {
    SeedError::new(Code::ResultInvalid, &format!("the part {name} is missing"))
}

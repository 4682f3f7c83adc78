//! `POST /transcribe/_result/`: a result in the first system's form. That system took one from anybody; here the token of the
//! claim is needed, and the same checks and fences hold as for every result.

use axum::extract::{FromRequest, Request, State};
use bytes::Bytes;
use queue::{FailAnswer, Failure, TaskError, Verdict};
use serde_json::{Value, json};

use super::{SeedError, find};
use crate::error::{ApiError, Code};
use crate::extract::{Json, Multipart};
use crate::internal::{self, Attempt, HandIn, Outcome, Report};
use crate::state::AppState;

#[derive(Default)]
struct Form {
    audio_midi_id: String,
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
    let form = read(&state, Multipart::from_request(request, &state).await?).await?;
    let row = find(&state, &form.audio_midi_id).await?;
    let attempt = Attempt::of(&row.id, &headers)?;
    if attempt.verify(&state).await? == Verdict::DoneByThisToken {
        return Ok(message("Already processed"));
    }
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
                audio_ms: row.audio_ms,
                model: row.model,
                ..Report::default()
            };
            match internal::store(
                &state,
                &attempt,
                HandIn {
                    midi,
                    notes,
                    report,
                },
            )
            .await?
            {
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

async fn read(state: &AppState, form: Multipart) -> Result<Form, ApiError> {
    let limit = state.config.limits.max_result_bytes;
    let mut read = Form::default();
    let mut form = form.0;
    while let Some(field) = form.next_field().await? {
        match field.name().unwrap_or_default() {
            "audio_midi_id" => read.audio_midi_id = field.text().await?,
            "task_type" => read.task_type = field.text().await?,
            "result_file" => {
                read.result_file = Some(internal::part(field, "result_file", limit).await?)
            }
            "notes" => read.notes = Some(internal::part(field, "notes", limit).await?),
            _ => {}
        }
    }
    Ok(read)
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

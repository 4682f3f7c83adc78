//! The result of one attempt: checked, stored under the attempt's own names, and only then COMPLETE decides whether it
//! counts. Every step may be repeated with the same token; a loser's files are left to the sweeper.

use axum::extract::State;
use axum::extract::multipart::Field;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use queue::{Completed, Completion, ResultPointer, Verdict};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Attempt;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Json, Multipart, Path};
use crate::metrics::names;
use crate::objects::ObjectKey;
use crate::state::AppState;

/// How long the finished hash stays readable in Redis.
const FINAL_TTL_MS: u64 = 24 * 3600 * 1000;
const LARGEST_REPORT_BYTES: usize = 64 * 1024;
/// The pointer goes through Redis, so its free texts are kept short.
const MOST_WARNINGS: usize = 12;
const LONGEST_WARNING_CHARS: usize = 200;
const LONGEST_NAME_CHARS: usize = 100;

/// What a worker hands in.
pub(crate) struct HandIn {
    pub(crate) midi: Bytes,
    pub(crate) notes: Bytes,
    pub(crate) report: Report,
}

/// How the result came about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    pub(crate) audio_ms: u64,
    pub(crate) busy_ms: u64,
    pub(crate) wall_ms: u64,
    pub(crate) device: String,
    pub(crate) model: String,
    pub(crate) model_digest: String,
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored,
    /// An earlier hand-in with this token counted; its answer was lost.
    Already,
}

/// Three parts and what surrounds them.
pub(crate) fn body_limit(state: &AppState) -> usize {
    state
        .config
        .limits
        .max_result_bytes
        .saturating_mul(2)
        .saturating_add(2 * LARGEST_REPORT_BYTES)
}

pub(super) async fn receive(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    mut multipart: Multipart,
) -> ApiResult<Response> {
    // The token first: a body of a stranger is not worth reading.
    let verdict = async { Attempt::of(&id, &headers)?.verify(&state).await }.await;
    let handed_in = match verdict {
        Ok(Verdict::Live) => read(&state, &mut multipart).await,
        other => {
            other?;
            count("already");
            return Ok(answer(Outcome::Already));
        }
    };
    let handed_in = match handed_in {
        Ok(handed_in) => handed_in,
        Err(error) => {
            count("refused");
            return Err(error);
        }
    };
    let attempt = Attempt::of(&id, &headers)?;
    Ok(answer(store(&state, &attempt, handed_in).await?))
}

fn answer(outcome: Outcome) -> Response {
    let word = match outcome {
        Outcome::Stored => "stored",
        Outcome::Already => "already",
    };
    Json(json!({ "outcome": word })).into_response()
}

async fn read(state: &AppState, multipart: &mut Multipart) -> ApiResult<HandIn> {
    let limit = state.config.limits.max_result_bytes;
    let (mut midi, mut notes, mut report) = (None, None, None);
    while let Some(field) = multipart.0.next_field().await? {
        match field.name() {
            Some("midi") => midi = Some(part(field, "midi", limit).await?),
            Some("notes") => notes = Some(part(field, "notes", limit).await?),
            Some("report") => report = Some(part(field, "report", LARGEST_REPORT_BYTES).await?),
            _ => {}
        }
    }
    let missing = |name: &str| invalid(format!("the part `{name}` is missing"));
    let report = report.ok_or_else(|| missing("report"))?;
    Ok(HandIn {
        midi: midi.ok_or_else(|| missing("midi"))?,
        notes: notes.ok_or_else(|| missing("notes"))?,
        report: read_report(&report)?,
    })
}

fn read_report(json: &[u8]) -> ApiResult<Report> {
    let unusable = |error: serde_json::Error| invalid(format!("the report: {error}"));
    let value: Value = serde_json::from_slice(json).map_err(unusable)?;
    // serde would take a list for a struct, field by field.
    if !value.is_object() {
        return Err(invalid("the report: it must be a JSON object"));
    }
    serde_json::from_value(value).map_err(unusable)
}

pub(crate) async fn part(mut field: Field<'_>, name: &str, limit: usize) -> ApiResult<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = field.chunk().await? {
        if bytes.len() + chunk.len() > limit {
            return Err(invalid(format!(
                "the part `{name}` has more than {limit} bytes"
            )));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// Checks, stores, completes.
pub(crate) async fn store(
    state: &AppState,
    attempt: &Attempt,
    handed_in: HandIn,
) -> ApiResult<Outcome> {
    let id = attempt.id.as_str();
    let checked = check(handed_in).await.inspect_err(|error| {
        tracing::warn!(task.id = %id, cause = %error.detail, "refused the result of a worker");
        count("refused");
    })?;
    if state.db.get(id).await?.is_none() {
        return Err(attempt.unknown());
    }
    let Checked {
        midi,
        notes,
        note_count,
        report,
    } = checked;
    let fingerprint = attempt.fingerprint();
    let pointer = ResultPointer {
        notes: note_count,
        midi_sha256: hex::encode(Sha256::digest(&midi)),
        notes_sha256: hex::encode(Sha256::digest(&notes)),
        midi_bytes: midi.len() as u64,
        notes_bytes: notes.len() as u64,
        audio_ms: report.audio_ms,
        busy_ms: report.busy_ms,
        wall_ms: report.wall_ms,
        device: shortened(&report.device, LONGEST_NAME_CHARS),
        model: shortened(&report.model, LONGEST_NAME_CHARS),
        model_digest: shortened(&report.model_digest, LONGEST_NAME_CHARS),
        warnings: report
            .warnings
            .iter()
            .take(MOST_WARNINGS)
            .map(|warning| shortened(warning, LONGEST_WARNING_CHARS))
            .collect(),
        fingerprint: fingerprint.clone(),
    };
    state
        .objects
        .put(
            ObjectKey::Midi {
                id,
                fingerprint: &fingerprint,
            },
            midi,
        )
        .await?;
    state
        .objects
        .put(
            ObjectKey::Notes {
                id,
                fingerprint: &fingerprint,
            },
            notes,
        )
        .await?;
    let completion = Completion {
        id: attempt.id.clone(),
        token: attempt.token.clone(),
        busy_ms: pointer.busy_ms,
        result: pointer,
        ttl_ms: FINAL_TTL_MS,
    };
    // Redis away: the files stay, and the same hand-in repeated writes the same names.
    match state.queue.complete(&completion).await? {
        Completed::Done => {
            count("stored");
            tracing::info!(task.id = %id, notes = note_count, "stored the result");
            Ok(Outcome::Stored)
        }
        Completed::Already => {
            count("already");
            Ok(Outcome::Already)
        }
        // The files stay, though this hand-in lost: if Redis forgot what this very token had completed, a row may name them.
        // What no row names, the sweeper removes.
        refused => {
            count("stale");
            Err(if refused == Completed::Unknown {
                attempt.unknown()
            } else {
                attempt.stale()
            })
        }
    }
}

struct Checked {
    midi: Bytes,
    notes: Bytes,
    note_count: u64,
    report: Report,
}

async fn check(handed_in: HandIn) -> ApiResult<Checked> {
    let parse = move || -> ApiResult<Checked> {
        let HandIn {
            midi,
            notes,
            report,
        } = handed_in;
        music::midi::check(&midi).map_err(|error| invalid(error.to_string()))?;
        let text =
            std::str::from_utf8(&notes).map_err(|error| invalid(format!("the notes: {error}")))?;
        let transcript =
            music::Transcript::from_json(text).map_err(|error| invalid(error.to_string()))?;
        Ok(Checked {
            note_count: transcript.notes.len() as u64,
            midi,
            notes,
            report,
        })
    };
    // Large results take a while to parse; other requests go on meanwhile.
    tokio::task::spawn_blocking(parse)
        .await
        .map_err(ApiError::internal)?
}

fn invalid(detail: impl Into<String>) -> ApiError {
    ApiError::new(Code::ResultInvalid, detail)
}

fn shortened(text: &str, most_chars: usize) -> String {
    text.chars().take(most_chars).collect()
}

fn count(outcome: &'static str) {
    metrics::counter!(names::RESULTS, "outcome" => outcome).increment(1);
}

//! How a transcription stands and what came of it, in the first system's words.

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{SeedError, find, word};
use crate::error::Code;
use crate::extract::{Json, Path};
use crate::state::AppState;
use crate::transcriptions::files::{self, Disposition, FileName};
use crate::transcriptions::view_one;

pub(super) async fn status(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Value>, SeedError> {
    let view = view_one(&state, find(&state, &id).await?).await;
    let progress = view
        .snapshot
        .as_ref()
        .and_then(|snapshot| snapshot.progress.clone())
        .unwrap_or_default();
    // What a finished one counted on the way is not kept; a client's bar shall end full, not at 0 of 0.
    let (current, total) = match view.row.result {
        Some(_) => (1, 1),
        None => (progress.current, progress.total),
    };
    let updated_at_ms = view
        .snapshot
        .as_ref()
        .map_or(0, |snapshot| snapshot.updated_at_ms);
    let error = view.row.error.as_ref().map(|error| error.message.as_str());
    Ok(Json(json!({
        "audio_midi_id": view.row.seed_id,
        "audio_filename": view.row.filename,
        "created_at": rfc3339(view.row.created_at_ms),
        "updated_at": rfc3339(updated_at_ms.max(view.row.updated_at_ms)),
        "status": word(view.state()),
        "has_midi": view.row.result.is_some(),
        "current_chunk": current,
        "total_chunks": total,
        "error_message": error,
    })))
}

pub(super) async fn midi(
    state: State<AppState>,
    id: Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    file(state, id, (&method, &headers), Disposition::Inline).await
}

pub(super) async fn download_midi(
    state: State<AppState>,
    id: Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    file(state, id, (&method, &headers), Disposition::Attachment).await
}

async fn file(
    State(state): State<AppState>,
    Path(id): Path<String>,
    asked: (&Method, &HeaderMap),
    disposition: Disposition,
) -> Response {
    let found = async {
        let row = find(&state, &id).await?;
        files::respond(&state, &row, FileName::Midi, asked, disposition)
            .await
            .map_err(SeedError)
    };
    match found.await {
        Ok(response) => response,
        // No MIDI file, or none yet: both are "not found" here.
        Err(error) if matches!(error.0.code, Code::NotReady | Code::NoResult) => {
            error.with_status(StatusCode::NOT_FOUND)
        }
        Err(error) => error.into_response(),
    }
}

fn rfc3339(ms: u64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    moment
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .format(&Rfc3339)
        .unwrap_or_default()
}

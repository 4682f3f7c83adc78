//! `PUT /internal/v1/transcriptions/{id}`: judged and written within a request, fetched and queued later. Repeating it changes
//! nothing.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use queue::TaskId;
use serde_json::Value;

use super::ask::{self, Decided, Request};
use super::item::item;
use crate::db::{Operated, Row, State as JobState};
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Json, Path};
use crate::state::{AppState, now_ms};
use crate::transcriptions::row::{find, new_seed_id};
use crate::transcriptions::view_one;

pub(super) async fn put(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> ApiResult<Response> {
    if TaskId::parse(id.as_str()).is_err() {
        let detail = "the id must be of letters, digits and `-`, 64 at most";
        return Err(ApiError::new(Code::ParameterInvalid, detail));
    }
    let request = ask::read(body)?;
    match find(&state, &id).await {
        Ok(row) => return repeated(&state, row, &request).await,
        Err(error) if error.code == Code::TranscriptionUnknown => {}
        Err(error) => return Err(error),
    }
    let decided = ask::decide(&state.models, state.sources.policy(), &request)?;
    ask::check_source_row(&state, &request).await?;
    let most = state.config.limits.max_queue_depth;
    if most > 0 && state.db.count_unfinished_asked(most).await? >= most {
        let detail = format!("{most} jobs are unfinished already; try again later");
        return Err(ApiError::new(Code::QueueFull, detail).retry_after(30));
    }
    let row = new_row(&id, &request, decided);
    if !state.db.insert_asked(&row).await? {
        // Somebody asked for the same at the same moment.
        let row = find(&state, &id).await?;
        return repeated(&state, row, &request).await;
    }
    tracing::info!(task.id = %id, origin = %request.origin, model = %row.model, queue = %row.queue, "asked for {id}");
    state.sources.look();
    state.changed.notify_waiters();
    answer(&state, find(&state, &id).await?, StatusCode::ACCEPTED).await
}

/// The same request again, whatever has become of it since.
async fn repeated(state: &AppState, row: Row, request: &Request) -> ApiResult<Response> {
    let id = row.id.as_str();
    let operated = row
        .operated
        .as_ref()
        .filter(|operated| operated.origin == request.origin);
    let Some(operated) = operated else {
        let detail = format!("the id {id} belongs to a transcription of somebody else");
        return Err(ApiError::new(Code::UidTaken, detail));
    };
    let differences = ask::differences(&operated.asked, &request.asked);
    if !differences.is_empty() {
        let detail = format!(
            "{id} was asked for with another {}; make another job",
            differences.join(", ").replace('/', " ").trim()
        );
        let error = ApiError::new(Code::ImmutableChanged, detail);
        return Err(differences.into_iter().fold(error, |error, pointer| {
            error.field(pointer, "cannot be changed")
        }));
    }
    if let Some(seconds) = request.ttl_seconds
        && operated.ttl_ms != Some(seconds * 1000)
    {
        state.db.set_ttl(id, seconds * 1000, now_ms()).await?;
        return answer(state, find(state, id).await?, StatusCode::OK).await;
    }
    answer(state, row, StatusCode::OK).await
}

pub(super) async fn answer(state: &AppState, row: Row, status: StatusCode) -> ApiResult<Response> {
    let shown = view_one(state, row).await;
    Ok((status, Json(item(state, &shown))).into_response())
}

fn new_row(id: &str, request: &Request, decided: Decided) -> Row {
    let now = now_ms();
    let asked = request.asked.clone();
    // A suspended job waits for its owner, not for a worker.
    let queue_limit_ms = asked
        .queue_limit_seconds
        .filter(|_| !request.suspended)
        .map(|seconds| seconds * 1000);
    let operated = Operated {
        origin: request.origin.clone(),
        seq: 0,
        asked,
        suspended: request.suspended,
        ttl_ms: request.ttl_seconds.map(|seconds| seconds * 1000),
        queue_deadline_ms: queue_limit_ms.map(|limit| now + limit),
        run_deadline_ms: None,
    };
    Row {
        id: id.to_owned(),
        seed_id: new_seed_id(),
        state: JobState::Created,
        life: 1,
        outbox_number: 0,
        created_at_ms: now,
        updated_at_ms: now,
        queued_at_ms: None,
        started_at_ms: None,
        finished_at_ms: None,
        expires_at_ms: None,
        filename: decided.filename,
        media_type: String::new(),
        bytes: 0,
        sha256: String::new(),
        sample_rate: 0,
        channels: 0,
        audio_ms: 0,
        duration_estimated: false,
        source_stored: false,
        model: decided.model.name,
        options: decided.options,
        queue: decided.queue.as_str().to_owned(),
        labels: BTreeMap::new(),
        attempt: 0,
        error: None,
        result: None,
        operated: Some(Box::new(operated)),
    }
}

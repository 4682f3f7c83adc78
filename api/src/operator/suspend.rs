//! `PUT /internal/v1/transcriptions/{id}/suspended`: the row says what is wanted, and the queue follows. What cannot be told to the
//! queue now, the reconciler tells it later.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use queue::ParkAnswer;
use serde::Deserialize;
use serde_json::Value;

use super::operated;
use super::put::answer;
use crate::db::{Row, State as JobState};
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Json, Path};
use crate::state::{AppState, now_ms};
use crate::transcriptions::{start, task_id};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    suspended: bool,
}

pub(super) async fn suspend(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> ApiResult<Response> {
    let wanted: Option<Wanted> = Some(body)
        .filter(Value::is_object)
        .and_then(|body| serde_json::from_value(body).ok());
    let Some(Wanted { suspended }) = wanted else {
        let detail = "send {\"suspended\": true} or {\"suspended\": false}";
        return Err(ApiError::new(Code::ParameterInvalid, detail));
    };
    let row = operated(&state, &id).await?;
    if row.state.is_final() {
        return answer(&state, row, StatusCode::OK).await;
    }
    if state.db.set_suspended(&id, suspended, now_ms()).await? {
        tracing::info!(task.id = %id, suspended, "{id} was suspended or resumed");
    }
    let row = operated(&state, &id).await?;
    // Also where nothing has changed: the call before may have failed half-way.
    if let Err(error) = follow(&state, &row).await {
        tracing::warn!(task.id = %id, cause = %error, "the reconciler will tell the queue");
    }
    state.changed.notify_waiters();
    answer(&state, row, StatusCode::OK).await
}

/// Makes the queue do as the row says.
pub(crate) async fn follow(state: &AppState, row: &Row) -> ApiResult<()> {
    if row.state != JobState::Queued {
        return Ok(());
    }
    let task = task_id(&row.id)?;
    if row.is_suspended() {
        state.queue.park(&task).await?;
        return Ok(());
    }
    // It was suspended before the queue ever had it.
    if state.queue.unpark(&task).await? == ParkAnswer::Unknown {
        start(state, row).await?;
    }
    Ok(())
}

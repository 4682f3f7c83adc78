//! `DELETE /internal/v1/transcriptions/{id}`: its end is asked for. Row and result stay until the retention is over, so that
//! whoever deletes a job does not delete its notes.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use queue::{CancelAnswer, CancelKind};
use serde::Deserialize;

use super::operated;
use super::put::answer;
use crate::db::{Row, State as JobState};
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Path, Query};
use crate::state::AppState;
use crate::transcriptions::{end_row, task_id};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    kind: Option<String>,
}

/// 202: asked, or done at this moment. 200: it had ended.
pub(super) async fn cancel(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Response> {
    let (kind, reason) = match wanted.kind.as_deref() {
        None | Some("cancelled") => (CancelKind::Cancelled, "its job was deleted"),
        Some("deadline") => (CancelKind::Deadline, "it ran longer than its job allows"),
        Some("queue_deadline") => (
            CancelKind::QueueDeadline,
            "it waited longer than its job allows",
        ),
        Some(_) => {
            let detail = "`kind` must be cancelled, deadline or queue_deadline";
            return Err(ApiError::new(Code::ParameterInvalid, detail));
        }
    };
    let row = operated(&state, &id).await?;
    if row.state.is_final() {
        return answer(&state, row, StatusCode::OK).await;
    }
    end(&state, &row, kind, reason).await?;
    answer(&state, operated(&state, &id).await?, StatusCode::ACCEPTED).await
}

/// Ends a row wherever it is: only in the database, or in the queue, whose outbox then ends the row.
pub(crate) async fn end(
    state: &AppState,
    row: &Row,
    kind: CancelKind,
    reason: &str,
) -> ApiResult<()> {
    let task = task_id(&row.id)?;
    if row.state == JobState::Queued {
        let asked = state.queue.cancel(&task, kind, reason).await?;
        tracing::info!(task.id = %row.id, answer = ?asked, kind = kind.as_str(), "the end of {} was asked for", row.id);
        if asked != CancelAnswer::Unknown {
            state.hub.look(&task);
            return Ok(());
        }
    }
    // Not fetched yet, suspended from the start, or forgotten by Redis.
    end_row(state, row, kind, reason).await
}

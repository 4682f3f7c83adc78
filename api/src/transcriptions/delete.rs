//! `DELETE /api/v1/transcriptions/{id}`: ends it if it runs, removes row and objects, leaves a tombstone that answers 410.

use axum::extract::State;
use axum::http::StatusCode;
use queue::{CancelAnswer, CancelKind};

use super::enqueue::task_id;
use super::row::find;
use crate::db::{Row, State as JobState};
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::Path;
use crate::state::{AppState, now_ms};

/// A row that moves on while it is being removed (started, finished, retried) is looked at again, so often.
const TRIES: usize = 5;

pub(crate) async fn delete(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    let mut found = find(&state, &id).await;
    for _ in 0..TRIES {
        if remove(&state, found?, "deleted").await? {
            return Ok(StatusCode::NO_CONTENT);
        }
        found = find(&state, &id).await;
        // Somebody else was faster; the rest is theirs.
        if let Err(error) = &found
            && matches!(error.code, Code::Deleted | Code::Expired)
        {
            return Ok(StatusCode::NO_CONTENT);
        }
    }
    Err(ApiError::new(
        Code::DatabaseUnavailable,
        "the transcription keeps changing; try again",
    )
    .retry_after(1))
}

/// Removes a transcription with everything of it. `reason` is the tombstone's: `deleted` or `expired`. False: the row is not
/// what `row` says any more, and nothing was removed.
pub(crate) async fn remove(state: &AppState, row: Row, reason: &str) -> ApiResult<bool> {
    let id = row.id.as_str();
    let task = task_id(id)?;
    // A fetch that is under way may store its recording yet.
    let mut still_running = row.state == JobState::Created && row.operated.is_some();
    if row.state == JobState::Queued {
        let asked = state
            .queue
            .cancel(&task, CancelKind::Cancelled, reason)
            .await?;
        still_running = asked == CancelAnswer::Requested;
    }
    if !state.db.delete(&row, reason, now_ms()).await? {
        return Ok(false);
    }
    tracing::info!(task.id = %id, reason, "removed {id}");
    let forgotten = match state.queue.forget(&task).await {
        Ok(forgotten) => forgotten,
        Err(error) => {
            tracing::warn!(task.id = %id, cause = %error, "the sweeper will remove what Redis holds of {id}");
            false
        }
    };
    match state.objects.delete_all(id).await {
        // A worker that still runs may store a result yet, and Redis holds the recording's name: the sweeper looks once more.
        Ok(()) if still_running || !forgotten => {}
        Ok(()) => state.db.objects_deleted(id).await?,
        Err(error) => {
            tracing::warn!(task.id = %id, cause = %error, "the sweeper will delete the objects of {id}")
        }
    }
    state.changed.notify_waiters();
    state.hub.look(&task);
    Ok(true)
}

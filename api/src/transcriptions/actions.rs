//! Cancel and retry: what moves a transcription from outside. Redis decides what became of a task, the row what may be retried.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use queue::{CancelAnswer, CancelKind, TaskError};

use super::enqueue::task_id;
use super::row::{expiry, find};
use super::{resubmit, view_one};
use crate::db::{Row, State as JobState};
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Json, Path};
use crate::state::{AppState, now_ms};

/// 202: asked. 200: it is cancelled. 409: it ended otherwise.
pub(crate) async fn cancel(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let row = find(&state, &id).await?;
    match row.state {
        JobState::Cancelled => return answer(&state, row, StatusCode::OK).await,
        JobState::Succeeded | JobState::Failed | JobState::Expired => return Err(finished(&row)),
        JobState::Created => return cancel_row(&state, row).await,
        JobState::Queued | JobState::Running => {}
    }
    let asked = state
        .queue
        .cancel(
            &task_id(&id)?,
            CancelKind::Cancelled,
            "cancelled by its owner",
        )
        .await?;
    tracing::info!(task.id = %id, answer = ?asked, "cancel of {id}");
    match asked {
        CancelAnswer::Cancelled | CancelAnswer::Requested => {
            state.changed.notify_waiters();
            answer(&state, row, StatusCode::ACCEPTED).await
        }
        CancelAnswer::AlreadyFinal => {
            // The outcome is on its way into the database; Redis knows it already.
            let shown = view_one(&state, find(&state, &id).await?).await;
            let kind = shown
                .snapshot
                .as_ref()
                .and_then(|snapshot| snapshot.error_kind.as_deref());
            if shown.row.state == JobState::Cancelled || kind == Some("cancelled") {
                return answer(&state, shown.row, StatusCode::OK).await;
            }
            Err(finished(&shown.row))
        }
        // Not enqueued yet, or forgotten: no outbox entry will come.
        CancelAnswer::Unknown => cancel_row(&state, row).await,
    }
}

/// Ends a row of which the queue knows nothing, with the error that the queue would have given.
pub(crate) async fn end_row(
    state: &AppState,
    row: &Row,
    kind: CancelKind,
    reason: &str,
) -> ApiResult<()> {
    let ended = match kind {
        CancelKind::Cancelled => JobState::Cancelled,
        CancelKind::Deadline | CancelKind::QueueDeadline => JobState::Failed,
    };
    let error = TaskError {
        code: kind.as_str().to_owned(),
        kind: kind.as_str().to_owned(),
        message: reason.to_owned(),
    };
    let now = now_ms();
    let changed = state
        .db
        .end_unqueued(row, ended, Some(&error), now, expiry(state, now))
        .await?;
    if !changed && !find(state, &row.id).await?.state.is_final() {
        let detail = "the transcription has just changed; try again";
        return Err(ApiError::new(Code::QueueUnavailable, detail).retry_after(1));
    }
    state.changed.notify_waiters();
    state.hub.look(&task_id(&row.id)?);
    Ok(())
}

async fn cancel_row(state: &AppState, row: Row) -> ApiResult<Response> {
    let now = now_ms();
    let changed = state
        .db
        .end_unqueued(&row, JobState::Cancelled, None, now, expiry(state, now))
        .await?;
    state.changed.notify_waiters();
    let row = find(state, &row.id).await?;
    match row.state {
        JobState::Cancelled => answer(state, row, StatusCode::OK).await,
        state if changed || state.is_final() => Err(finished(&row)),
        // It was started between the two looks.
        _ => Err(ApiError::new(
            Code::QueueUnavailable,
            "the transcription has just changed; try again",
        )
        .retry_after(1)),
    }
}

/// Only retry leaves a final state: the row's life is raised, then Redis is told.
pub(crate) async fn retry(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let before = find(&state, &id).await?;
    if !matches!(before.state, JobState::Failed | JobState::Cancelled) {
        return Err(not_retryable(before.state));
    }
    if !before.source_stored {
        return Err(ApiError::new(
            Code::SourceExpired,
            "the recording is no longer kept; upload it again",
        ));
    }
    // From here on the client may hang up: the new life and its task come to be together, or not at all.
    let row = tokio::spawn(raise(state.clone(), before))
        .await
        .map_err(ApiError::internal)??;
    answer(&state, row, StatusCode::ACCEPTED).await
}

/// Row, then task; takes the new life back where the queue refuses it.
async fn raise(state: AppState, before: Row) -> ApiResult<Row> {
    let id = before.id.as_str();
    let Some(row) = state.db.raise_life(id, before.life, now_ms()).await? else {
        return Err(not_retryable(find(&state, id).await?.state));
    };
    tracing::info!(task.id = %id, life = row.life, "retry of {id}");
    if let Err(refused) = resubmit(&state, &row).await {
        state.db.restore_outcome(&before, now_ms()).await?;
        return Err(refused);
    }
    state.changed.notify_waiters();
    Ok(row)
}

async fn answer(state: &AppState, row: Row, status: StatusCode) -> ApiResult<Response> {
    let location = format!("/api/v1/transcriptions/{}", row.id);
    let body = view_one(state, row).await.to_json();
    Ok((status, [(header::CONTENT_LOCATION, location)], Json(body)).into_response())
}

fn finished(row: &Row) -> ApiError {
    let shown = if row.state.is_final() {
        row.state.as_str()
    } else {
        "finishing"
    };
    ApiError::new(
        Code::AlreadyFinished,
        format!(
            "transcription {} is {shown}: there is nothing to cancel",
            row.id
        ),
    )
}

fn not_retryable(state: JobState) -> ApiError {
    ApiError::new(
        Code::NotRetryable,
        format!(
            "the transcription is {}; only a failed or cancelled one can be retried",
            state.as_str()
        ),
    )
}

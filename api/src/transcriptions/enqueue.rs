//! From a row to a task in Redis. The row comes first, so whatever happens here can be repeated; ids make it idempotent.

use queue::{Enqueued, NewTask, Priority, QueueName, Replayed, TaskId, TaskPayload};

use crate::db::Row;
use crate::error::{ApiError, ApiResult, Code};
use crate::state::AppState;

/// What became of a task that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Submitted {
    /// Redis has it.
    Queued,
    /// Redis cannot be reached, or its answer was lost: the reconciler will enqueue it. Or its owner wants it to wait.
    Later,
}

/// ENQUEUE for the row's life. An error means that the queue refused it and holds nothing of it.
pub(crate) async fn submit(state: &AppState, row: &Row) -> ApiResult<Submitted> {
    if row.is_suspended() {
        return Ok(Submitted::Later);
    }
    let task = task_of(state, row)?;
    match state.queue.enqueue(&task).await {
        Ok(Enqueued::New | Enqueued::Known { .. }) => {
            tracing::info!(task.id = %row.id, life = row.life, "queued {}", row.id);
            Ok(Submitted::Queued)
        }
        Ok(Enqueued::Full { depth }) => {
            let detail = format!("{depth} transcriptions are waiting already; try again later");
            Err(ApiError::new(Code::QueueFull, detail).retry_after(30))
        }
        Err(error) => later(row, error),
    }
}

/// Brings a row's life to Redis whatever Redis remembers of the lives before: REPLAY, and ENQUEUE where it is forgotten.
pub(crate) async fn resubmit(state: &AppState, row: &Row) -> ApiResult<Submitted> {
    if row.life == 1 || row.is_suspended() {
        return submit(state, row).await;
    }
    match state.queue.replay(&task_id(&row.id)?, row.life).await {
        Ok(Replayed::Queued) => {
            tracing::info!(task.id = %row.id, life = row.life, "replayed {}", row.id);
            Ok(Submitted::Queued)
        }
        // Not failed: this life is there already, and ENQUEUE answers that it is known.
        Ok(Replayed::NotFailed | Replayed::Unknown) => submit(state, row).await,
        Err(error) => later(row, error),
    }
}

/// The first start of a row that an operator may suspend at any moment: whichever of the two comes second sees the other.
pub(crate) async fn start(state: &AppState, row: &Row) -> ApiResult<Submitted> {
    let submitted = submit(state, row).await?;
    let now = state.db.get(&row.id).await?;
    if submitted == Submitted::Queued && now.is_some_and(|row| row.is_suspended()) {
        state.queue.park(&task_id(&row.id)?).await?;
    }
    Ok(submitted)
}

fn later(row: &Row, error: queue::Error) -> ApiResult<Submitted> {
    if error.is_unavailable() {
        tracing::warn!(task.id = %row.id, cause = %error, "the queue is away; the reconciler will enqueue {}", row.id);
        return Ok(Submitted::Later);
    }
    Err(error.into())
}

pub(crate) fn task_id(id: &str) -> ApiResult<TaskId> {
    TaskId::parse(id).map_err(ApiError::internal)
}

/// The task of the row's present life, as ENQUEUE takes it.
pub(crate) fn task_of(state: &AppState, row: &Row) -> ApiResult<NewTask> {
    let payload = TaskPayload {
        filename: row.filename.clone(),
        media_type: row.media_type.clone(),
        bytes: row.bytes,
        sha256: row.sha256.clone(),
        model: row.model.clone(),
        options: row.options.clone(),
        max_seconds: state.config.limits.max_decoded_seconds,
        ..TaskPayload::default()
    };
    let mut task = NewTask::new(task_id(&row.id)?, row.model.as_str(), payload, row.audio_ms);
    task.queue = QueueName::parse(row.queue.as_str()).map_err(ApiError::internal)?;
    task.life = row.life;
    match &row.operated {
        None => task.max_depth = state.config.limits.max_queue_depth,
        // It was promised when it was asked for, and waits for room nowhere else.
        Some(operated) => {
            task.max_depth = 0;
            task.max_retries = operated.asked.backoff_limit;
            task.priority = match operated.asked.priority {
                1.. => Priority::High,
                0 => Priority::Normal,
                _ => Priority::Low,
            };
        }
    }
    Ok(task)
}

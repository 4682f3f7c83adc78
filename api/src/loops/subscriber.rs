//! The outbox into the database: read, commit, then acknowledge. A crash in between means the same entries again, and the
//! row's (life, number) guard makes that harmless. Hints only make it quick.

use anyhow::Context;
use queue::{OutboxEntry, ResultPointer, TaskError, TaskId, TaskSnapshot, TaskStatus};

use crate::db::{Applied, Finish, State};
use crate::metrics::names;
use crate::state::AppState;
use crate::transcriptions;

const BATCH: usize = 200;

/// Applies and acknowledges until the outbox is empty.
pub async fn drain(state: AppState) -> anyhow::Result<()> {
    loop {
        let entries = state
            .queue
            .results(BATCH)
            .await
            .context("failed to read the outbox")?;
        let Some(newest) = entries.iter().map(|entry| entry.number).max() else {
            return Ok(());
        };
        apply(&state, &entries).await?;
        state
            .queue
            .ack_results(newest, entries.len())
            .await
            .context("failed to acknowledge the outbox")?;
        if entries.len() < BATCH {
            return Ok(());
        }
    }
}

/// Commits the entries and tells whoever waits for these rows. Does not acknowledge.
pub async fn apply(state: &AppState, entries: &[OutboxEntry]) -> anyhow::Result<()> {
    let ids: Vec<TaskId> = entries.iter().map(|entry| entry.id.clone()).collect();
    // Only for when the run began; the entry itself is complete, so a Redis that went away meanwhile does not matter.
    let snapshots = state.queue.snapshots(&ids).await.unwrap_or_default();
    let snapshot = |at: usize| snapshots.get(at).and_then(Option::as_ref);
    let finishes: Vec<Finish> = entries
        .iter()
        .enumerate()
        .map(|(at, entry)| finish(state, entry, snapshot(at)))
        .collect();
    let outcomes = state
        .db
        .finish(&finishes)
        .await
        .context("failed to store finished tasks")?;
    for (((entry, finish), outcome), at) in entries.iter().zip(&finishes).zip(outcomes).zip(0..) {
        match outcome {
            Applied::Done => {
                record(finish, snapshot(at));
                state.hub.look(&entry.id);
                tracing::info!(
                    task.id = %entry.id,
                    task.state = finish.state.as_str(),
                    task.attempt = finish.attempt,
                    task.code = finish.error.as_ref().map(|error| error.code.as_str()),
                    "transcription finished"
                );
            }
            Applied::Ignored => {
                tracing::debug!(task.id = %entry.id, entry.number, "outbox entry was applied before")
            }
            Applied::Unknown => {
                tracing::debug!(task.id = %entry.id, entry.number, "outbox entry of a deleted row");
                if let Err(cause) = state.objects.delete_results(&finish.id).await {
                    tracing::warn!(task.id = %entry.id, %cause, "the sweeper will remove the result of a deleted row");
                }
            }
        }
    }
    state.changed.notify_waiters();
    Ok(())
}

/// The same from a task's hash, for a row whose outbox entry is gone (a database that was restored from a back-up).
pub(super) fn entry_of(snapshot: &TaskSnapshot, number: u64) -> Option<OutboxEntry> {
    let body = match snapshot.status {
        TaskStatus::Completed => serde_json::to_string(snapshot.result.as_ref()?).ok()?,
        TaskStatus::Failed => serde_json::to_string(snapshot.error.as_ref()?).ok()?,
        TaskStatus::Pending | TaskStatus::Processing => return None,
    };
    Some(OutboxEntry {
        number,
        id: snapshot.id.clone(),
        life: snapshot.life,
        attempt: snapshot.attempt,
        status: snapshot.status,
        kind: snapshot.error_kind.clone().unwrap_or_default(),
        body,
        at_ms: snapshot.finished_at_ms.unwrap_or(snapshot.updated_at_ms),
    })
}

fn finish(state: &AppState, entry: &OutboxEntry, snapshot: Option<&TaskSnapshot>) -> Finish {
    let (row_state, result, error) = outcome(entry);
    Finish {
        id: entry.id.as_str().to_owned(),
        life: entry.life,
        number: entry.number,
        state: row_state,
        attempt: u64::from(entry.attempt),
        error,
        result,
        started_at_ms: snapshot
            .filter(|snapshot| snapshot.life == entry.life)
            .and_then(|s| s.started_at_ms),
        finished_at_ms: entry.at_ms,
        expires_at_ms: transcriptions::row::expiry(state, entry.at_ms),
    }
}

fn outcome(entry: &OutboxEntry) -> (State, Option<ResultPointer>, Option<TaskError>) {
    if entry.status == TaskStatus::Completed {
        return match serde_json::from_str(&entry.body) {
            Ok(result) => (State::Succeeded, Some(result), None),
            Err(cause) => {
                tracing::error!(task.id = %entry.id, %cause, "a completed task carries no readable result");
                let message = "the result cannot be found; try again".to_owned();
                let error = TaskError {
                    code: "internal".to_owned(),
                    kind: "internal".to_owned(),
                    message,
                };
                (State::Failed, None, Some(error))
            }
        };
    }
    let error = serde_json::from_str(&entry.body).unwrap_or_else(|_| TaskError {
        code: entry.kind.clone(),
        kind: entry.kind.clone(),
        message: entry.body.clone(),
    });
    let row_state = if entry.kind == "cancelled" {
        State::Cancelled
    } else {
        State::Failed
    };
    (row_state, None, Some(error))
}

fn record(finish: &Finish, snapshot: Option<&TaskSnapshot>) {
    let code = finish
        .error
        .as_ref()
        .map_or("", |error| names::bounded_code(&error.code));
    metrics::counter!(names::JOBS_FINISHED, "state" => finish.state.as_str(), "code" => code)
        .increment(1);
    if let Some(result) = &finish.result {
        let model = result.model.clone();
        crate::metrics::count_ms(names::AUDIO_SECONDS, &model, result.audio_ms);
        crate::metrics::count_ms(names::BUSY_SECONDS, &model, result.busy_ms);
        metrics::histogram!(names::JOB_RUN_SECONDS, "model" => model)
            .record(seconds(result.wall_ms));
    }
    if let Some(snapshot) = snapshot
        && let Some(started_at_ms) = snapshot.started_at_ms
    {
        metrics::histogram!(names::JOB_WAIT_SECONDS).record(seconds(
            started_at_ms.saturating_sub(snapshot.created_at_ms),
        ));
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

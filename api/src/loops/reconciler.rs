//! Rows that promise a task which Redis does not hold: after a crash between row and ENQUEUE, or when Redis lost data. The
//! row is the promise, so the task is put into the queue again. Repeating it is harmless: ENQUEUE is idempotent by id.

use anyhow::Context;
use queue::{CancelKind, Replayed, TaskId, TaskSnapshot, TaskStatus};

use super::{go_on, subscriber};
use crate::db::Row;
use crate::metrics::names;
use crate::operator;
use crate::state::{AppState, now_ms};
use crate::transcriptions;

const BATCH: usize = 200;
/// A younger row may be on its way into the queue, or its result on the way into the row.
const QUIET_MS: u64 = 60_000;

/// How long a row must have been left alone: not at all in the first run of a process and after Redis came back, because
/// whoever was busy with it is gone or repeats.
pub(super) async fn heal(state: AppState) -> anyhow::Result<()> {
    if !state.hub.take_suspicion() {
        return heal_older_than(&state, QUIET_MS).await;
    }
    heal_older_than(&state, 0)
        .await
        .inspect_err(|_| state.hub.suspect())
}

/// Looks at every unfinished row that was not touched for `quiet_ms`.
pub async fn heal_older_than(state: &AppState, quiet_ms: u64) -> anyhow::Result<()> {
    let before_ms = now_ms().saturating_sub(quiet_ms);
    let mut after = String::new();
    loop {
        let rows = state
            .db
            .list_unfinished(before_ms, &after, BATCH)
            .await
            .context("failed to read unfinished rows")?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = last.id.clone();
        let mut known = Vec::with_capacity(rows.len());
        for row in rows {
            match TaskId::parse(row.id.as_str()) {
                Ok(id) => known.push((id, row)),
                Err(cause) => tracing::error!(task.id = %row.id, %cause, "a row cannot be a task"),
            }
        }
        let ids: Vec<TaskId> = known.iter().map(|(id, _)| id.clone()).collect();
        let snapshots = state
            .queue
            .snapshots(&ids)
            .await
            .context("failed to ask the queue for unfinished rows")?;
        for ((id, row), snapshot) in known.iter().zip(snapshots) {
            if let Err(error) = mend(state, id, row, snapshot.as_ref()).await {
                go_on(
                    "reconciler",
                    id.as_str(),
                    error.context("failed to mend a row"),
                )?;
            }
        }
    }
}

async fn mend(
    state: &AppState,
    id: &TaskId,
    row: &Row,
    snapshot: Option<&TaskSnapshot>,
) -> anyhow::Result<()> {
    let Some(snapshot) = snapshot else {
        // Its owner wants no worker to have it: there is nothing to put into the queue.
        if row.is_suspended() {
            return Ok(());
        }
        enqueue(state, row).await?;
        return told(id, row, "enqueued");
    };
    let waits = snapshot.status == TaskStatus::Pending;
    if snapshot.life == row.life && waits && snapshot.parked != row.is_suspended() {
        operator::follow(state, row).await?;
        return told(id, row, "parked or unparked");
    }
    if snapshot.life < row.life && row.is_suspended() {
        return Ok(());
    }
    if snapshot.life < row.life {
        return mend_old_life(state, id, row, snapshot).await;
    }
    // The outbox entry is still on its way, or it was applied to a database that has since been restored.
    let finished_ms_ago = now_ms().saturating_sub(snapshot.finished_at_ms.unwrap_or(u64::MAX));
    if finished_ms_ago > QUIET_MS
        && let Some(entry) = subscriber::entry_of(snapshot, row.outbox_number + 1)
    {
        subscriber::apply(state, &[entry]).await?;
        return told(id, row, "finished");
    }
    Ok(())
}

/// A retry raised the row's life, and the queue has not heard of it.
async fn mend_old_life(
    state: &AppState,
    id: &TaskId,
    row: &Row,
    snapshot: &TaskSnapshot,
) -> anyhow::Result<()> {
    match snapshot.status {
        TaskStatus::Failed => {
            if state.queue.replay(id, row.life).await? != Replayed::Queued {
                return Ok(());
            }
            told(id, row, "replayed")
        }
        TaskStatus::Completed => {
            state.queue.forget(id).await?;
            enqueue(state, row).await?;
            told(id, row, "enqueued")
        }
        // The next run finds it failed.
        TaskStatus::Pending | TaskStatus::Processing => {
            state
                .queue
                .cancel(id, CancelKind::Cancelled, "replaced by a retry")
                .await?;
            told(id, row, "cancelled")
        }
    }
}

/// Without a depth limit: the promise was made when the row was written.
async fn enqueue(state: &AppState, row: &Row) -> anyhow::Result<()> {
    let mut task = transcriptions::task_of(state, row)?;
    task.max_depth = 0;
    state.queue.enqueue(&task).await?;
    Ok(())
}

fn told(id: &TaskId, row: &Row, what: &'static str) -> anyhow::Result<()> {
    metrics::counter!(names::RECONCILED, "what" => what).increment(1);
    tracing::warn!(task.id = %id, task.life = row.life, what, "the queue did not hold what the row promises; mended");
    Ok(())
}

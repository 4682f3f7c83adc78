//! Deadlines that jobs have set: for waiting, which the row knows, and for running, which begins when the queue gave the task to a
//! worker. Both end through CANCEL, so a worker that is just finishing still wins.

use anyhow::Context;
use queue::{CancelKind, TaskId, TaskSnapshot, TaskStatus};

use super::go_on;
use crate::db::{Row, State};
use crate::operator::end;
use crate::state::{AppState, now_ms};

const BATCH: usize = 200;

/// One run.
pub async fn enforce(state: AppState) -> anyhow::Result<()> {
    waiting(&state).await?;
    running(&state).await
}

async fn waiting(state: &AppState) -> anyhow::Result<()> {
    loop {
        let rows = state
            .db
            .list_past_queue_deadline(now_ms(), BATCH)
            .await
            .context("failed to read deadlines")?;
        let full = rows.len() == BATCH;
        let mut ended = 0;
        for (row, snapshot) in with_snapshots(state, rows).await? {
            match end_waiting(state, &row, snapshot.as_ref()).await {
                Ok(()) => ended += 1,
                Err(error) => go_on("deadlines", &row.id, error)?,
            }
        }
        // Those that a worker has to let go of come up again; without progress the next batch would be this one.
        if !full || ended == 0 {
            return Ok(());
        }
    }
}

async fn end_waiting(
    state: &AppState,
    row: &Row,
    snapshot: Option<&TaskSnapshot>,
) -> anyhow::Result<()> {
    let started = snapshot.is_some_and(|snapshot| snapshot.attempt > 0);
    let over = snapshot.is_some_and(|snapshot| {
        matches!(snapshot.status, TaskStatus::Completed | TaskStatus::Failed)
    });
    if row.state == State::Queued && (started || over) {
        state.db.forget_queue_deadline(&row.id).await?;
        return Ok(());
    }
    end(
        state,
        row,
        CancelKind::QueueDeadline,
        "it was not started in time",
    )
    .await?;
    // The outcome comes through the outbox; until then the row need not come up again.
    state.db.forget_queue_deadline(&row.id).await?;
    Ok(())
}

async fn running(state: &AppState) -> anyhow::Result<()> {
    let mut after = String::new();
    loop {
        let now = now_ms();
        let rows = state
            .db
            .list_limited(now, &after, BATCH)
            .await
            .context("failed to read running limits")?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = last.id.clone();
        for (row, snapshot) in with_snapshots(state, rows).await? {
            let Some(snapshot) = snapshot else { continue };
            if let Err(error) = end_running(state, &row, &snapshot, now).await {
                go_on("deadlines", &row.id, error)?;
            }
        }
    }
}

async fn end_running(
    state: &AppState,
    row: &Row,
    snapshot: &TaskSnapshot,
    now: u64,
) -> anyhow::Result<()> {
    let deadline_ms = row
        .operated
        .as_ref()
        .and_then(|operated| operated.run_deadline_ms);
    let unfinished = matches!(
        snapshot.status,
        TaskStatus::Pending | TaskStatus::Processing
    );
    match (deadline_ms, snapshot.started_at_ms) {
        (Some(deadline_ms), _)
            if deadline_ms <= now && unfinished && !snapshot.cancel_requested =>
        {
            end(
                state,
                row,
                CancelKind::Deadline,
                "it ran longer than its job allows",
            )
            .await?;
        }
        // Between two attempts the hash still has the time of the last one.
        (None, Some(started_at_ms)) if snapshot.status == TaskStatus::Processing => {
            state.db.set_run_deadline(row, started_at_ms).await?;
        }
        _ => {}
    }
    Ok(())
}

/// What Redis knows of the rows' present lives.
async fn with_snapshots(
    state: &AppState,
    rows: Vec<Row>,
) -> anyhow::Result<Vec<(Row, Option<TaskSnapshot>)>> {
    let mut ids = Vec::with_capacity(rows.len());
    let mut known = Vec::with_capacity(rows.len());
    for row in rows {
        if let Ok(id) = TaskId::parse(row.id.as_str()) {
            ids.push(id);
            known.push(row);
        }
    }
    let snapshots = state
        .queue
        .snapshots(&ids)
        .await
        .context("failed to ask the queue for rows with deadlines")?;
    Ok(known
        .into_iter()
        .zip(snapshots)
        .map(|(row, snapshot)| {
            let life = row.life;
            (row, snapshot.filter(|snapshot| snapshot.life == life))
        })
        .collect())
}

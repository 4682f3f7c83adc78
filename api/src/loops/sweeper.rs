//! What is over goes: transcriptions past their retention, recordings past theirs, uploads that nobody started, files that no
//! row names. A step that fails leaves a tombstone with objects, which the next run finishes.

use std::time::Duration;

use anyhow::Context;
use queue::{ResultPointer, TaskId};

use super::go_on;
use crate::metrics::names;
use crate::objects::ObjectKey;
use crate::state::{AppState, now_ms};
use crate::transcriptions;

/// Listing everything is dear on a remote store.
pub(super) const ORPHAN_INTERVAL: Duration = Duration::from_secs(3600);
const BATCH: usize = 200;
/// A younger file may belong to a hand-in that is still running.
const ORPHAN_AGE_MS: u64 = 3_600_000;
/// A younger tombstone is still being worked on by whoever wrote it.
const LEFTOVER_AGE_MS: u64 = 60_000;

/// One run over everything.
pub async fn sweep(state: AppState) -> anyhow::Result<()> {
    expired(&state, now_ms()).await?;
    sources(&state, now_ms()).await?;
    leftovers(&state, now_ms().saturating_sub(LEFTOVER_AGE_MS)).await?;
    let old = now_ms().saturating_sub(state.config.timing.idempotency_seconds.saturating_mul(1000));
    state
        .db
        .delete_old_answers(old)
        .await
        .context("failed to forget old idempotent answers")?;
    Ok(())
}

/// Transcriptions whose time is over, and uploads that were never started. A row that moves on meanwhile stays.
pub async fn expired(state: &AppState, now_ms: u64) -> anyhow::Result<()> {
    loop {
        let rows = state
            .db
            .list_expired(now_ms, BATCH)
            .await
            .context("failed to read expired rows")?;
        let (full, mut removed) = (rows.len() == BATCH, 0);
        for row in rows {
            let id = row.id.clone();
            match transcriptions::remove(state, row, "expired").await {
                Ok(true) => removed += 1,
                Ok(false) => tracing::info!(task.id = %id, "not expired after all: it moved on"),
                Err(error) => go_on("sweeper", &id, error.into())?,
            }
        }
        swept("transcription", removed);
        // Without progress the next batch would be this one.
        if !full || removed == 0 {
            return Ok(());
        }
    }
}

/// Recordings of successful transcriptions; their results stay.
pub async fn sources(state: &AppState, now_ms: u64) -> anyhow::Result<()> {
    let kept_seconds = state.config.timing.source_retention_seconds;
    if kept_seconds == 0 {
        return Ok(());
    }
    let before_ms = now_ms.saturating_sub(kept_seconds.saturating_mul(1000));
    loop {
        let rows = state
            .db
            .list_stale_sources(before_ms, BATCH)
            .await
            .context("failed to read old recordings")?;
        let mut removed = 0;
        for row in &rows {
            match remove_source(state, &row.id, now_ms).await {
                Ok(()) => removed += 1,
                Err(error) => go_on("sweeper", &row.id, error)?,
            }
        }
        swept("recording", removed);
        if rows.len() < BATCH || removed == 0 {
            return Ok(());
        }
    }
}

async fn remove_source(state: &AppState, id: &str, now_ms: u64) -> anyhow::Result<()> {
    state.objects.delete(ObjectKey::Audio(id)).await?;
    state.db.forget_source(id, now_ms).await?;
    Ok(())
}

/// What is left of removed rows because it could not be deleted at the time.
pub async fn leftovers(state: &AppState, before_ms: u64) -> anyhow::Result<()> {
    for id in state
        .db
        .list_leftovers(before_ms, BATCH)
        .await
        .context("failed to read tombstones")?
    {
        match remove_leftover(state, &id).await {
            Ok(true) => swept("leftover", 1),
            // Its worker has not let go of it yet: the next run looks again.
            Ok(false) => {}
            Err(error) => go_on("sweeper", &id, error)?,
        }
    }
    Ok(())
}

/// The objects, and what Redis still holds: the name of the recording, among other things.
async fn remove_leftover(state: &AppState, id: &str) -> anyhow::Result<bool> {
    state.objects.delete_all(id).await?;
    if let Ok(task) = TaskId::parse(id)
        && !state.queue.forget(&task).await?
    {
        return Ok(false);
    }
    state.db.objects_deleted(id).await?;
    Ok(true)
}

/// Objects that no row names: results of an attempt that was overtaken, or handed in by a server that died on the way, and
/// recordings whose row was never written.
pub async fn orphans(state: AppState) -> anyhow::Result<()> {
    orphans_older_than(&state, ORPHAN_AGE_MS).await?;
    let upload_ms = state
        .config
        .limits
        .body_deadline_seconds
        .saturating_mul(1000);
    recordings_older_than(&state, upload_ms.saturating_add(ORPHAN_AGE_MS)).await
}

/// Results without a row or task that names them.
pub async fn orphans_older_than(state: &AppState, age_ms: u64) -> anyhow::Result<()> {
    let before_ms = now_ms().saturating_sub(age_ms);
    let mut results = state.objects.results_before(before_ms).await?;
    // What cannot be an id is none of ours.
    results.retain(|id, _| TaskId::parse(id.as_str()).is_ok());
    let results: Vec<_> = results.into_iter().collect();
    for batch in results.chunks(BATCH) {
        let tasks = batch
            .iter()
            .filter_map(|(id, _)| TaskId::parse(id.as_str()).ok());
        // Redis first: a result that moves from its hash into the row in between is then seen twice, not never.
        let snapshots = state
            .queue
            .snapshots(&tasks.collect::<Vec<_>>())
            .await
            .context("failed to ask the queue for results")?;
        let ids: Vec<&str> = batch.iter().map(|(id, _)| id.as_str()).collect();
        let rows = state.db.stored_results(&ids).await?;
        for ((id, fingerprints), snapshot) in batch.iter().zip(snapshots) {
            let mut named = Vec::new();
            named.extend(snapshot.and_then(|snapshot| snapshot.result));
            if let Some(Some(stored)) = rows.get(id) {
                match serde_json::from_str::<ResultPointer>(stored) {
                    Ok(stored) => named.push(stored),
                    Err(cause) => {
                        tracing::error!(task.id = %id, %cause, "a row holds an unreadable result; its files stay");
                        continue;
                    }
                }
            }
            for fingerprint in fingerprints {
                if named
                    .iter()
                    .any(|result| result.fingerprint == *fingerprint)
                {
                    continue;
                }
                match state.objects.delete_result(id, fingerprint).await {
                    Ok(()) => {
                        swept("orphan", 1);
                        tracing::info!(task.id = %id, "removed a result that no transcription names");
                    }
                    Err(error) => go_on("orphans", id, error.into())?,
                }
            }
        }
    }
    Ok(())
}

/// Recordings without a row: the service died between the end of the upload and the row.
pub async fn recordings_older_than(state: &AppState, age_ms: u64) -> anyhow::Result<()> {
    let before_ms = now_ms().saturating_sub(age_ms);
    let ids: Vec<String> = state
        .objects
        .recordings_before(before_ms)
        .await?
        .into_iter()
        .filter(|id| TaskId::parse(id.as_str()).is_ok())
        .collect();
    for batch in ids.chunks(BATCH) {
        let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
        let rows = state.db.stored_results(&batch).await?;
        for id in batch.into_iter().filter(|id| !rows.contains_key(*id)) {
            match state.objects.delete(ObjectKey::Audio(id)).await {
                Ok(()) => {
                    swept("orphan", 1);
                    tracing::info!(task.id = %id, "removed a recording that no transcription names");
                }
                Err(error) => go_on("orphans", id, error.into())?,
            }
        }
    }
    Ok(())
}

fn swept(what: &'static str, count: u64) {
    metrics::counter!(names::SWEPT, "what" => what).increment(count);
}

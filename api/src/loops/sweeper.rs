//! What is over goes: transcriptions past their retention, recordings past theirs, uploads that nobody started, files that no
//! row names. A step that fails leaves a tombstone with objects, which the next run finishes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use queue::TaskId;

use crate::metrics::names;
use crate::objects::{ObjectKey, StoredResult};
use crate::state::{AppState, now_ms};
use crate::transcriptions;

/// Listing all results is dear on a remote store.
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

/// Transcriptions whose time is over, and uploads that were never started.
pub async fn expired(state: &AppState, now_ms: u64) -> anyhow::Result<()> {
    loop {
        let rows = state
            .db
            .list_expired(now_ms, BATCH)
            .await
            .context("failed to read expired rows")?;
        for row in &rows {
            transcriptions::remove(state, row.clone(), "expired")
                .await
                .with_context(|| format!("failed to remove transcription {}", row.id))?;
            swept("transcription", 1);
        }
        if rows.len() < BATCH {
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
        for row in &rows {
            state.objects.delete(ObjectKey::Audio(&row.id)).await?;
            state.db.forget_source(&row.id, now_ms).await?;
            swept("recording", 1);
        }
        if rows.len() < BATCH {
            return Ok(());
        }
    }
}

/// Objects of removed rows that could not be deleted at the time.
pub async fn leftovers(state: &AppState, before_ms: u64) -> anyhow::Result<()> {
    for id in state
        .db
        .list_leftovers(before_ms, BATCH)
        .await
        .context("failed to read tombstones")?
    {
        state.objects.delete_all(&id).await?;
        state.db.objects_deleted(&id).await?;
        swept("leftover", 1);
    }
    Ok(())
}

/// Results that no row names: of an attempt that was overtaken, or handed in by a server that died on the way.
pub async fn orphans(state: AppState) -> anyhow::Result<()> {
    orphans_older_than(&state, ORPHAN_AGE_MS).await
}

pub async fn orphans_older_than(state: &AppState, age_ms: u64) -> anyhow::Result<()> {
    let mut by_id: BTreeMap<String, Vec<StoredResult>> = BTreeMap::new();
    for stored in state
        .objects
        .results_before(now_ms().saturating_sub(age_ms))
        .await?
    {
        by_id.entry(stored.id.clone()).or_default().push(stored);
    }
    for (id, results) in by_id {
        let Ok(task) = TaskId::parse(id.as_str()) else {
            continue;
        };
        // Redis first: a result that moves from its hash into the row in between is then seen twice, not never.
        let snapshots = state
            .queue
            .snapshots(&[task])
            .await
            .context("failed to ask the queue for results")?;
        let snapshot = snapshots.into_iter().next().flatten();
        let pending = snapshot
            .and_then(|snapshot| snapshot.result)
            .map(|result| result.fingerprint);
        let row = state.db.get(&id).await?;
        let stored = row
            .and_then(|row| row.result)
            .map(|result| result.fingerprint);
        for result in results {
            let named = [&pending, &stored]
                .into_iter()
                .flatten()
                .any(|known| *known == result.fingerprint);
            if !named {
                state.objects.delete_result(&result).await?;
                swept("orphan", 1);
                tracing::info!(task.id = %id, "removed a result that no transcription names");
            }
        }
    }
    Ok(())
}

fn swept(what: &'static str, count: u64) {
    metrics::counter!(names::SWEPT, "what" => what).increment(count);
}

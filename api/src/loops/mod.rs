//! What the service does without being asked: outbox into the database, lost tasks back into the queue, dead workers' tasks
//! to others, old things away. Each step may be repeated or cut short at any point, and any number of replicas may run it.

pub mod deadlines;
pub mod fsck;
pub mod reaper;
pub mod reconciler;
pub mod subscriber;
pub mod sweeper;

use std::time::Duration;

use anyhow::Context;
use axum::http::StatusCode;
use tokio::task::{JoinHandle, JoinSet};

use crate::db;
use crate::error::ApiError;
use crate::state::AppState;

const UPKEEP: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// For one step; one that hangs must not stop its loop for ever.
const STEP_DEADLINE: Duration = Duration::from_secs(60);

/// Starts every loop; they end at shutdown. When one ends by itself the shutdown begins, and the error says which.
pub fn spawn(state: &AppState) -> JoinHandle<anyhow::Result<()>> {
    let state = state.clone();
    tokio::spawn(async move {
        let ended = run(state.clone()).await;
        if let Err(error) = &ended {
            tracing::error!(
                cause = format!("{error:#}"),
                "a loop ended; so does the service"
            );
        }
        state.shutdown.cancel();
        ended
    })
}

/// Runs every loop until shutdown. An error inside a loop is logged and tried again; the end of a loop is an error here,
/// and the caller ends the process, because a service that has stopped storing results must not look alive.
async fn run(state: AppState) -> anyhow::Result<()> {
    let timing = &state.config.timing;
    let ms = Duration::from_millis;
    let mut loops = JoinSet::new();
    let own = state.clone();
    loops.spawn(async move {
        own.hub.run(&own.queue, &own.shutdown).await;
        "hints"
    });
    let own = state.clone();
    loops.spawn(async move {
        crate::fetch::run(&own).await;
        "fetches"
    });
    add(
        &mut loops,
        &state,
        "deadlines",
        ms(state.config.operator.deadline_interval_ms),
        deadlines::enforce,
    );
    let own = state.clone();
    loops.spawn(async move {
        let wake = || own.hub.finished();
        repeat(
            &own,
            "outbox",
            ms(own.config.timing.outbox_poll_ms),
            wake,
            subscriber::drain,
        )
        .await
    });
    let own = state.clone();
    loops.spawn(async move {
        let wake = || own.hub.connected();
        repeat(
            &own,
            "reconciler",
            ms(own.config.timing.reconcile_interval_ms),
            wake,
            reconciler::heal,
        )
        .await
    });
    add(
        &mut loops,
        &state,
        "metrics",
        UPKEEP,
        crate::metrics::upkeep,
    );
    add(&mut loops, &state, "fsck", fsck::INTERVAL, fsck::check);
    add(
        &mut loops,
        &state,
        "sweeper",
        ms(timing.sweep_interval_ms),
        sweeper::sweep,
    );
    add(
        &mut loops,
        &state,
        "orphans",
        sweeper::ORPHAN_INTERVAL,
        sweeper::orphans,
    );
    if state.config.reap {
        add(
            &mut loops,
            &state,
            "reaper",
            ms(timing.reap_interval_ms),
            reaper::reap,
        );
    }
    while let Some(ended) = loops.join_next().await {
        let name = ended.context("a loop of the service panicked")?;
        anyhow::ensure!(
            state.shutdown.is_cancelled(),
            "the loop `{name}` ended by itself"
        );
    }
    Ok(())
}

fn add<F, Fut>(
    loops: &mut JoinSet<&'static str>,
    state: &AppState,
    name: &'static str,
    interval: Duration,
    step: F,
) where
    F: Fn(AppState) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let state = state.clone();
    loops.spawn(async move { repeat(&state, name, interval, std::future::pending, step).await });
}

/// A step at once, then after each interval (+-20 %, so that replicas spread out) or as soon as `wake` ends.
async fn repeat<W, WFut, F, Fut>(
    state: &AppState,
    name: &'static str,
    interval: Duration,
    wake: W,
    step: F,
) -> &'static str
where
    W: Fn() -> WFut,
    WFut: Future<Output = ()>,
    F: Fn(AppState) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let mut failures = 0_u32;
    // What runs seldom goes through everything there is, and may take its time.
    let deadline = STEP_DEADLINE.max(interval / 2);
    loop {
        let outcome = tokio::select! {
            outcome = bounded(deadline, step(state.clone())) => outcome,
            () = state.shutdown.cancelled() => return name,
        };
        let pause = match outcome {
            Ok(()) => {
                if failures > 0 {
                    tracing::info!(loop.name = name, failures, "the loop works again");
                }
                failures = 0;
                jittered(interval)
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                metrics::counter!("wtt_loop_failures_total", "loop" => name).increment(1);
                tracing::warn!(loop.name = name, failures, cause = format!("{error:#}"), "a loop failed; it tries again");
                jittered((FIRST_PAUSE * 2_u32.pow(failures.min(6) - 1)).min(LONGEST_PAUSE))
            }
        };
        let woken = async {
            // After a failure a hint must not shorten the pause: an outage with many hints would become a hot loop.
            if failures > 0 {
                std::future::pending().await
            } else {
                wake().await
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = woken => {}
            () = state.shutdown.cancelled() => return name,
        }
    }
}

/// Every step may be cut short at any point, so it may also be dropped.
async fn bounded(
    deadline: Duration,
    step: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    match tokio::time::timeout(deadline, step).await {
        Ok(outcome) => outcome,
        Err(_) => anyhow::bail!("it took longer than {} s", deadline.as_secs_f64()),
    }
}

/// Trouble with one row or object is logged and counted, and the run goes on; trouble that all others would have, too, ends
/// the run, which is tried again.
fn go_on(name: &'static str, id: &str, error: anyhow::Error) -> anyhow::Result<()> {
    if is_outage(&error) {
        return Err(error.context(format!("stopped at {id}")));
    }
    metrics::counter!("wtt_loop_failures_total", "loop" => name).increment(1);
    tracing::error!(
        loop.name = name,
        task.id = id,
        cause = format!("{error:#}"),
        "skipped what cannot be handled"
    );
    Ok(())
}

fn is_outage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        if let Some(cause) = cause.downcast_ref::<queue::Error>() {
            return cause.is_unavailable() || cause.is_refused();
        }
        if let Some(cause) = cause.downcast_ref::<ApiError>() {
            return matches!(
                cause.code.status(),
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE
            );
        }
        cause
            .downcast_ref::<db::Error>()
            .is_some_and(db::Error::is_unavailable)
    })
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.8..1.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_that_hangs_is_a_failed_step() {
        let hangs = bounded(Duration::from_millis(20), std::future::pending());
        let ended = tokio::time::timeout(Duration::from_secs(20), hangs).await;
        let error = ended.expect("it ends").unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
        bounded(STEP_DEADLINE, async { Ok(()) }).await.unwrap();
    }

    #[test]
    fn one_bad_row_is_skipped_and_an_outage_ends_the_run() {
        let bad = db::Error::Unreadable {
            id: "a".to_owned(),
            column: "options",
            value: "?".to_owned(),
        };
        let bad = anyhow::Error::from(bad).context("failed to mend");
        go_on("test", "a", bad).unwrap();
        let away = db::Error::Query(sqlx::Error::PoolTimedOut);
        let away = anyhow::Error::from(away).context("failed to mend");
        assert!(go_on("test", "a", away).is_err());
        let away = ApiError::new(crate::error::Code::QueueUnavailable, "away");
        assert!(go_on("test", "a", anyhow::Error::from(away).context("x")).is_err());
    }
}

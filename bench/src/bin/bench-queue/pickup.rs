//! How soon an idle worker has a new task: from the call of ENQUEUE to the answer of CLAIM, with hints, and without any
//! message at all. The workers wait as real ones do, by `queue::Hints`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench::numbers::{largest, percentile, table};
use bench::server;
use queue::testing::RedisServer;
use queue::{ClaimAnswer, ClaimRequest, Hints, Queue, QueueConfig};
use tokio::task::JoinSet;

use crate::contender::SETTINGS;
use crate::ours::{beat, complete, request, task, worker};

/// What a worker waits for without a hint.
const POLL: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);
/// Seconds of arrivals at one rate.
const LONGEST: f64 = 30.0;
/// What is promised.
const HINT_P50_MS: f64 = 5.0;
const HINT_P99_MS: f64 = 50.0;
const POLL_MS: f64 = 6000.0;

/// When each task was enqueued, and how long each then waited, in ms.
#[derive(Clone, Default)]
struct Log {
    sent: Arc<Mutex<HashMap<String, Instant>>>,
    waits_ms: Arc<Mutex<Vec<f64>>>,
}

impl Log {
    fn sends(&self, name: &str) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.insert(name.to_owned(), Instant::now());
    }

    fn claimed(&self, name: &str) {
        let now = Instant::now();
        let sent = self
            .sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        if let Some(sent) = sent {
            let mut waits = self.waits_ms.lock().unwrap_or_else(PoisonError::into_inner);
            waits.push(now.duration_since(sent).as_secs_f64() * 1000.0);
        }
    }

    fn waits_ms(&self) -> Vec<f64> {
        self.waits_ms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// An idle worker that completes at once what it gets.
async fn work(queue: Queue, number: usize, log: Log) -> Result<()> {
    let name = worker(number)?;
    queue.heartbeat(&beat(&name)).await?;
    let hints = Hints::listen(&queue);
    let mut request = request(name);
    loop {
        request.nonce = ClaimRequest::nonce();
        match queue.claim(&request).await? {
            ClaimAnswer::Claimed(claim) => {
                log.claimed(claim.id.as_str());
                complete(&queue, &claim).await?;
            }
            ClaimAnswer::Again => {}
            _ => {
                let poll = Hints::patience(POLL);
                tokio::select! {
                    () = hints.next(1, poll) => {}
                    () = tokio::time::sleep(poll) => {}
                }
            }
        }
    }
}

/// Arrivals do not wait for answers: at chance moments, so many a second.
async fn by_hint(workers: usize, per_second: f64, count: usize) -> Result<Vec<f64>> {
    let redis = RedisServer::start_with(&SETTINGS);
    let log = Log::default();
    let mut crowd = JoinSet::new();
    for n in 0..workers {
        let queue = Queue::connect(&QueueConfig::new(redis.url())).await?;
        crowd.spawn(work(queue, n, log.clone()));
    }
    let queue = Queue::connect(&QueueConfig::new(redis.url())).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut calls = JoinSet::new();
    let mut next = tokio::time::Instant::now();
    for n in 0..count {
        let gap = -(1.0 - rand::random::<f64>()).ln() / per_second;
        next += Duration::from_secs_f64(gap);
        tokio::time::sleep_until(next).await;
        let (queue, log) = (queue.clone(), log.clone());
        calls.spawn(async move {
            let name = format!("task-{n}");
            log.sends(&name);
            anyhow::Ok(queue.enqueue(&task(&name, 120)?).await?)
        });
    }
    while let Some(called) = calls.join_next().await {
        called??;
    }
    all_claimed(&log, count).await
}

/// Many queues with one worker each, no channels at all, one task each at a chance moment of the worker's wait.
async fn by_poll(queues: usize) -> Result<Vec<f64>> {
    let redis = RedisServer::start_with(&SETTINGS);
    server::forbid_channels(&redis.socket())?;
    let log = Log::default();
    let (mut crowd, mut calls) = (JoinSet::new(), JoinSet::new());
    for n in 0..queues {
        let config = QueueConfig {
            prefix: format!("q{n}:"),
            ..QueueConfig::new(redis.url())
        };
        let queue = Queue::connect(&config).await?;
        crowd.spawn(work(queue.clone(), n, log.clone()));
        let log = log.clone();
        calls.spawn(async move {
            tokio::time::sleep(Duration::from_secs_f64(0.5 + 10.0 * rand::random::<f64>())).await;
            let name = format!("task-{n}");
            log.sends(&name);
            anyhow::Ok(queue.enqueue(&task(&name, 120)?).await?)
        });
    }
    while let Some(called) = calls.join_next().await {
        called??;
    }
    all_claimed(&log, queues).await
}

async fn all_claimed(log: &Log, count: usize) -> Result<Vec<f64>> {
    let deadline = Instant::now() + PATIENCE;
    while log.waits_ms().len() < count {
        ensure!(
            Instant::now() < deadline,
            "VOID: {} of {count} were claimed",
            log.waits_ms().len()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(log.waits_ms())
}

/// Prints, and returns what was promised and not kept.
pub(crate) async fn run(count: usize) -> Result<Vec<String>> {
    println!();
    println!(
        "pick-up by an idle worker, from the call of ENQUEUE to the answer of CLAIM, arrivals at chance moments:"
    );
    let mut rows = Vec::new();
    let mut broken = Vec::new();
    for (workers, per_second) in [(1, 20.0), (4, 100.0), (8, 500.0)] {
        let waits = by_hint(
            workers,
            per_second,
            count.min((LONGEST * per_second) as usize),
        )
        .await?;
        let name = format!("by hint, {workers} idle, {per_second:.0} a second");
        let (p50, p99) = (percentile(&waits, 50.0), percentile(&waits, 99.0));
        if p50 >= HINT_P50_MS || p99 >= HINT_P99_MS {
            broken.push(format!(
                "pick-up {name}: p50 < {HINT_P50_MS} ms and p99 < {HINT_P99_MS} ms, seen {p50:.2} and {p99:.2} ms"
            ));
        }
        rows.push(row(&name, &waits));
    }
    let waits = by_poll(100).await?;
    if largest(&waits) >= POLL_MS {
        broken.push(format!(
            "pick-up without pub/sub: < {POLL_MS} ms, seen {:.0} ms",
            largest(&waits)
        ));
    }
    rows.push(row("no pub/sub at all, 100 queues, 1 idle each", &waits));
    table(&["workers", "tasks", "p50 ms", "p99 ms", "most ms"], &rows);
    println!(
        "  promised: by hint p50 < {HINT_P50_MS} ms and p99 < {HINT_P99_MS} ms; without pub/sub < {POLL_MS} ms: {}",
        verdict(broken.is_empty())
    );
    Ok(broken)
}

fn row(name: &str, waits: &[f64]) -> Vec<String> {
    vec![
        name.to_owned(),
        waits.len().to_string(),
        format!("{:.2}", percentile(waits, 50.0)),
        format!("{:.2}", percentile(waits, 99.0)),
        format!("{:.2}", largest(waits)),
    ]
}

pub(crate) fn verdict(kept: bool) -> &'static str {
    if kept { "kept" } else { "NOT KEPT" }
}

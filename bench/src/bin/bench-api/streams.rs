//! Many event streams on tasks that move: every client hears the end, the service's memory stays where it was, and others are
//! answered at once. The worker is played here: it claims, reports progress and completes through the queue alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use queue::{
    Beat, Claim, ClaimAnswer, ClaimRequest, Completion, Progress, Queue, QueueConfig, QueueName,
    ResultPointer, WorkerAbout, WorkerId, WorkerState,
};
use reqwest::Client;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::service::{Memory, Service, Watch};
use crate::uploads::upload;

/// As a worker does.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
const BEAT_EVERY: Duration = Duration::from_secs(4);
const READS_PER_SECOND: u32 = 50;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Streamed {
    pub(crate) memory: Memory,
    pub(crate) connected: usize,
    /// Clients that were told the end, and all events that they got.
    pub(crate) ended: usize,
    pub(crate) events: usize,
    pub(crate) reads_ms: Vec<f64>,
    pub(crate) alone_ms: Vec<f64>,
}

#[derive(Clone, Default)]
struct Heard {
    connected: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    events: Arc<AtomicUsize>,
}

pub(crate) async fn run(
    service: &Service,
    clients: usize,
    tasks: usize,
    seconds: u64,
) -> Result<Streamed> {
    let http = Client::new();
    let queue = Queue::connect(&QueueConfig::new(service.redis.url())).await?;
    let mut ids = Vec::new();
    for seed in 0..tasks {
        ids.push(upload(&http, service, 100_044, 1000 + seed as u64).await?);
    }
    let held = claim_all(&queue).await?;
    ensure!(
        held.len() >= tasks,
        "only {} of {tasks} were claimed",
        held.len()
    );
    let alone_ms = read_for(&http, service, &ids, Duration::from_secs(5)).await?;

    let watch = Watch::begin(service.pid())?;
    let heard = Heard::default();
    let mut listeners = JoinSet::new();
    for n in 0..clients {
        let (address, id, heard) = (service.address, ids[n % ids.len()].clone(), heard.clone());
        listeners.spawn(async move { listen(address, &id, &heard).await });
    }
    wait_for(&heard.connected, clients).await?;
    let worker = tokio::spawn(play(queue, held, Duration::from_secs(seconds)));
    let reads_ms = read_for(&http, service, &ids, Duration::from_secs(seconds)).await?;
    let connected = heard.connected.load(Ordering::Relaxed) - heard.ended.load(Ordering::Relaxed);
    worker.await??;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Ok(Some(listened)) = tokio::time::timeout_at(deadline, listeners.join_next()).await {
        if let Err(error) = listened? {
            println!("  a client failed: {error:#}");
        }
    }
    Ok(Streamed {
        memory: watch.end(service.pid())?,
        connected,
        ended: heard.ended.load(Ordering::Relaxed),
        events: heard.events.load(Ordering::Relaxed),
        reads_ms,
        alone_ms,
    })
}

/// One client, as a browser's EventSource, without its memory.
async fn listen(address: std::net::SocketAddr, id: &str, heard: &Heard) -> Result<()> {
    let stream = TcpStream::connect(address).await?;
    let mut lines = BufReader::with_capacity(2048, stream);
    let ask = format!(
        "GET /api/v1/transcriptions/{id}/events HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\nconnection: close\r\n\r\n"
    );
    lines.get_mut().write_all(ask.as_bytes()).await?;
    let mut line = String::new();
    let mut last = String::new();
    let mut first = true;
    while lines.read_line(&mut line).await? > 0 {
        if first && !line.starts_with("HTTP/1.1 200") {
            bail!("refused: {}", line.trim());
        }
        first = false;
        if let Some(name) = line.strip_prefix("event: ").or(line.strip_prefix("event:")) {
            last = name.trim().to_owned();
            if heard.events.fetch_add(1, Ordering::Relaxed) == usize::MAX {
                break;
            }
            if last == "snapshot" {
                heard.connected.fetch_add(1, Ordering::Relaxed);
            }
        }
        line.clear();
    }
    ensure!(last == "succeeded", "the last event was {last:?}");
    heard.ended.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

async fn wait_for(count: &AtomicUsize, wanted: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while count.load(Ordering::Relaxed) < wanted {
        ensure!(
            Instant::now() < deadline,
            "{} of {wanted} clients were connected",
            count.load(Ordering::Relaxed)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Open-loop reads of states, so many a second; how long each took, in ms.
async fn read_for(
    http: &Client,
    service: &Service,
    ids: &[String],
    long: Duration,
) -> Result<Vec<f64>> {
    let count = (long.as_secs_f64() * f64::from(READS_PER_SECOND)) as usize;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / READS_PER_SECOND);
    let mut reads = JoinSet::new();
    for n in 0..count {
        ticks.tick().await;
        let (http, url) = (
            http.clone(),
            service.url(&format!("/api/v1/transcriptions/{}", ids[n % ids.len()])),
        );
        reads.spawn(async move {
            let start = Instant::now();
            let answer = http.get(url).send().await?.error_for_status()?;
            answer.bytes().await?;
            anyhow::Ok(start.elapsed().as_secs_f64() * 1000.0)
        });
    }
    reads.join_all().await.into_iter().collect()
}

fn name() -> Result<WorkerId> {
    Ok(WorkerId::parse("bench-api")?)
}

async fn beat(queue: &Queue, held: &[Claim]) -> Result<()> {
    let beat = Beat {
        worker: name()?,
        state: WorkerState::Busy,
        about: WorkerAbout::default(),
        held: held
            .iter()
            .map(|claim| (claim.id.clone(), claim.token.clone()))
            .collect(),
        ttl_ms: 30_000,
    };
    queue.heartbeat(&beat).await?;
    Ok(())
}

async fn claim_all(queue: &Queue) -> Result<Vec<Claim>> {
    beat(queue, &[]).await?;
    let mut held = Vec::new();
    loop {
        let request = ClaimRequest {
            worker: name()?,
            queues: vec![QueueName::default()],
            nonce: ClaimRequest::nonce(),
            held: held.len() as u32,
            slots: 1000,
        };
        match queue.claim(&request).await? {
            ClaimAnswer::Claimed(claim) => held.push(*claim),
            _ => return Ok(held),
        }
    }
}

/// Progress of every task at the rate of real workers, then its end.
async fn play(queue: Queue, held: Vec<Claim>, long: Duration) -> Result<()> {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    let mut next_beat = start;
    let total = (long.as_secs_f64() / PROGRESS_EVERY.as_secs_f64()) as u64;
    for current in 0..total {
        ticks.tick().await;
        if Instant::now() >= next_beat {
            beat(&queue, &held).await?;
            next_beat = Instant::now() + BEAT_EVERY;
        }
        let progress = Progress {
            stage: "inference".to_owned(),
            current,
            total,
        };
        for claim in &held {
            ensure!(
                queue.progress(&claim.id, &claim.token, &progress).await?,
                "a lease was lost"
            );
        }
    }
    // Still connected while the reads are counted.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for claim in &held {
        let completion = Completion {
            id: claim.id.clone(),
            token: claim.token.clone(),
            result: ResultPointer::default(),
            busy_ms: 100,
            ttl_ms: 3_600_000,
        };
        queue.complete(&completion).await.context("completing")?;
    }
    Ok(())
}

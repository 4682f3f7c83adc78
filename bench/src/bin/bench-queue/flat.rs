//! What one task costs the server while more and more wait or run: enqueue, claim and complete at a constant depth.

use std::time::Instant;

use anyhow::{Result, bail};
use bench::numbers::table;
use bench::server::{self, Usage};
use queue::testing::RedisServer;
use queue::{ClaimAnswer, ClaimRequest, Queue, QueueConfig};

use crate::ours::{beat, complete, request, task, worker};
use crate::pickup::verdict;

/// Calls under way at once while the queue is filled.
const FILLERS: usize = 64;
/// The dearest depth may cost so much more than the cheapest: chance and the processor's caches.
const FLAT: f64 = 1.5;

struct Level {
    waiting: usize,
    running: usize,
    server: Usage,
    seconds: f64,
    bytes_each: f64,
}

/// Fills the server from here to there; `cycles` tasks then come and go.
async fn measure(
    queue: &Queue,
    redis: &RedisServer,
    from: usize,
    to: usize,
    running: usize,
    cycles: usize,
) -> Result<Level> {
    let before_bytes = server::used_memory_bytes(&redis.socket())?;
    let fill = |first: usize| async move {
        for n in (from + first..to).step_by(FILLERS) {
            queue.enqueue(&task(&format!("w-{n}"), 120)?).await?;
        }
        anyhow::Ok(())
    };
    futures::future::try_join_all((0..FILLERS).map(fill)).await?;
    let bytes = server::used_memory_bytes(&redis.socket())?.saturating_sub(before_bytes);

    let mut claims = request(worker(0)?);
    let before = server::usage(&redis.socket())?;
    let start = Instant::now();
    for n in 0..cycles {
        queue
            .enqueue(&task(&format!("c-{to}-{running}-{n}"), 120)?)
            .await?;
        claims.nonce = ClaimRequest::nonce();
        let ClaimAnswer::Claimed(claim) = queue.claim(&claims).await? else {
            bail!("nothing to claim among {to} waiting tasks");
        };
        complete(queue, &claim).await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let server = server::usage(&redis.socket())?.since(before);
    while let Some(newest) = queue.results(1000).await?.last().map(|entry| entry.number) {
        queue.ack_results(newest, 1000).await?;
    }
    Ok(Level {
        waiting: to,
        running,
        server,
        seconds,
        bytes_each: if to > from {
            bytes as f64 / (to - from) as f64
        } else {
            0.0
        },
    })
}

/// Prints, and returns what was promised and not kept.
pub(crate) async fn run(depths: &[usize], cycles: usize) -> Result<Vec<String>> {
    println!();
    println!(
        "cost of enqueue + claim + complete at constant depth, {cycles} tasks each, one client, no append-only file:"
    );
    let redis = RedisServer::start();
    let queue = Queue::connect(&QueueConfig::new(redis.url())).await?;
    queue.heartbeat(&beat(&worker(0)?)).await?;
    let mut levels = Vec::new();
    let mut from = 0;
    measure(&queue, &redis, 0, 0, 0, cycles).await?; // warm-up
    for depth in depths {
        levels.push(measure(&queue, &redis, from, *depth, 0, cycles).await?);
        from = *depth;
    }
    drop(redis);
    let steepness = steepness(&levels, cycles);
    print(&levels, cycles);
    let mut broken = Vec::new();
    if steepness > FLAT {
        broken.push(format!(
            "cost at depth: the dearest at most {FLAT} times the cheapest, seen {steepness:.2} times"
        ));
    }
    println!(
        "  promised: flat, the dearest at most {FLAT} times the cheapest: {steepness:.2} times, {}",
        verdict(broken.is_empty())
    );

    println!();
    println!(
        "the same with 1,000 waiting and more and more running (their ids stand in one list):"
    );
    let redis = RedisServer::start();
    let queue = Queue::connect(&QueueConfig::new(redis.url())).await?;
    queue.heartbeat(&beat(&worker(1)?)).await?;
    let mut levels = Vec::new();
    let mut running = 0;
    for wanted in [0, 100, 1_000, 10_000] {
        let mut claims = request(worker(1)?);
        for n in running..wanted {
            queue.enqueue(&task(&format!("r-{n}"), 120)?).await?;
            claims.nonce = ClaimRequest::nonce();
            queue.claim(&claims).await?;
        }
        running = wanted;
        let from = if levels.is_empty() { 0 } else { 1000 };
        levels.push(measure(&queue, &redis, from, 1000, running, cycles).await?);
    }
    print(&levels, cycles);
    Ok(broken)
}

/// How many times the cheapest level the dearest costs.
fn steepness(levels: &[Level], cycles: usize) -> f64 {
    let costs: Vec<f64> = levels
        .iter()
        .map(|level| level.server.script_seconds / cycles as f64)
        .collect();
    bench::numbers::largest(&costs) / bench::numbers::smallest(&costs)
}

fn print(levels: &[Level], cycles: usize) {
    let rows: Vec<Vec<String>> = levels
        .iter()
        .map(|level| {
            let each = |seconds: f64| format!("{:.1}", seconds * 1e6 / cycles as f64);
            vec![
                level.waiting.to_string(),
                level.running.to_string(),
                each(level.server.script_seconds),
                each(level.server.cpu_seconds),
                each(level.seconds),
                format!("{:.0}", level.bytes_each),
            ]
        })
        .collect();
    table(
        &[
            "waiting",
            "running",
            "in scripts us",
            "Redis us",
            "wall us",
            "bytes each",
        ],
        &rows,
    );
}

//! Our contender, with the connections of a deployment: the API's one, over which every client enqueues and every hand-in is
//! completed, and one for each of two workers, whose four slots claim over it. Another thread, as the API's loops, hears every
//! event and empties the outbox. It speaks the contenders' protocol: "ready" after a warm-up, a line to begin, one line of JSON.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench::process::processor_time;
use queue::{
    Beat, Claim, ClaimAnswer, ClaimRequest, Completed, Completion, Enqueued, Event, Interest,
    NewTask, Queue, QueueConfig, QueueName, ResultPointer, TaskId, TaskPayload, WorkerAbout,
    WorkerId, WorkerState,
};

use crate::contender::Figures;

const AUDIO_MS: u64 = 30_000;
/// What an API takes from the outbox at once.
const BATCH: usize = 200;
/// The handles of a process share its one connection; a call waits for its own reply all the same.
const WORKERS: usize = 2;
/// What an API's commit takes before it acknowledges, at the least.
const COMMIT: Duration = Duration::from_millis(1);
/// Without a hint it looks again.
const POLL: Duration = Duration::from_secs(5);
/// Nothing may take longer.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    url: String,
    #[arg(long)]
    tasks: usize,
    #[arg(long)]
    warm_up: usize,
    #[arg(long)]
    clients: usize,
    #[arg(long)]
    payload: usize,
}

pub(crate) fn run(options: &Options) -> Result<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(cycle(options, "warm", options.warm_up))?;
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let pid = std::process::id();
    let before = processor_time(pid)?;
    let figures = runtime.block_on(cycle(options, "task", options.tasks))?;
    Ok(Figures {
        cpu_seconds: (processor_time(pid)? - before).as_secs_f64(),
        ..figures
    })
}

async fn cycle(options: &Options, phase: &str, count: usize) -> Result<Figures> {
    let api = Queue::connect(&QueueConfig::new(&options.url)).await?;
    let slots = connect_workers(options).await?;
    let drainer = Drainer::start(options.url.clone(), count);
    let start = Instant::now();
    enqueue(&api, options, phase, count).await?;
    let enqueue_seconds = start.elapsed().as_secs_f64();

    let start = Instant::now();
    let completed = drain(&api, &slots, count).await?;
    // The cycle is over when the last final record has left the outbox.
    let recorded = drainer.finish()?;
    let drain_seconds = start.elapsed().as_secs_f64();
    let settled = recorded.len() == count
        && recorded.values().all(|times| *times == 1)
        && is_empty(&api).await?;
    Ok(Figures {
        finished: completed,
        distinct: recorded.len(),
        settled,
        enqueue_seconds,
        drain_seconds,
        cpu_seconds: 0.0,
    })
}

/// A handle for each slot.
async fn connect_workers(options: &Options) -> Result<Vec<Queue>> {
    let mut processes = Vec::new();
    for _ in 0..WORKERS {
        processes.push(Queue::connect(&QueueConfig::new(&options.url)).await?);
    }
    let mut slots = Vec::new();
    for n in 0..options.clients {
        let queue = processes[n % WORKERS].clone();
        queue.heartbeat(&beat(&worker(n)?)).await?;
        slots.push(queue);
    }
    Ok(slots)
}

pub(crate) fn worker(n: usize) -> Result<WorkerId> {
    Ok(WorkerId::parse(format!("bench-{n}"))?)
}

pub(crate) fn beat(worker: &WorkerId) -> Beat {
    Beat {
        worker: worker.clone(),
        state: WorkerState::Idle,
        about: WorkerAbout {
            slots: 1,
            ..WorkerAbout::default()
        },
        held: Vec::new(),
        ttl_ms: 30_000,
    }
}

/// A task whose payload is as long as asked for, as JSON.
pub(crate) fn task(name: &str, payload_bytes: usize) -> Result<NewTask> {
    let mut payload = TaskPayload::default();
    let bare = serde_json::to_string(&payload)?.len();
    payload.filename = "x".repeat(payload_bytes.saturating_sub(bare));
    Ok(NewTask::new(
        TaskId::parse(name)?,
        "basic-pitch",
        payload,
        AUDIO_MS,
    ))
}

async fn enqueue(api: &Queue, options: &Options, phase: &str, count: usize) -> Result<()> {
    let mut all = tokio::task::JoinSet::new();
    let (step, payload) = (options.clients, options.payload);
    for first in 0..step {
        let (api, phase) = (api.clone(), phase.to_owned());
        all.spawn(async move {
            for n in (first..count).step_by(step) {
                let answer = api
                    .enqueue(&task(&format!("{phase}-{n}"), payload)?)
                    .await?;
                ensure!(answer == Enqueued::New, "{phase}-{n} was there already");
            }
            Ok(())
        });
    }
    all.join_all().await.into_iter().collect()
}

/// How many completions were accepted.
async fn drain(api: &Queue, slots: &[Queue], count: usize) -> Result<usize> {
    let done = Arc::new(AtomicU64::new(0));
    let deadline = Instant::now() + PATIENCE;
    let mut all = tokio::task::JoinSet::new();
    for (n, slot) in slots.iter().enumerate() {
        let (api, slot, done) = (api.clone(), slot.clone(), Arc::clone(&done));
        all.spawn(async move {
            let mut request = request(worker(n)?);
            while (done.load(Ordering::Relaxed) as usize) < count {
                request.nonce = ClaimRequest::nonce();
                match slot.claim(&request).await? {
                    ClaimAnswer::Claimed(claim) => {
                        complete(&api, &claim).await?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    // The others hold the rest.
                    ClaimAnswer::Nothing { .. } | ClaimAnswer::Again => {
                        ensure!(Instant::now() < deadline, "tasks are missing");
                        tokio::task::yield_now().await;
                    }
                    other => bail!("unexpected {other:?}"),
                }
            }
            Ok(())
        });
    }
    let ended: Result<Vec<()>> = all.join_all().await.into_iter().collect();
    ended?;
    Ok(done.load(Ordering::Relaxed) as usize)
}

pub(crate) fn request(worker: WorkerId) -> ClaimRequest {
    ClaimRequest {
        worker,
        queues: vec![QueueName::default()],
        nonce: ClaimRequest::nonce(),
        held: 0,
        slots: 1,
    }
}

pub(crate) async fn complete(queue: &Queue, claim: &Claim) -> Result<()> {
    let completion = Completion {
        id: claim.id.clone(),
        token: claim.token.clone(),
        result: ResultPointer::default(),
        busy_ms: 100,
        ttl_ms: 24 * 3600 * 1000,
    };
    let answer = queue.complete(&completion).await?;
    ensure!(answer == Completed::Done, "{answer:?}");
    Ok(())
}

async fn is_empty(queue: &Queue) -> Result<bool> {
    let seen = queue.observe(&QueueName::default()).await?;
    Ok(seen.depth.total() + seen.in_flight_count + seen.delayed == 0)
}

/// Listens to every event and takes final records out of the outbox, on a thread of its own.
struct Drainer(JoinHandle<Result<HashMap<TaskId, u32>>>);

impl Drainer {
    fn start(url: String, count: usize) -> Self {
        Self(thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(empty_outbox(&url, count))
        }))
    }

    /// How often each id has left the outbox.
    fn finish(self) -> Result<HashMap<TaskId, u32>> {
        match self.0.join() {
            Ok(recorded) => recorded,
            Err(_) => bail!("the thread that empties the outbox panicked"),
        }
    }
}

async fn empty_outbox(url: &str, count: usize) -> Result<HashMap<TaskId, u32>> {
    let queue = Queue::connect(&QueueConfig::new(url)).await?;
    let wake = Arc::new(tokio::sync::Notify::new());
    let mut events = queue.events(Interest::Everything);
    let ring = Arc::clone(&wake);
    let listener = tokio::spawn(async move {
        loop {
            if let Event::Completed { .. } | Event::Failed { .. } | Event::Connected =
                events.next().await
            {
                ring.notify_one();
            }
        }
    });
    let mut recorded: HashMap<TaskId, u32> = HashMap::with_capacity(count);
    let deadline = Instant::now() + PATIENCE;
    while recorded.values().len() < count {
        ensure!(Instant::now() < deadline, "final records are missing");
        let entries = queue.results(BATCH).await.context("reading the outbox")?;
        let Some(newest) = entries.iter().map(|entry| entry.number).max() else {
            let _ = tokio::time::timeout(POLL, wake.notified()).await;
            continue;
        };
        tokio::time::sleep(COMMIT).await;
        queue.ack_results(newest, entries.len()).await?;
        for entry in entries {
            *recorded.entry(entry.id).or_default() += 1;
        }
    }
    listener.abort();
    Ok(recorded)
}

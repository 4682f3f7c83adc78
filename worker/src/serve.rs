//! A worker's life: connect, claim and run, stop in the order that loses nothing. Signals and exit codes are `process`'s.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;
use queue::{Claim, Queue, QueueConfig, QueueName, ReapOptions, WorkerAbout, WorkerId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backoff::Outage;
use crate::claims::claim_until_stopped;
use crate::heartbeat::{Heartbeat, Pulse};
use crate::leases::{Ending, Grant, Hold, Leases};
use crate::presence::Presence;
use crate::service::Api;
use crate::stop::Level;
use crate::workspace::Workspace;
use crate::{Config, Stop, Transcriber};

/// What the attempts and the claim loop share.
pub(crate) struct Worker {
    pub(crate) config: Config,
    pub(crate) id: WorkerId,
    pub(crate) queues: Vec<QueueName>,
    pub(crate) queue: Queue,
    pub(crate) api: Api,
    pub(crate) transcriber: Arc<dyn Transcriber>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) workspace: Workspace,
    pub(crate) stop: Stop,
    poisoned: CancellationToken,
    poison: Mutex<Option<String>>,
}

impl Worker {
    /// Nothing on this device will succeed any more: the worker has to end. The first reason stands.
    pub(crate) fn poison(&self, reason: String) {
        tracing::error!(reason, "this process can transcribe no more");
        self.poison.lock().get_or_insert(reason);
        self.poisoned.cancel();
    }

    /// No new task may be begun.
    pub(crate) fn is_ending(&self) -> bool {
        self.poisoned.is_cancelled() || self.stop.level() != Level::Run
    }

    pub(crate) async fn ending(&self) {
        tokio::select! {
            () = self.stop.reached(Level::Drain) => {}
            () = self.poisoned.cancelled() => {}
        }
    }

    pub(crate) fn hold(&self, claim: &Claim, sent: Instant) -> Hold {
        self.leases.hold(Grant {
            id: claim.id.clone(),
            token: claim.token.clone(),
            lease: Duration::from_millis(claim.lease_ms),
            hard_limit: (claim.hard_limit_ms > 0)
                .then(|| Duration::from_millis(claim.hard_limit_ms)),
            sent,
        })
    }
}

/// Works until `stop` says so, and returns when everything held was finished or handed back. An error means that the
/// process should end with a failure: a setting cannot work, or the device is beyond repair.
pub async fn serve(
    config: Config,
    transcriber: Arc<dyn Transcriber>,
    stop: Stop,
) -> anyhow::Result<()> {
    let id = worker_id(&config)?;
    let queues = config
        .queues
        .iter()
        .map(|name| QueueName::parse(name.as_str()))
        .collect::<Result<Vec<_>, _>>()?;
    anyhow::ensure!(
        !queues.is_empty(),
        "no queue to claim from; set --queues or WTT_QUEUES"
    );
    let api = Api::new(&config.api_url, &config.timing)?;
    let workspace = Workspace::open(config.temp_dir.as_deref()).with_context(|| {
        format!(
            "cannot use the folder for audio {:?}; set --temp-dir or WTT_TEMP_DIR",
            config.temp_dir
        )
    })?;
    let redis = redis(&config);
    let Some(queue) = connect(&redis, &id, &config, &stop).await? else {
        return Ok(());
    };

    let leases = Arc::new(Leases::default());
    let presence = Arc::new(Presence::default());
    let draining = Arc::new(AtomicBool::new(false));
    let heartbeat = Heartbeat::start(Pulse {
        redis,
        worker: id.clone(),
        about: about(&config, transcriber.as_ref()),
        leases: Arc::clone(&leases),
        presence: Arc::clone(&presence),
        draining: Arc::clone(&draining),
        stop: stop.clone(),
        timing: (*config.timing).clone(),
        stall: Duration::from_secs(config.stall_seconds),
    })
    .context("cannot start the heartbeat thread")?;
    tracing::info!(worker = %id, queues = ?config.queues, slots = config.slots, "ready");

    let worker = Arc::new(Worker {
        config,
        id,
        queues,
        queue,
        api,
        transcriber,
        leases,
        presence,
        workspace,
        stop,
        poisoned: CancellationToken::new(),
        poison: Mutex::new(None),
    });
    let mut attempts = JoinSet::new();
    claim_until_stopped(&worker, &mut attempts).await;
    finish(&worker, &mut attempts).await;
    farewell(&worker, heartbeat).await;
    match worker.poison.lock().take() {
        None => Ok(()),
        Some(reason) => Err(anyhow::anyhow!(
            "the device or the network is beyond repair: {reason}"
        )),
    }
}

/// Lets the running attempts end by themselves while there is time, then takes them back.
async fn finish(worker: &Worker, attempts: &mut JoinSet<()>) {
    let drain = worker.config.drain_timeout;
    tracing::info!(
        running = worker.leases.len(),
        drain_s = drain.as_secs(),
        "stopping: no more claims"
    );
    tokio::select! {
        () = all(attempts) => return,
        () = tokio::time::sleep(drain) => {}
        () = worker.stop.reached(Level::Now) => {}
        () = worker.poisoned.cancelled() => {}
    }
    // A poisoned worker counts a crash on what it holds; otherwise a hand-back costs the task nothing.
    let ending = if worker.poisoned.is_cancelled() {
        Ending::Lost
    } else {
        Ending::HandBack
    };
    worker.leases.end_all(ending);
    // RELEASE has its bound, and so has the wait for the network to let go.
    let bound = worker.config.timing.farewell * 2 + Duration::from_secs(1);
    if tokio::time::timeout(bound, all(attempts)).await.is_err() {
        tracing::warn!("a running attempt does not end; leaving it");
    }
}

async fn all(attempts: &mut JoinSet<()>) {
    while attempts.join_next().await.is_some() {}
}

/// Ends the heartbeat, then takes this worker out of Redis, and with it any lease that it still has there.
async fn farewell(worker: &Worker, heartbeat: Heartbeat) {
    // Ends within moments: the thread only waits on what can be dropped.
    let _ = tokio::task::spawn_blocking(move || heartbeat.stop()).await;
    let goodbye = async {
        let mut outage = Outage::new(
            worker.config.timing.outage_base,
            worker.config.timing.outage_cap,
        );
        let reap = ReapOptions {
            max_crashes: worker.config.max_crashes,
            crash_backoff_ms: worker.config.crash_backoff.as_millis() as u64,
            ..ReapOptions::default()
        };
        while let Err(error) = worker.queue.expire_worker(&worker.id, None, &reap).await {
            tracing::debug!(%error, "cannot take this worker out of Redis yet");
            tokio::time::sleep(outage.failed()).await;
        }
    };
    if tokio::time::timeout(worker.config.timing.farewell, goodbye)
        .await
        .is_err()
    {
        tracing::warn!(worker = %worker.id, "Redis does not answer: the worker's keys expire by themselves");
    }
}

fn redis(config: &Config) -> QueueConfig {
    let url = config
        .redis_url
        .clone()
        .or_else(|| std::env::var("REDIS_URL").ok());
    let mut redis = QueueConfig::new(url.unwrap_or_else(|| "redis://127.0.0.1:6379".into()));
    redis.prefix = config.redis_prefix.clone();
    redis
}

/// Waits for Redis. What waiting cannot mend (a wrong URL, a server that evicts) is an error.
async fn connect(
    redis: &QueueConfig,
    worker: &WorkerId,
    config: &Config,
    stop: &Stop,
) -> anyhow::Result<Option<Queue>> {
    let mut outage = Outage::new(config.timing.outage_base, config.timing.outage_cap);
    loop {
        match Queue::connect(redis).await {
            Ok(queue) => return Ok(Some(queue)),
            Err(error) if error.is_unavailable() => {
                let pause = outage.failed();
                if outage.is_new() {
                    tracing::warn!(%worker, %error, "waiting for Redis");
                }
                tokio::select! {
                    () = stop.reached(Level::Drain) => return Ok(None),
                    () = tokio::time::sleep(pause) => {}
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn about(config: &Config, transcriber: &dyn Transcriber) -> WorkerAbout {
    WorkerAbout {
        pod: config.pod.clone(),
        pod_uid: config.pod_uid.clone(),
        pool: config.pool.clone(),
        models: transcriber.models(),
        slots: config.slots,
    }
}

/// The given name, or one that no other boot has: pod or host, and random digits.
fn worker_id(config: &Config) -> anyhow::Result<WorkerId> {
    if let Some(id) = &config.worker_id {
        return WorkerId::parse(id.as_str()).context("--worker-id cannot be used");
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = if config.pod.is_empty() {
        host.trim()
    } else {
        &config.pod
    };
    let name: String = name
        .chars()
        .map(|letter| letter.to_ascii_lowercase())
        .filter(|letter| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '.' | '-')
        })
        .take(60)
        .collect();
    let name = if name.is_empty() { "worker" } else { &name };
    Ok(WorkerId::parse(format!(
        "{name}-{:08x}",
        rand::random::<u32>()
    ))?)
}

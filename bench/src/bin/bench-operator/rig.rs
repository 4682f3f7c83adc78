//! Everything that a part of the run has at hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bench::process;
use kube::Client;
use queue::testing::RedisServer;
use queue::{NewTask, Queue, QueueConfig, QueueName, TaskId, TaskPayload};
use tokio::time::Instant;

use crate::audit::Audit;
use crate::metrics::Metrics;
use crate::programs::{Api, Ground, Operator};
use crate::stage;
use crate::verdict::Verdict;
use crate::watched::Watched;
use crate::workers::{MODEL, Workers};

pub(crate) const MIB: f64 = 1024.0 * 1024.0;

pub(crate) struct Rig {
    pub(crate) ground: Ground,
    pub(crate) client: Client,
    pub(crate) api: Api,
    pub(crate) queue: Queue,
    pub(crate) workers: Workers,
    pub(crate) watched: Watched,
    pub(crate) audit: Audit,
    pub(crate) verdict: Verdict,
    kubeconfig: PathBuf,
    tasks: u64,
    // Last, so that it ends after those that use it.
    pub(crate) redis: RedisServer,
}

impl Rig {
    pub(crate) async fn start(
        programs: &Path,
        folder: &Path,
        admin: &Path,
        log: &Path,
    ) -> Result<Self> {
        let client = Client::try_default()
            .await
            .context("no cluster: run this by make bench-operator")?;
        stage::set(&client).await?;
        let kubeconfig = stage::operator_kubeconfig(&client, admin, folder).await?;
        let redis = RedisServer::start();
        let mut config = QueueConfig::new(redis.url());
        // Whoever plays the workers must not be the first to give up on a machine that is too busy.
        config.response_timeout = Duration::from_secs(30);
        let queue = Queue::connect(&config).await?;
        let ground = Ground {
            programs: programs.to_owned(),
            folder: folder.to_owned(),
            redis_url: redis.url(),
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(30))
                .build()?,
        };
        Ok(Self {
            api: Api::start(&ground).await?,
            workers: Workers::start(&client, &queue),
            watched: Watched::start(&client),
            audit: Audit::open(log)?,
            verdict: Verdict::default(),
            ground,
            client,
            queue,
            kubeconfig,
            tasks: 0,
            redis,
        })
    }

    pub(crate) async fn operator(&self, identity: &str) -> Result<Operator> {
        Operator::start(&self.ground, &self.api.url, &self.kubeconfig, identity).await
    }

    pub(crate) async fn metrics(&self, operator: &Operator) -> Result<Metrics> {
        Metrics::read(&self.ground.http, operator.metrics).await
    }

    /// Puts a task with so much work into the queue of this name.
    pub(crate) async fn enqueue(&mut self, queue: &str, audio_ms: u64) -> Result<()> {
        self.tasks += 1;
        let task = task(&format!("bench-{}", self.tasks), queue, audio_ms)?;
        self.queue.enqueue(&task).await?;
        Ok(())
    }

    /// Until nobody has written anything but the Lease for this long.
    pub(crate) async fn quiet(
        &self,
        operator: &Operator,
        span: Duration,
        limit: Duration,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        let (mut last, mut since) = (self.metrics(operator).await?.writes(), Instant::now());
        while since.elapsed() < span {
            if Instant::now() > end {
                bail!(
                    "the operator still writes after {} s: {}",
                    limit.as_secs(),
                    words(&last)
                );
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.metrics(operator).await?.writes();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    pub(crate) fn resident_mib(&self, operator: &Operator) -> Result<f64> {
        Ok(process::resident_bytes(operator.program.pid())? as f64 / MIB)
    }

    pub(crate) fn cpu_seconds(&self, operator: &Operator) -> Result<f64> {
        Ok(process::processor_time(operator.program.pid())?.as_secs_f64())
    }
}

pub(crate) fn task(id: &str, queue: &str, audio_ms: u64) -> Result<NewTask> {
    let id = TaskId::parse(id)?;
    let mut task = NewTask::new(id, MODEL, TaskPayload::default(), audio_ms);
    task.queue = QueueName::parse(queue)?;
    Ok(task)
}

/// `3 PATCH deployments, 1 POST events`.
pub(crate) fn words(writes: &BTreeMap<String, u64>) -> String {
    if writes.is_empty() {
        return "none".to_owned();
    }
    let words: Vec<String> = writes
        .iter()
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
    words.join(", ")
}

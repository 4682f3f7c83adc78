//! A worker under test: a real Redis of its own, an API that is only its two worker routes, and a network that does what
//! the test tells it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use queue::testing::RedisServer;
use queue::{
    Enqueued, NewTask, Queue, QueueConfig, QueueName, ReapOptions, TaskId, TaskPayload,
    TaskSnapshot,
};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use worker::{Config, Stop, Timing};

use crate::api::FakeApi;
use crate::network::Network;

/// Nothing here takes long; a busy machine may.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Everything but the worker.
pub(crate) struct Stage {
    pub(crate) redis: RedisServer,
    pub(crate) queue: Queue,
    pub(crate) api: Arc<FakeApi>,
    temp: tempfile::TempDir,
    reaper: JoinHandle<()>,
}

/// A worker that runs in this process.
pub(crate) struct Running {
    pub(crate) stop: Stop,
    pub(crate) work: JoinHandle<anyhow::Result<()>>,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        Stage::with(RedisServer::start()).await
    }

    pub(crate) async fn with(redis: RedisServer) -> Self {
        let queue = Queue::connect(&QueueConfig::new(redis.url()))
            .await
            .unwrap();
        let api = FakeApi::start(queue.clone()).await;
        let reaping = queue.clone();
        let reaper = tokio::spawn(async move {
            loop {
                // Redis may be away: some tests are about that.
                let _ = reaping.reap(&ReapOptions::default()).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Stage {
            redis,
            queue,
            api,
            temp: tempfile::tempdir().unwrap(),
            reaper,
        }
    }

    /// Quick clocks, everything else as in production.
    pub(crate) fn config(&self) -> Config {
        Config {
            api_url: self.api.url.clone(),
            redis_url: Some(self.redis.url()),
            redis_prefix: String::new(),
            queues: vec!["default".into()],
            slots: 1,
            device: "cpu".into(),
            precision: "f32".into(),
            parity: false,
            inject_faults: String::new(),
            threads: 1,
            models_dir: None,
            worker_id: None,
            drain_timeout: Duration::from_secs(30),
            stall_seconds: 60,
            max_crashes: 3,
            crash_backoff: Duration::ZERO,
            temp_dir: Some(self.temp.path().to_owned()),
            pod: "test".into(),
            pod_uid: "uid-1".into(),
            pool: String::new(),
            exit_with_parent: false,
            timing: Box::new(Timing {
                beat: Duration::from_millis(300),
                poll: Duration::from_millis(300),
                progress: Duration::from_millis(20),
                retry_base: Duration::from_millis(20),
                outage_base: Duration::from_millis(20),
                outage_cap: Duration::from_millis(200),
                engine_stop: Duration::from_secs(1),
                ..Timing::default()
            }),
        }
    }

    pub(crate) fn worker(&self, config: Config, network: &Arc<Network>) -> Running {
        crate::logs::listen();
        let stop = Stop::default();
        let transcriber: Arc<dyn worker::Transcriber> = network.clone();
        let work = tokio::spawn(worker::serve(config, transcriber, stop.clone()));
        Running { stop, work }
    }

    /// Uploads and enqueues; the lease is the one given.
    pub(crate) async fn submit(&self, id: &str, lease: Duration) -> TaskId {
        let audio = format!("audio of {id}").into_bytes();
        let payload = TaskPayload {
            filename: "Take 1.wav".into(),
            media_type: "audio/wav".into(),
            bytes: audio.len() as u64,
            sha256: hex::encode(Sha256::digest(&audio)),
            model: "stub".into(),
            max_seconds: 600,
            ..TaskPayload::default()
        };
        self.api.upload(id, audio);
        self.enqueue(id, lease, payload).await
    }

    pub(crate) async fn enqueue(&self, id: &str, lease: Duration, payload: TaskPayload) -> TaskId {
        let id = TaskId::parse(id).unwrap();
        let mut task = NewTask::new(id.clone(), payload.model.clone(), payload, 10_000);
        task.lease_ms = lease.as_millis() as u64;
        assert!(matches!(
            self.queue.enqueue(&task).await.unwrap(),
            Enqueued::New
        ));
        id
    }

    pub(crate) async fn snapshot(&self, id: &TaskId) -> TaskSnapshot {
        self.queue
            .snapshots(std::slice::from_ref(id))
            .await
            .unwrap()
            .remove(0)
            .unwrap()
    }

    /// Waits until the task looks as wanted, and returns how it looks.
    pub(crate) async fn until(
        &self,
        id: &TaskId,
        what: &str,
        wanted: impl Fn(&TaskSnapshot) -> bool,
    ) -> TaskSnapshot {
        let end = Instant::now() + PATIENCE;
        loop {
            // Redis may be away for a moment.
            let found = self.queue.snapshots(std::slice::from_ref(id)).await;
            let found = found.ok().and_then(|mut found| found.remove(0));
            if let Some(found) = found.as_ref().filter(|found| wanted(found)) {
                return found.clone();
            }
            assert!(
                Instant::now() < end,
                "not within {PATIENCE:?}: {what}; it is {found:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The ids of the workers that Redis knows.
    pub(crate) async fn workers(&self) -> Vec<String> {
        let seen = self.queue.observe(&QueueName::default()).await.unwrap();
        seen.workers
            .into_iter()
            .map(|worker| worker.worker)
            .collect()
    }

    pub(crate) fn temporary_files(&self) -> usize {
        std::fs::read_dir(self.temp.path()).unwrap().count()
    }

    /// What no caller of the queue can do: reaches into Redis itself.
    pub(crate) fn redis_cli(&self, arguments: &[&str]) -> String {
        let socket = self.redis.url().trim_start_matches("unix://").to_owned();
        let output = std::process::Command::new("redis-cli")
            .arg("-s")
            .arg(socket)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.reaper.abort();
    }
}

impl Running {
    /// Stops at once and checks that the worker ends well.
    pub(crate) async fn end(self) {
        self.stop.now();
        self.outcome().await.unwrap();
    }

    pub(crate) async fn outcome(self) -> anyhow::Result<()> {
        tokio::time::timeout(PATIENCE, self.work)
            .await
            .expect("the worker does not end")
            .unwrap()
    }
}

/// Waits for anything else.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

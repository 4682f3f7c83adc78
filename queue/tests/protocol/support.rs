//! A queue on a server and a clock of the test's own, and what a test likes to ask of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use queue::testing::RedisServer;
use queue::*;
use redis::aio::MultiplexedConnection;

pub(crate) const START_MS: u64 = 1_800_000_000_000;
pub(crate) const LEASE_MS: u64 = 15_000;

#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) server: Arc<std::sync::Mutex<RedisServer>>,
    pub(crate) queue: Queue,
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) redis: MultiplexedConnection,
}

pub(crate) async fn bench() -> Bench {
    bench_on(RedisServer::start()).await
}

pub(crate) async fn bench_on(server: RedisServer) -> Bench {
    let clock = Arc::new(AtomicU64::new(START_MS));
    let queue = Queue::connect(&QueueConfig::new(server.url()))
        .await
        .unwrap()
        .with_clock(clock.clone());
    let redis = redis::Client::open(server.url())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    Bench {
        server: Arc::new(std::sync::Mutex::new(server)),
        queue,
        clock,
        redis,
    }
}

pub(crate) fn id(name: &str) -> TaskId {
    TaskId::parse(name).unwrap()
}

pub(crate) fn worker(name: &str) -> WorkerId {
    WorkerId::parse(name).unwrap()
}

pub(crate) fn task(name: &str) -> NewTask {
    NewTask::new(
        id(name),
        "bp",
        TaskPayload {
            filename: format!("{name}.wav"),
            ..TaskPayload::default()
        },
        60_000,
    )
}

pub(crate) fn request(worker_name: &str) -> ClaimRequest {
    ClaimRequest {
        worker: worker(worker_name),
        queues: vec![QueueName::default()],
        nonce: ClaimRequest::nonce(),
        held: 0,
        slots: 1,
    }
}

pub(crate) fn beat(worker_name: &str, held: &[(&TaskId, &Token)]) -> Beat {
    Beat {
        worker: worker(worker_name),
        state: WorkerState::Busy,
        about: WorkerAbout {
            slots: 1,
            models: vec!["bp".into()],
            ..WorkerAbout::default()
        },
        held: held
            .iter()
            .map(|(id, token)| ((*id).clone(), (*token).clone()))
            .collect(),
        ttl_ms: 30_000,
    }
}

pub(crate) fn completion(claim: &Claim) -> Completion {
    Completion {
        id: claim.id.clone(),
        token: claim.token.clone(),
        result: ResultPointer {
            notes: 7,
            ..ResultPointer::default()
        },
        busy_ms: 6_000,
        ttl_ms: 86_400_000,
    }
}

pub(crate) fn failure(claim: &Claim, retryable: bool, backoff_ms: u64) -> Failure {
    let error = TaskError {
        code: "disk_full".into(),
        kind: "storage".into(),
        message: "no space".into(),
    };
    Failure {
        id: claim.id.clone(),
        token: claim.token.clone(),
        error,
        retryable,
        backoff_ms,
    }
}

impl Bench {
    pub(crate) fn url(&self) -> String {
        self.server.lock().unwrap().url()
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// Time passes as it does while somebody reaps every 2 s.
    pub(crate) async fn advance_reaping(&self, ms: u64) -> ReapReport {
        let mut left = ms;
        let mut sum = ReapReport::default();
        while left > 0 {
            let step = left.min(2_000);
            self.advance(step);
            left -= step;
            let report = self.reap().await;
            sum.expired += report.expired;
            sum.poisoned += report.poisoned;
            sum.adopted += report.adopted;
            sum.promoted += report.promoted;
            sum.ghosts += report.ghosts;
            sum.purged += report.purged;
            assert!(!report.amnesty);
        }
        sum
    }

    pub(crate) async fn reap(&self) -> ReapReport {
        self.queue.reap(&ReapOptions::default()).await.unwrap()
    }

    pub(crate) async fn enqueue(&self, name: &str) {
        assert_eq!(
            self.queue.enqueue(&task(name)).await.unwrap(),
            Enqueued::New
        );
    }

    pub(crate) async fn try_claim(&self, request: &ClaimRequest) -> Option<Claim> {
        match self.queue.claim(request).await.unwrap() {
            ClaimAnswer::Claimed(claim) => Some(*claim),
            ClaimAnswer::Nothing { .. } => None,
            other => panic!("{other:?}"),
        }
    }

    /// One task for a worker with one slot.
    pub(crate) async fn claim(&self, worker_name: &str) -> Claim {
        self.try_claim(&request(worker_name))
            .await
            .expect("a task to claim")
    }

    pub(crate) async fn snapshot(&self, name: &str) -> TaskSnapshot {
        self.queue
            .snapshots(&[id(name)])
            .await
            .unwrap()
            .remove(0)
            .expect("the task's hash")
    }

    pub(crate) async fn cmd<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut cmd = redis::cmd(words[0]);
        for word in &words[1..] {
            cmd.arg(*word);
        }
        cmd.query_async(&mut self.redis.clone()).await.unwrap()
    }

    pub(crate) async fn list(&self, key: &str) -> Vec<String> {
        self.cmd(&["LRANGE", key, "0", "-1"]).await
    }

    pub(crate) async fn field(&self, name: &str, field: &str) -> Option<String> {
        self.cmd(&["HGET", &format!("task:{name}"), field]).await
    }

    pub(crate) async fn hash(&self, key: &str) -> BTreeMap<String, String> {
        self.cmd(&["HGETALL", key]).await
    }

    pub(crate) async fn work(&self, field: &str) -> u64 {
        self.cmd::<Option<u64>>(&["HGET", "task:work", field])
            .await
            .unwrap_or(0)
    }

    pub(crate) async fn inflight(&self, queue: &str) -> u64 {
        self.cmd::<Option<u64>>(&["HGET", "task:inflight", queue])
            .await
            .unwrap_or(0)
    }

    pub(crate) async fn lease_end(&self, name: &str) -> Option<u64> {
        self.cmd::<Option<f64>>(&["ZSCORE", "task:processing:time", name])
            .await
            .map(|score| score as u64)
    }

    pub(crate) async fn numbers(&self) -> Vec<(u64, String, String)> {
        let entries = self.queue.results(1000).await.unwrap();
        entries
            .into_iter()
            .map(|entry| (entry.number, entry.id.to_string(), entry.kind))
            .collect()
    }

    /// Every key with its whole value, but for the counters: to see that nothing else changed.
    pub(crate) async fn dump(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for key in self.cmd::<Vec<String>>(&["KEYS", "*"]).await {
            if key == "task:stats" || key == "task:reap:last" {
                continue;
            }
            let kind: String = self.cmd(&["TYPE", &key]).await;
            let value: redis::Value = match kind.as_str() {
                "list" => self.cmd(&["LRANGE", &key, "0", "-1"]).await,
                "hash" => {
                    let sorted = self.hash(&key).await;
                    all.insert(key, format!("{sorted:?}"));
                    continue;
                }
                "zset" => self.cmd(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]).await,
                "set" => {
                    let mut members: Vec<String> = self.cmd(&["SMEMBERS", &key]).await;
                    members.sort();
                    all.insert(key, format!("{members:?}"));
                    continue;
                }
                _ => self.cmd(&["GET", &key]).await,
            };
            all.insert(key, format!("{value:?}"));
        }
        all
    }
}

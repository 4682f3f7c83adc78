//! A server, a connection straight to it, and what a test likes to ask there: the keys as they are, the clock as the test
//! sets it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use queue::testing::RedisServer;
use queue::*;
use redis::aio::MultiplexedConnection;

pub(crate) const START_MS: u64 = 1_800_000_000_000;

pub(crate) struct Bench {
    pub(crate) server: RedisServer,
    /// Straight to the server.
    pub(crate) queue: Queue,
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) redis: MultiplexedConnection,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::on(RedisServer::start()).await
    }

    pub(crate) async fn on(server: RedisServer) -> Self {
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
        Self {
            server,
            queue,
            clock,
            redis,
        }
    }

    /// After the server was started again: the raw connection does not mend itself.
    pub(crate) async fn on_again(self) -> Self {
        let clock = self.clock.load(Ordering::SeqCst);
        let bench = Self::on(self.server).await;
        bench.clock.store(clock, Ordering::SeqCst);
        bench
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.server.socket()
    }

    /// Another client, on the same clock.
    pub(crate) async fn client(&self, url: String) -> Queue {
        Queue::connect(&QueueConfig::new(url))
            .await
            .unwrap()
            .with_clock(self.clock.clone())
    }

    pub(crate) async fn cmd<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut cmd = redis::cmd(words[0]);
        for word in &words[1..] {
            cmd.arg(*word);
        }
        cmd.query_async(&mut self.redis.clone()).await.unwrap()
    }

    /// No data, and the clock at its start.
    pub(crate) async fn wipe(&self) {
        self.cmd::<String>(&["FLUSHALL"]).await;
        self.clock.store(START_MS, Ordering::SeqCst);
    }

    /// Every key with its whole value, counters and outbox included, and whether it expires.
    pub(crate) async fn dump(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for key in self.cmd::<Vec<String>>(&["KEYS", "*"]).await {
            let kind: String = self.cmd(&["TYPE", &key]).await;
            let value = match kind.as_str() {
                "hash" => {
                    let fields: BTreeMap<String, String> = self.cmd(&["HGETALL", &key]).await;
                    format!("{fields:#?}")
                }
                "set" => {
                    let mut members: Vec<String> = self.cmd(&["SMEMBERS", &key]).await;
                    members.sort();
                    format!("{members:?}")
                }
                "list" => format!(
                    "{:?}",
                    self.cmd::<Vec<String>>(&["LRANGE", &key, "0", "-1"]).await
                ),
                "zset" => {
                    let range = ["ZRANGE", &key, "0", "-1", "WITHSCORES"];
                    format!("{:?}", self.cmd::<Vec<String>>(&range).await)
                }
                _ => self.cmd(&["GET", &key]).await,
            };
            let expires = self.cmd::<i64>(&["PTTL", &key]).await > 0;
            all.insert(key, format!("{value} expires: {expires}"));
        }
        all
    }

    /// What fsck finds to mend, which should be nothing.
    pub(crate) async fn unsound(&self) -> Option<String> {
        let found = self.queue.fsck().await.unwrap();
        let clean = FsckReport {
            tasks: found.tasks,
            ..FsckReport::default()
        };
        (found != clean).then(|| format!("fsck found something: {found:?}"))
    }
}

/// What differs, key by key, for a message that can be read.
pub(crate) fn difference(
    want: &BTreeMap<String, String>,
    got: &BTreeMap<String, String>,
) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = want.keys().chain(got.keys()).collect();
    keys.into_iter()
        .filter(|key| want.get(*key) != got.get(*key))
        .map(|key| format!("{key}: wanted {:?}, is {:?}", want.get(key), got.get(key)))
        .collect()
}

/// Asks until there is an answer, at most for ten seconds.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! The connection: how a script gets to Redis and what its failure means. Knows no transition.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::ConnectionManagerConfig;
use redis::io::tcp::{TcpSettings, socket2};
use redis::{Client, IntoConnectionInfo, Script, Value};

use crate::Error;
use crate::keys::Keys;
use crate::link::Link;
use crate::script::{Answer, Transition};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks at a server that was away at the start.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Where the queue lives.
#[derive(Clone)]
pub struct QueueConfig {
    /// `redis://`, `rediss://`, `unix://` or `redis+unix://`.
    pub url: String,
    /// Before every key and channel; empty = the seed's names.
    pub prefix: String,
    pub response_timeout: Duration,
}

impl QueueConfig {
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: String::new(),
            response_timeout: Duration::from_secs(3),
        }
    }
}

impl fmt::Debug for QueueConfig {
    // A URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueConfig")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A handle on the queue; clones share one connection, which mends itself.
#[derive(Clone)]
pub struct Queue {
    link: Link,
    pub(crate) client: Client,
    pub(crate) keys: Arc<Keys>,
    /// A test's clock in ms; 0 = the server's.
    clock: Arc<AtomicU64>,
    /// Other scripts under the names of the true ones: only tests of the tests give any.
    planted: Option<Arc<HashMap<&'static str, Script>>>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("prefix", &self.keys.prefix)
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// Connects, and refuses a server that may evict tasks.
    pub async fn connect(config: &QueueConfig) -> Result<Queue, Error> {
        let (client, manager_config) = prepare(config)?;
        let manager = client
            .get_connection_manager_with_config(manager_config.clone())
            .await?;
        let link = Link::over(client.clone(), manager_config, manager);
        let queue = Queue::over(client, link, config);
        queue.refuse_eviction().await?;
        Ok(queue)
    }

    /// For whoever must start while Redis is away: only a URL that cannot be used is an error. It connects by itself, and a
    /// server that may evict tasks is then logged as an error instead of refused. Call it on a runtime.
    pub fn connect_lazy(config: &QueueConfig) -> Result<Queue, Error> {
        let (client, manager_config) = prepare(config)?;
        let manager = client.get_connection_manager_lazy(manager_config.clone())?;
        let link = Link::over(client.clone(), manager_config, manager);
        let queue = Queue::over(client, link, config);
        let watched = queue.clone();
        tokio::spawn(async move {
            loop {
                match watched.refuse_eviction().await {
                    Ok(()) => return,
                    Err(error) if error.is_unavailable() => {
                        tracing::debug!(%error, "Redis is away; will look again");
                    }
                    Err(error) => {
                        tracing::error!(%error, "this Redis must not hold tasks");
                        return;
                    }
                }
                tokio::time::sleep(LOOK_AGAIN).await;
                // Only this task still holds the queue: nobody is left to be told.
                if Arc::strong_count(&watched.keys) == 1 {
                    return;
                }
            }
        });
        Ok(queue)
    }

    fn over(client: Client, link: Link, config: &QueueConfig) -> Queue {
        Queue {
            link,
            client,
            keys: Arc::new(Keys {
                prefix: config.prefix.clone(),
            }),
            clock: Arc::new(AtomicU64::new(0)),
            planted: None,
        }
    }

    pub async fn ping(&self) -> Result<(), Error> {
        Ok(redis::cmd("PING")
            .query_async::<()>(&mut self.manager())
            .await?)
    }

    /// The same queue on a clock of the test's own (ms; 0 = the server's again).
    #[doc(hidden)]
    pub fn with_clock(&self, clock: Arc<AtomicU64>) -> Queue {
        Queue {
            clock,
            ..self.clone()
        }
    }

    /// The same queue with other scripts in the place of some: see `testing::plant`.
    pub(crate) fn with_scripts(&self, scripts: HashMap<&'static str, Script>) -> Queue {
        Queue {
            planted: Some(Arc::new(scripts)),
            ..self.clone()
        }
    }

    pub(crate) fn manager(&self) -> Link {
        self.link.current()
    }

    /// Runs one transition. A lost reply is an `Unavailable`: the transition may have happened.
    pub(crate) async fn run<A: redis::ToRedisArgs>(
        &self,
        transition: &Transition,
        keys: &[String],
        args: Vec<A>,
    ) -> Result<Answer, Error> {
        let planted = self
            .planted
            .as_ref()
            .and_then(|all| all.get(transition.name));
        let mut call = planted.unwrap_or(&transition.script).prepare_invoke();
        for key in keys {
            call.key(key);
        }
        call.arg(&self.keys.prefix);
        call.arg(match self.clock.load(Ordering::SeqCst) {
            0 => String::new(),
            now_ms => now_ms.to_string(),
        });
        for arg in args {
            call.arg(arg);
        }
        let value: Value = call.invoke_async(&mut self.manager()).await?;
        Ok(Answer::new(transition.name, value))
    }

    /// A field of INFO; None where the server hides it.
    pub(crate) async fn info(&self, section: &str) -> Result<redis::InfoDict, Error> {
        Ok(redis::cmd("INFO")
            .arg(section)
            .query_async(&mut self.manager())
            .await?)
    }

    async fn refuse_eviction(&self) -> Result<(), Error> {
        let memory = match self.info("memory").await {
            Ok(memory) => memory,
            Err(error) if error.is_unavailable() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "cannot read maxmemory-policy; the queue needs noeviction");
                return Ok(());
            }
        };
        match memory.get::<String>("maxmemory_policy") {
            None => {
                tracing::warn!("the server hides its maxmemory-policy; the queue needs noeviction")
            }
            Some(policy) if policy == "noeviction" => {}
            Some(policy) if memory.get::<u64>("maxmemory") == Some(0) => {
                tracing::warn!(
                    policy,
                    "maxmemory-policy should be noeviction; harmless only while maxmemory is 0"
                );
            }
            Some(policy) => return Err(Error::Evicting { policy }),
        }
        Ok(())
    }
}

/// The client and the settings of its connection; fails for a URL that cannot be used.
fn prepare(config: &QueueConfig) -> Result<(Client, ConnectionManagerConfig), Error> {
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(socket2::TcpKeepalive::new().with_time(Duration::from_secs(30)));
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(Duration::from_secs(20));
    let info = config
        .url
        .as_str()
        .into_connection_info()
        .map_err(Error::Url)?
        .set_tcp_settings(tcp);
    let client = Client::open(info).map_err(Error::Url)?;
    // Few attempts within one call: the caller has its own patience, and repeats with the same nonce or token.
    let manager_config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(config.response_timeout))
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_number_of_retries(1)
        .set_min_delay(Duration::from_millis(50))
        .set_max_delay(Duration::from_secs(1));
    Ok((client, manager_config))
}

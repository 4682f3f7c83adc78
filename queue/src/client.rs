//! The connection: how a script gets to Redis and what its failure means. Knows no transition.

use std::time::Duration;

use crate::Error;

/// Where the queue lives.
#[derive(Clone, Debug)]
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

/// A handle on the queue; clones share one connection.
#[derive(Clone)]
pub struct Queue {}

impl Queue {
    /// Connects and refuses a server that may evict tasks.
    pub async fn connect(config: &QueueConfig) -> Result<Queue, Error> {
        let _ = config;
        todo!()
    }

    pub async fn ping(&self) -> Result<(), Error> {
        todo!()
    }
}

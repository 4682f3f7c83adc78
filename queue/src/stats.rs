//! Numbers about the queue and its server, for metrics.

use std::collections::BTreeMap;

use crate::{Error, Queue};

/// What the seed's `GET /transcribe/metrics/` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    pub queue_pending: u64,
    pub queue_processing: u64,
    pub queue_failed: u64,
    pub processing_timed: u64,
    pub subscribers_task_new: u64,
    pub redis_connected_clients: u64,
    pub redis_uptime_seconds: u64,
    pub redis_used_memory_human: String,
}

impl Queue {
    /// `task:stats`: counters since the server's data began.
    pub async fn stats(&self) -> Result<BTreeMap<String, u64>, Error> {
        todo!()
    }

    pub async fn server_info(&self) -> Result<ServerInfo, Error> {
        todo!()
    }
}

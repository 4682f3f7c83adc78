//! Numbers about the queue and its server, for metrics.

use std::collections::BTreeMap;

use redis::AsyncCommands;

use crate::{Error, Queue, QueueName};

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
        Ok(self.manager().hgetall(self.keys.stats()).await?)
    }

    pub async fn server_info(&self) -> Result<ServerInfo, Error> {
        let keys = &self.keys;
        let mut pipeline = redis::pipe();
        pipeline
            .llen(keys.processing())
            .llen(keys.dead_letters())
            .zcard(keys.leases());
        pipeline.cmd("PUBSUB").arg("NUMSUB").arg(keys.channel_new());
        let queues = self.queue_names().await?;
        for list in queues.iter().flat_map(|queue| keys.lists(queue)) {
            pipeline.llen(list);
        }
        let mut answers: Vec<redis::Value> = pipeline.query_async(&mut self.manager()).await?;
        let lengths = answers.split_off(4);
        let number = |value: &redis::Value| redis::from_redis_value_ref::<u64>(value).unwrap_or(0);
        let subscribers: (String, u64) =
            redis::from_redis_value_ref(&answers[3]).unwrap_or_default();
        let clients = self.info("clients").await?;
        let server = self.info("server").await?;
        let memory = self.info("memory").await?;
        Ok(ServerInfo {
            queue_pending: lengths.iter().map(number).sum(),
            queue_processing: number(&answers[0]),
            queue_failed: number(&answers[1]),
            processing_timed: number(&answers[2]),
            subscribers_task_new: subscribers.1,
            redis_connected_clients: clients.get("connected_clients").unwrap_or(0),
            redis_uptime_seconds: server.get("uptime_in_seconds").unwrap_or(0),
            redis_used_memory_human: memory.get("used_memory_human").unwrap_or_default(),
        })
    }

    /// Every queue that ever held a task, and `default`.
    pub(crate) async fn queue_names(&self) -> Result<Vec<QueueName>, Error> {
        let names: Vec<String> = self.manager().smembers(self.keys.queues()).await?;
        let first = QueueName::default();
        let mut queues: Vec<QueueName> = names
            .into_iter()
            .filter_map(|name| QueueName::parse(name).ok())
            .filter(|name| *name != first)
            .collect();
        queues.insert(0, first);
        Ok(queues)
    }
}

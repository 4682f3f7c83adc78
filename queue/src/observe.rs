//! One queue as a scaler sees it, in one call.

use std::collections::BTreeMap;

use crate::{Error, Queue, QueueName, TaskId};

/// Ready tasks per list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub alone: u64,
    pub high: u64,
    pub normal: u64,
    pub low: u64,
}

impl Depth {
    pub fn total(&self) -> u64 {
        self.alone + self.high + self.normal + self.low
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    pub id: TaskId,
    /// Empty where the id was moved without a claim.
    pub worker: String,
    pub model: String,
    pub audio_ms: u64,
    pub age_ms: u64,
    pub alone: bool,
}

/// Decayed sums; factor = busy_ms / audio_ms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RealTimeFactor {
    pub audio_ms: f64,
    pub busy_ms: f64,
    /// Completions folded in, not decayed.
    pub samples: u64,
}

impl RealTimeFactor {
    /// Busy milliseconds per millisecond of audio.
    pub fn factor(&self) -> Option<f64> {
        (self.audio_ms > 0.0).then(|| self.busy_ms / self.audio_ms)
    }
}

/// A worker with a heartbeat not older than its time to live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerSeen {
    pub worker: String,
    pub state: String,
    pub pod: String,
    pub pod_uid: String,
    pub pool: String,
    pub models: Vec<String>,
    pub slots: u32,
    pub held: u32,
    pub heartbeat_age_ms: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The server's clock.
    pub now_ms: u64,
    pub depth: Depth,
    /// Waiting for their time, all queues.
    pub delayed: u64,
    /// Suspended, all queues.
    pub parked: u64,
    /// Model -> queued audio ms of this queue.
    pub work_ms: BTreeMap<String, u64>,
    /// Tasks of this queue in processing.
    pub in_flight_count: u64,
    /// The oldest 1,000 of them.
    pub in_flight: Vec<InFlight>,
    /// All workers of all queues (a worker names its queues only in a claim).
    pub workers: Vec<WorkerSeen>,
    /// Raw members of `task:drain`: worker ids and `pod:{uid}`.
    pub draining: Vec<String>,
    /// How long the oldest ready task of this queue has been waiting.
    pub oldest_wait_ms: Option<u64>,
    /// By model.
    pub rtf: BTreeMap<String, RealTimeFactor>,
    pub paused: bool,
}

impl Queue {
    pub async fn observe(&self, queue: &QueueName) -> Result<Observation, Error> {
        let _ = queue;
        todo!()
    }
}

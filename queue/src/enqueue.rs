//! none -> pending.

use crate::{Error, Queue, QueueName, TaskId, TaskPayload};

/// Which of a queue's three lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

/// A task to be put into the queue.
#[derive(Clone, Debug)]
pub struct NewTask {
    pub id: TaskId,
    pub queue: QueueName,
    pub priority: Priority,
    pub model: String,
    pub payload: TaskPayload,
    /// Length of the recording: the unit of `task:work` and of the running limit.
    pub audio_ms: u64,
    /// Raised by each retry of the same transcription.
    pub life: u64,
    pub delay_ms: u64,
    /// Errors beyond the first run.
    pub max_retries: u32,
    /// Refuse when the queue holds this many already; 0 = no limit.
    pub max_depth: u64,
    pub lease_ms: u64,
    /// Key and its time to live in ms: a second task with the same key is answered with the first one's id.
    pub idempotency: Option<(String, u64)>,
}

impl NewTask {
    pub fn new(id: TaskId, model: impl Into<String>, payload: TaskPayload, audio_ms: u64) -> Self {
        Self {
            id,
            queue: QueueName::default(),
            priority: Priority::default(),
            model: model.into(),
            payload,
            audio_ms,
            life: 1,
            delay_ms: 0,
            max_retries: 2,
            max_depth: 0,
            lease_ms: 15_000,
            idempotency: None,
        }
    }
}

/// Answer of [`Queue::enqueue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enqueued {
    New,
    /// The id, or the idempotency key, was there already.
    Known {
        id: TaskId,
    },
    Full {
        depth: u64,
    },
}

impl Queue {
    pub async fn enqueue(&self, task: &NewTask) -> Result<Enqueued, Error> {
        let _ = task;
        todo!()
    }
}

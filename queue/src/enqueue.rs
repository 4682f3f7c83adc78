//! none -> pending.

use crate::keys::priority_word;
use crate::{Error, Queue, QueueName, TaskId, TaskPayload, script};

/// Larger bodies belong into the object store.
const PAYLOAD_LIMIT_BYTES: usize = 64 * 1024;

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
    /// Puts a task into its queue. Repeating it answers `Known` with the same id.
    pub async fn enqueue(&self, task: &NewTask) -> Result<Enqueued, Error> {
        let payload = serde_json::to_string(&task.payload).unwrap_or_default();
        if payload.len() > PAYLOAD_LIMIT_BYTES {
            return Err(Error::TooLarge {
                what: "the payload",
                bytes: payload.len(),
                limit: PAYLOAD_LIMIT_BYTES,
            });
        }
        check_model(&task.model)?;
        let own_key = self.keys.task(&task.id);
        let (idempotency_key, idempotency_ttl_ms) = match &task.idempotency {
            Some((key, ttl_ms)) => {
                check_idempotency_key(key)?;
                (self.keys.idempotency(key), *ttl_ms)
            }
            None => (own_key.clone(), 0),
        };
        let mut keys = vec![own_key, idempotency_key];
        let priority = priority_word(task.priority);
        let mut lists: Vec<String> = self.keys.lists(&task.queue).into();
        keys.push(lists.swap_remove(place(task.priority)));
        if task.max_depth > 0 {
            keys.extend(lists);
        }
        let mut args = vec![
            task.id.to_string(),
            task.queue.to_string(),
            task.model.clone(),
            task.audio_ms.to_string(),
            task.delay_ms.to_string(),
            task.max_depth.to_string(),
            idempotency_ttl_ms.to_string(),
        ];
        args.extend(fields(task, payload, priority));
        let answer = self.run(&script::ENQUEUE, &keys, args).await?;
        if answer.is_number(1) {
            return Ok(Enqueued::New);
        }
        let [code, value] = answer.fields()?;
        match code.number()? {
            0 => Ok(Enqueued::Known {
                id: TaskId::parse(value.text())?,
            }),
            -1 => Ok(Enqueued::Full {
                depth: value.unsigned()?,
            }),
            _ => Err(code.unexpected()),
        }
    }
}

/// Which of [`Keys::lists`](crate::keys::Keys::lists).
fn place(priority: Priority) -> usize {
    match priority {
        Priority::High => 1,
        Priority::Normal => 2,
        Priority::Low => 3,
    }
}

/// Names and values of the task's hash. A field at its default is not stored: each costs the server time at every write.
fn fields(task: &NewTask, payload: String, priority: &str) -> Vec<String> {
    let mut fields = vec!["payload".to_owned(), payload];
    let mut put = |name: &str, value: String, default: &str| {
        if value != default {
            fields.extend([name.to_owned(), value]);
        }
    };
    put("queue", task.queue.to_string(), "default");
    put("priority", priority.to_owned(), "normal");
    put("model", task.model.clone(), "");
    put("audio_ms", task.audio_ms.to_string(), ""); // absent would mean unknown
    put("life", task.life.to_string(), "1");
    put("max_retries", task.max_retries.to_string(), "2");
    put("lease_ms", task.lease_ms.to_string(), "15000");
    fields
}

/// A model's name becomes part of a field of `task:work`.
fn check_model(model: &str) -> Result<(), Error> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    if model.len() <= 80 && model.bytes().all(allowed) {
        return Ok(());
    }
    Err(Error::Invalid {
        what: "model",
        value: model.to_owned(),
        rule: "at most 80 of 0-9 A-Z a-z - _ . :",
    })
}

fn check_idempotency_key(key: &str) -> Result<(), Error> {
    if !key.is_empty() && key.len() <= 255 {
        return Ok(());
    }
    Err(Error::Invalid {
        what: "idempotency key",
        value: key.chars().take(80).collect(),
        rule: "1 to 255 bytes",
    })
}

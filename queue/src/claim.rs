//! pending -> processing, for one worker.

use crate::{Error, Queue, QueueName, TaskId, TaskPayload, Token, WorkerId};

/// A worker asks for work.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    pub worker: WorkerId,
    /// In order of preference.
    pub queues: Vec<QueueName>,
    /// From [`ClaimRequest::nonce`]; repeated unchanged until there is an answer.
    pub nonce: String,
    /// How many tasks this worker holds now.
    pub held: u32,
    /// How many it can hold.
    pub slots: u32,
}

impl ClaimRequest {
    /// 128 random bits, one per claim that is not a repetition.
    pub fn nonce() -> String {
        format!("{:032x}", rand::random::<u128>())
    }
}

/// Answer of [`Queue::claim`].
#[derive(Clone, Debug)]
pub enum ClaimAnswer {
    Claimed(Box<Claim>),
    /// Wait for the hint, the poll or this many milliseconds.
    Nothing {
        next_due_ms: Option<u64>,
    },
    Paused,
    Draining,
    /// Only dead entries were met; claim again at once with a new nonce.
    Again,
}

/// One attempt of one task, owned by whoever knows the token.
#[derive(Clone, Debug)]
pub struct Claim {
    pub id: TaskId,
    pub token: Token,
    pub attempt: u32,
    pub life: u64,
    pub queue: QueueName,
    pub model: String,
    pub payload: TaskPayload,
    pub audio_ms: u64,
    pub lease_ms: u64,
    /// Milliseconds from now until the running limit.
    pub hard_limit_ms: u64,
    pub retries: u32,
    pub crashes: u32,
    /// Runs alone: the worker gets nothing else until it ends.
    pub alone: bool,
    /// The answer to an earlier call with the same nonce.
    pub replayed: bool,
}

impl Queue {
    pub async fn claim(&self, request: &ClaimRequest) -> Result<ClaimAnswer, Error> {
        let _ = request;
        todo!()
    }
}

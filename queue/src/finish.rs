//! processing -> completed, failed or back to pending, by whoever holds the token.

use crate::{Error, Queue, ResultPointer, TaskError, TaskId, Token};

#[derive(Clone, Debug)]
pub struct Completion {
    pub id: TaskId,
    pub token: Token,
    pub result: ResultPointer,
    /// The worker's busy wall time, divided among the songs of each batch.
    pub busy_ms: u64,
    /// How long the finished hash stays readable (24 h).
    pub ttl_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    Done,
    /// By this very token: the earlier reply was lost.
    Already,
    Stale,
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Failure {
    pub id: TaskId,
    pub token: Token,
    /// `error.kind` is the kind of the final record.
    pub error: TaskError,
    pub retryable: bool,
    /// Jittered by the caller.
    pub backoff_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailAnswer {
    Retrying,
    Final,
    Already,
    Stale,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    Returned,
    WasCancelled,
    Already,
    Stale,
    Unknown,
}

/// What a token is worth at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Live,
    DoneByThisToken,
    Stale,
    Unknown,
}

impl Queue {
    pub async fn complete(&self, completion: &Completion) -> Result<Completed, Error> {
        let _ = completion;
        todo!()
    }

    pub async fn fail(&self, failure: &Failure) -> Result<FailAnswer, Error> {
        let _ = failure;
        todo!()
    }

    /// Graceful hand-back to the front of the queue; costs no retry.
    pub async fn release(&self, id: &TaskId, token: &Token) -> Result<Released, Error> {
        let _ = (id, token);
        todo!()
    }

    pub async fn verify(&self, id: &TaskId, token: &Token) -> Result<Verdict, Error> {
        let _ = (id, token);
        todo!()
    }
}

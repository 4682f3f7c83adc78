//! What the owner of a task may do from outside: stop it, and give a failed one a new life.

use crate::{Error, Queue, TaskId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelKind {
    Cancelled,
    Deadline,
    QueueDeadline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelAnswer {
    Cancelled,
    /// Processing: the worker learns it from its next heartbeat, or at once from the task's channel.
    Requested,
    AlreadyFinal,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    Queued,
    NotFailed,
    /// Redis has forgotten the task: ENQUEUE it with the new life.
    Unknown,
}

impl Queue {
    pub async fn cancel(
        &self,
        id: &TaskId,
        kind: CancelKind,
        reason: &str,
    ) -> Result<CancelAnswer, Error> {
        let _ = (id, kind, reason);
        todo!()
    }

    /// A failed task back to work with clean counters. Repeating it with the same life answers `Queued` again.
    pub async fn replay(&self, id: &TaskId, life: u64) -> Result<Replayed, Error> {
        let _ = (id, life);
        todo!()
    }

    /// Drops what Redis keeps of a final task; false = not final, nothing done.
    pub async fn forget(&self, id: &TaskId) -> Result<bool, Error> {
        let _ = id;
        todo!()
    }
}

//! What the owner of a task may do from outside: stop it, and give a failed one a new life.

use crate::finish::FINAL_TTL_MS;
use crate::{Error, Queue, TaskError, TaskId, script};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelKind {
    Cancelled,
    Deadline,
    QueueDeadline,
}

impl CancelKind {
    /// Kind of the final record, and its code.
    pub fn as_str(self) -> &'static str {
        match self {
            CancelKind::Cancelled => "cancelled",
            CancelKind::Deadline => "deadline",
            CancelKind::QueueDeadline => "queue_deadline",
        }
    }
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
        let word = kind.as_str();
        let message = reason.chars().take(500).collect();
        let error = TaskError {
            code: word.to_owned(),
            kind: word.to_owned(),
            message,
        };
        let body = serde_json::to_string(&error).unwrap_or_default();
        let args = vec![
            id.to_string(),
            word.to_owned(),
            body,
            FINAL_TTL_MS.to_string(),
        ];
        let answer = self
            .run(&script::CANCEL, &[self.keys.task(id)], args)
            .await?;
        match answer.number()? {
            1 => Ok(CancelAnswer::Cancelled),
            2 => Ok(CancelAnswer::Requested),
            0 => Ok(CancelAnswer::AlreadyFinal),
            -1 => Ok(CancelAnswer::Unknown),
            _ => Err(answer.unexpected()),
        }
    }

    /// A failed task back to work with clean counters. `life` must be higher than the task's (lives begin at 1); repeating the
    /// call with the same life answers `Queued` again.
    pub async fn replay(&self, id: &TaskId, life: u64) -> Result<Replayed, Error> {
        let names = [self.keys.task(id), self.keys.dead_letters()];
        let answer = self
            .run(
                &script::REPLAY,
                &names,
                vec![id.to_string(), life.to_string()],
            )
            .await?;
        match answer.number()? {
            1 | 2 => Ok(Replayed::Queued),
            0 => Ok(Replayed::NotFailed),
            -1 => Ok(Replayed::Unknown),
            _ => Err(answer.unexpected()),
        }
    }

    /// Drops what Redis keeps of a final task; false = not final, nothing done.
    pub async fn forget(&self, id: &TaskId) -> Result<bool, Error> {
        let names = [self.keys.task(id), self.keys.dead_letters()];
        Ok(self
            .run(&script::FORGET, &names, vec![id.to_string()])
            .await?
            .number()?
            == 1)
    }
}

//! The short transitions, one function for each Lua file of `queue/src/scripts`, one atomic step each.

use crate::planted::Bug;
use crate::redis::{Counted, Lease, Script, Side, Status, Task, lrem};
use crate::size::MAX_RETRIES;
use crate::state::{Id, Kind, Pointer, Token};

/// The answers that matter to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done now, or before by this very token.
    Done,
    /// The caller owns nothing here any more.
    Fenced,
    Unknown,
}

/// The codes of heartbeat.lua.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    Kept,
    CancelAsked,
    Overdue,
    Lost,
}

impl Script<'_> {
    /// `enqueue.lua`, without idempotency keys, delays and depth limits.
    pub fn enqueue(&mut self, id: Id, life: u8) {
        if self.redis.task(id).is_some() {
            return;
        }
        self.redis.tasks[usize::from(id)] = Some(Task {
            status: Status::Pending,
            life,
            attempt: 0,
            token: None,
            owner: None,
            alone: false,
            cancel: false,
            parked: false,
            overdue: false,
            retries: 0,
            crashes: 0,
            solo_crashes: 0,
            counted: Counted::No,
            kind: None,
            result: None,
            last_failed: None,
            last_released: None,
            finals: 0,
            lost_alone: 0,
        });
        self.make_ready(id, Side::Head);
    }

    /// `heartbeat.lua`, for one of the worker's tasks.
    pub fn heartbeat(&mut self, id: Id, token: Token) -> Beat {
        if !self.owns(id, token, Bug::HeartbeatWithoutToken) {
            return Beat::Lost;
        }
        if self.hash(id).overdue {
            return Beat::Overdue;
        }
        self.redis.leases[usize::from(id)] = Some(Lease::Ahead);
        if self.hash(id).cancel {
            Beat::CancelAsked
        } else {
            Beat::Kept
        }
    }

    /// `complete.lua`, without the factors.
    pub fn complete(&mut self, id: Id, token: Token, result: Pointer) -> Answer {
        let Some(task) = self.redis.task(id) else {
            return Answer::Unknown;
        };
        if task.token == Some(token) && task.status == Status::Completed {
            return Answer::Done;
        }
        if !self.owns(id, token, Bug::CompleteWithoutToken) {
            return Answer::Fenced;
        }
        let lease = self.redis.leases[usize::from(id)];
        self.leave_processing(id);
        if self.has(Bug::LeaseLeftBehind) {
            self.redis.leases[usize::from(id)] = lease;
        }
        self.finish(id, Kind::Ok, Some(result), true);
        Answer::Done
    }

    /// `fail.lua`.
    pub fn fail(&mut self, id: Id, token: Token, kind: Kind, retryable: bool) -> Answer {
        let Some(task) = self.redis.task(id) else {
            return Answer::Unknown;
        };
        if task.last_failed == Some(token) {
            return Answer::Done;
        }
        if !self.owns(id, token, Bug::FailWithoutToken) {
            return Answer::Fenced;
        }
        self.leave_processing(id);
        let task = self.hash(id);
        task.retries += 1;
        task.last_failed = Some(token);
        if task.cancel {
            self.finish(id, Kind::Cancelled, None, true);
            return Answer::Done;
        }
        if retryable && task.retries <= MAX_RETRIES {
            back_to_pending(task);
            self.make_due(id);
            return Answer::Done;
        }
        let outbox = !self.has(Bug::FinalWithoutOutbox);
        self.finish(id, kind, None, outbox);
        Answer::Done
    }

    /// `release.lua`.
    pub fn release(&mut self, id: Id, token: Token) -> Answer {
        let Some(task) = self.redis.task(id) else {
            return Answer::Unknown;
        };
        let cancelled = task.status == Status::Failed && task.kind == Some(Kind::Cancelled);
        if task.last_released == Some(token) || (task.token == Some(token) && cancelled) {
            return Answer::Done;
        }
        if !self.owns(id, token, Bug::ReleaseWithoutToken) {
            return Answer::Fenced;
        }
        self.leave_processing(id);
        let forgets = self.has(Bug::ReleaseForgetsCancel);
        let task = self.hash(id);
        if task.cancel && !forgets {
            self.finish(id, Kind::Cancelled, None, true);
            return Answer::Done;
        }
        task.last_released = Some(token);
        back_to_pending(task);
        self.make_ready(id, Side::Tail);
        Answer::Done
    }

    /// `cancel.lua`.
    pub fn cancel(&mut self, id: Id) -> Answer {
        let Some(task) = self.redis.task(id) else {
            return Answer::Unknown;
        };
        match task.status {
            Status::Pending => {
                self.unqueue(id);
                self.finish(id, Kind::Cancelled, None, true);
            }
            Status::Processing if self.has(Bug::CancelEndsRunning) => {
                self.finish(id, Kind::Cancelled, None, true);
            }
            Status::Processing => self.hash(id).cancel = true,
            Status::Completed | Status::Failed => {}
        }
        Answer::Done
    }

    /// `park.lua`.
    pub fn park(&mut self, id: Id) {
        match self.redis.task(id).map(|task| task.status) {
            Some(Status::Pending) => {
                self.unqueue(id);
                self.hash(id).parked = true;
                self.redis.parked[usize::from(id)] = true;
                self.count(id, Counted::No);
            }
            Some(Status::Processing) => self.hash(id).parked = true,
            _ => {}
        }
    }

    /// `unpark.lua`.
    pub fn unpark(&mut self, id: Id) {
        let Some(Status::Pending | Status::Processing) =
            self.redis.task(id).map(|task| task.status)
        else {
            return;
        };
        self.hash(id).parked = false;
        let waited = std::mem::take(&mut self.redis.parked[usize::from(id)]);
        if waited && self.hash(id).status == Status::Pending {
            self.make_ready(id, Side::Tail);
        }
    }

    /// `replay.lua`.
    pub fn replay(&mut self, id: Id, life: u8) {
        let Some(task) = self.redis.task(id) else {
            return;
        };
        if task.status != Status::Failed || life <= task.life {
            return;
        }
        if !self.has(Bug::ReplayKeepsDeadLetter) {
            lrem(&mut self.redis.failed, id);
        }
        let resets = self.has(Bug::ReplayResetsAttempt);
        let task = self.hash(id);
        task.status = Status::Pending;
        task.life = life;
        task.retries = 0;
        task.crashes = 0;
        task.solo_crashes = 0;
        task.kind = None;
        task.cancel = false;
        task.token = None;
        task.parked = false;
        task.last_failed = None;
        task.last_released = None;
        task.finals = 0;
        task.lost_alone = 0;
        if resets {
            task.attempt = 0;
        }
        self.make_ready(id, Side::Head);
    }

    /// `forget.lua`.
    pub fn forget(&mut self, id: Id) {
        let waits = |task: &Task| matches!(task.status, Status::Pending | Status::Processing);
        if self.redis.task(id).is_some_and(waits) {
            return;
        }
        lrem(&mut self.redis.failed, id);
        self.redis.tasks[usize::from(id)] = None;
    }

    /// `ack_results.lua`.
    pub fn ack_results(&mut self, top: u8, most: u8) {
        for _ in 0..most {
            match self.redis.results.last() {
                Some(entry) if entry.number <= top => self.redis.results.pop(),
                _ => break,
            };
        }
    }
}

/// What FAIL, RELEASE and a lost lease do to the hash of a task that waits again.
pub(crate) fn back_to_pending(task: &mut Task) {
    task.status = Status::Pending;
    task.token = None;
    task.owner = None;
    task.overdue = false;
    task.alone = false;
}

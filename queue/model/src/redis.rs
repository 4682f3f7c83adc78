//! Redis' keys, and `lib.lua`: the functions that all transitions share. Lists keep their head at index 0, as Redis does.

use crate::planted::Bug;
use crate::size::{MOST_TASKS, MOST_WORKERS, Rules};
use crate::state::{Entry, Id, Kind, Pointer, Token, Wid};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Pending,
    Processing,
    Completed,
    Failed,
}

/// A score of `task:processing:time`, compared with the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lease {
    Ahead,
    Over,
    /// Score 0: the worker is known to be dead.
    Zero,
}

/// The field `counted`: in which sum the task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    No,
    Work,
    Inflight,
}

/// `task:{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    pub status: Status,
    pub life: u8,
    pub attempt: u8,
    pub token: Option<Token>,
    pub owner: Option<Wid>,
    pub alone: bool,
    pub cancel: bool,
    pub parked: bool,
    /// `hard_until` has passed.
    pub overdue: bool,
    pub retries: u8,
    pub crashes: u8,
    pub solo_crashes: u8,
    pub counted: Counted,
    pub kind: Option<Kind>,
    pub result: Option<Pointer>,
    pub last_failed: Option<Token>,
    pub last_released: Option<Token>,
    /// For the properties alone, in this history of Redis and this life: final records, and leases lost while alone.
    pub finals: u8,
    pub lost_alone: u8,
}

/// `worker:{wid}`: its last claim, and the one it runs alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkerKey {
    pub claim: Option<(u8, Id, Token)>,
    pub alone: Option<(Id, Token)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Redis {
    pub tasks: [Option<Task>; MOST_TASKS],
    pub ready: Vec<Id>,
    pub alone: Vec<Id>,
    pub processing: Vec<Id>,
    pub leases: [Option<Lease>; MOST_TASKS],
    /// Score: whether it is due.
    pub delayed: [Option<bool>; MOST_TASKS],
    pub parked: [bool; MOST_TASKS],
    pub failed: Vec<Id>,
    pub results: Vec<Entry>,
    /// `task:seq`; none in a Redis that has lost everything.
    pub seq: Option<u8>,
    pub workers: [WorkerKey; MOST_WORKERS],
    /// `task:alone:next`.
    pub ticket: Option<Wid>,
    pub epoch: u8,
    /// `task:reap:last` is longer ago than a lease.
    pub reap_stale: bool,
    pub work: i8,
    pub inflight: i8,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            tasks: [const { None }; MOST_TASKS],
            ready: Vec::new(),
            alone: Vec::new(),
            processing: Vec::new(),
            leases: [None; MOST_TASKS],
            delayed: [None; MOST_TASKS],
            parked: [false; MOST_TASKS],
            failed: Vec::new(),
            results: Vec::new(),
            seq: None,
            workers: [const {
                WorkerKey {
                    claim: None,
                    alone: None,
                }
            }; MOST_WORKERS],
            ticket: None,
            epoch: 0,
            reap_stale: false,
            work: 0,
            inflight: 0,
        }
    }
}

impl Redis {
    pub fn task(&self, id: Id) -> Option<&Task> {
        self.tasks[usize::from(id)].as_ref()
    }

    /// `live` of claim.lua: this token still runs.
    pub fn live(&self, id: Id, token: Token) -> bool {
        self.task(id)
            .is_some_and(|task| task.status == Status::Processing && task.token == Some(token))
    }

    pub fn places(&self, id: Id) -> usize {
        let listed = [&self.ready, &self.alone, &self.processing]
            .iter()
            .flat_map(|list| list.iter())
            .filter(|other| **other == id)
            .count();
        listed
            + usize::from(self.delayed[usize::from(id)].is_some())
            + usize::from(self.parked[usize::from(id)])
    }
}

/// The side of a list: `Head` is the back of the line, `Tail` its front.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    Head,
    Tail,
}

/// One script at work: Redis, and the rules that this model keeps.
pub struct Script<'a> {
    pub redis: &'a mut Redis,
    pub rules: &'a Rules,
    /// The highest number that Redis' clock has passed.
    pub clock: u8,
}

/// `LREM key 0 id`.
pub fn lrem(list: &mut Vec<Id>, id: Id) {
    list.retain(|other| *other != id);
}

impl Script<'_> {
    pub fn has(&self, bug: Bug) -> bool {
        self.rules.has(bug)
    }

    /// The hash; callers have looked that it is there.
    pub fn hash(&mut self, id: Id) -> &mut Task {
        self.redis.tasks[usize::from(id)]
            .as_mut()
            .expect("the caller has seen the hash")
    }

    /// `count`: moves a task between the two sums.
    pub fn count(&mut self, id: Id, place: Counted) {
        let was = std::mem::replace(&mut self.hash(id).counted, place);
        for (counted, by) in [(was, -1), (place, 1)] {
            match counted {
                Counted::Work => self.redis.work += by,
                Counted::Inflight => self.redis.inflight += by,
                Counted::No => {}
            }
        }
    }

    /// `make_ready`: the one way into a ready list.
    pub fn make_ready(&mut self, id: Id, side: Side) {
        let bug = self.has(Bug::ParkIgnored);
        let task = self.hash(id);
        let (parked, crashed) = (task.parked && !bug, task.crashes > 0);
        if parked {
            self.redis.parked[usize::from(id)] = true;
            self.count(id, Counted::No);
            return;
        }
        let list = if crashed {
            &mut self.redis.alone
        } else {
            &mut self.redis.ready
        };
        match side {
            Side::Head => list.insert(0, id),
            Side::Tail => list.push(id),
        }
        self.count(id, Counted::Work);
    }

    /// `make_due`: the one way into the waiting room.
    pub fn make_due(&mut self, id: Id) {
        if self.hash(id).parked && !self.has(Bug::ParkIgnored) {
            self.redis.parked[usize::from(id)] = true;
        } else {
            self.redis.delayed[usize::from(id)] = Some(false);
        }
        self.count(id, Counted::No);
    }

    /// `unqueue`: out of wherever it waits.
    pub fn unqueue(&mut self, id: Id) {
        self.redis.delayed[usize::from(id)] = None;
        if !self.has(Bug::ParkedLeftBehind) {
            self.redis.parked[usize::from(id)] = false;
        }
        lrem(&mut self.redis.ready, id);
        lrem(&mut self.redis.alone, id);
        self.leave_processing(id);
    }

    /// The two removals that every end of an attempt begins with.
    pub fn leave_processing(&mut self, id: Id) {
        lrem(&mut self.redis.processing, id);
        self.redis.leases[usize::from(id)] = None;
    }

    /// `finish`: the one way into a final state.
    pub fn finish(&mut self, id: Id, kind: Kind, result: Option<Pointer>, outbox: bool) {
        let task = self.hash(id);
        task.status = if kind == Kind::Ok {
            Status::Completed
        } else {
            Status::Failed
        };
        task.kind = Some(kind);
        task.result = result;
        task.owner = None;
        task.alone = false;
        task.cancel = false;
        task.parked = false;
        task.overdue = false;
        task.finals += 1;
        let life = task.life;
        self.count(id, Counted::No);
        if outbox {
            // Never below the clock, which has passed every number that a lost suffix or a wiped Redis had given.
            let known = self.redis.seq.unwrap_or(self.clock);
            let last = if self.has(Bug::NumberFallsBack) {
                known
            } else {
                known.max(self.clock)
            };
            let repeats = self.has(Bug::NumberRepeated) && !self.redis.results.is_empty();
            let number = if repeats { last } else { last + 1 };
            self.redis.seq = Some(number);
            let entry = Entry {
                number,
                task: id,
                life,
                kind,
                result,
            };
            self.redis.results.insert(0, entry);
        }
        if !matches!(kind, Kind::Ok | Kind::Cancelled) {
            self.redis.failed.insert(0, id);
        }
    }

    /// `promote`: due tasks join the back of their line.
    pub fn promote(&mut self) {
        for id in 0..MOST_TASKS {
            if self.redis.delayed[id] != Some(true) {
                continue;
            }
            self.redis.delayed[id] = None;
            let waits = |task: &Task| task.status == Status::Pending;
            if self.redis.tasks[id].as_ref().is_some_and(waits) {
                self.make_ready(id as Id, Side::Head);
            }
        }
    }

    /// Whether this token speaks for the running attempt.
    pub fn owns(&self, id: Id, token: Token, unchecked: Bug) -> bool {
        let Some(task) = self.redis.task(id) else {
            return false;
        };
        let same = if self.has(Bug::TokenWithoutNonce) {
            task.token.map(|held| held.attempt) == Some(token.attempt)
        } else {
            task.token == Some(token)
        };
        task.status == Status::Processing && (same || self.has(unchecked))
    }
}

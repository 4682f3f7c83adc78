//! What a history expects of the queue: one record for each task, and what each call must answer. Written from the protocol's
//! document, not from the scripts; knows no Redis. Calls that worker and owner make are in `model_calls.rs`, time in `model_time.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use queue::{Priority, Token};

pub(crate) const LEASE_MS: u64 = 15_000;
pub(crate) const GRACE_MS: u64 = 10_000;
pub(crate) const DEAD_LETTER_MS: u64 = 7 * 24 * 3_600_000;
pub(crate) const MAX_CRASHES: u32 = 3;
pub(crate) const QUEUES: [&str; 2] = ["default", "gpu"];
pub(crate) const CANCELS: [&str; 3] = ["cancelled", "deadline", "queue_deadline"];

/// Where a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Ready,
    Delayed(u64),
    Parked,
    /// Moved to processing by an old client; with a lease once a reaper has found it.
    Stray(Option<u64>),
    /// Somewhere among the above: all that can be said in a history with copies.
    Waiting,
    Running(Run),
    Final,
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) worker: String,
    pub(crate) alone: bool,
    pub(crate) solo: bool,
    pub(crate) hard_until: u64,
    pub(crate) lease: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) queue: usize,
    pub(crate) priority: Priority,
    pub(crate) model: String,
    pub(crate) audio_ms: u64,
    pub(crate) max_retries: u32,
    pub(crate) place: Place,
    /// Its turn in its list: lower comes first.
    pub(crate) turn: i64,
    pub(crate) life: u64,
    pub(crate) attempt: u32,
    pub(crate) retries: u32,
    pub(crate) crashes: u32,
    pub(crate) solo_crashes: u32,
    pub(crate) releases: u32,
    pub(crate) parked: bool,
    pub(crate) cancel: Option<&'static str>,
    /// Of the last attempt; it outlives a final state.
    pub(crate) token: Option<Token>,
    pub(crate) last_failed: Option<Token>,
    pub(crate) last_released: Option<Token>,
    pub(crate) completed: bool,
    pub(crate) kind: String,
    pub(crate) finished_at: u64,
    /// The idempotency key that brought it.
    pub(crate) key: Option<String>,
    /// The database's row: the life that was promised; None = deleted.
    pub(crate) row_life: Option<u64>,
}

impl Task {
    pub(crate) fn waits(&self) -> bool {
        self.is_open() && self.run().is_none()
    }

    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.place, Place::Final | Place::Gone)
    }

    pub(crate) fn run(&self) -> Option<&Run> {
        match &self.place {
            Place::Running(run) => Some(run),
            _ => None,
        }
    }

    /// The token is the one that counts now.
    pub(crate) fn owned_by(&self, token: &Token) -> bool {
        self.run().is_some() && self.token.as_ref() == Some(token)
    }

    pub(crate) fn was_cancelled(&self) -> bool {
        self.place == Place::Final && CANCELS.contains(&self.kind.as_str())
    }

    pub(crate) fn is_dead_letter(&self) -> bool {
        self.place == Place::Final && !self.completed && !self.was_cancelled()
    }
}

/// Which end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Front,
    Back,
}

/// What Redis keeps about a worker for claims.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) nonce: String,
    pub(crate) claim: Option<(usize, Token)>,
    pub(crate) alone: Option<(usize, Token)>,
    pub(crate) pod: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) copies: bool,
    pub(crate) now: u64,
    pub(crate) tasks: Vec<Task>,
    pub(crate) seen: HashMap<String, Seen>,
    pub(crate) tickets: HashMap<usize, String>,
    pub(crate) flags: BTreeSet<String>,
    pub(crate) held_back: bool,
    pub(crate) epoch: u64,
    pub(crate) last_reap: u64,
    /// Oldest first.
    pub(crate) dead: Vec<usize>,
    pub(crate) keys: BTreeMap<String, usize>,
    pub(crate) turns: i64,
    /// How many final records there must be of each life.
    pub(crate) records: BTreeMap<(usize, u64), u32>,
}

impl Model {
    pub(crate) fn wait(&mut self, n: usize, place: Place) {
        self.tasks[n].place = if self.copies { Place::Waiting } else { place };
    }

    pub(crate) fn make_ready(&mut self, n: usize, line: Line) {
        self.turns += 1;
        self.tasks[n].turn = match line {
            Line::Front => -self.turns,
            Line::Back => self.turns,
        };
        match self.tasks[n].parked {
            true => self.wait(n, Place::Parked),
            false => self.wait(n, Place::Ready),
        }
    }

    /// Whose turn it is in a list; several only where a loss made the order vague.
    pub(crate) fn first(&self, list: Vec<usize>) -> Vec<usize> {
        let first = list.iter().map(|n| self.tasks[*n].turn).min();
        let mut list = list;
        list.retain(|n| Some(self.tasks[*n].turn) == first);
        list
    }

    pub(crate) fn make_due(&mut self, n: usize, due: u64) {
        match self.tasks[n].parked {
            true => self.wait(n, Place::Parked),
            false => self.wait(n, Place::Delayed(due)),
        }
    }

    pub(crate) fn finish(&mut self, n: usize, completed: bool, kind: &str) {
        let task = &mut self.tasks[n];
        task.place = Place::Final;
        task.completed = completed;
        kind.clone_into(&mut task.kind);
        task.finished_at = self.now;
        task.parked = false;
        task.cancel = None;
        if task.is_dead_letter() {
            self.dead.push(n);
        }
        *self.records.entry((n, self.tasks[n].life)).or_default() += 1;
    }

    /// A task as its owner wants it; whatever an earlier one of this id knew is gone.
    pub(crate) fn begin(&mut self, n: usize, life: u64, delay_ms: u64, key: Option<String>) {
        let task = &mut self.tasks[n];
        let fresh = Task {
            place: Place::Gone,
            life,
            attempt: 0,
            retries: 0,
            crashes: 0,
            solo_crashes: 0,
            releases: 0,
            parked: false,
            cancel: None,
            token: None,
            last_failed: None,
            last_released: None,
            completed: false,
            kind: String::new(),
            finished_at: 0,
            key: key.clone(),
            row_life: Some(life),
            ..task.clone()
        };
        *task = fresh;
        if let Some(key) = key {
            self.keys.insert(key, n);
        }
        match delay_ms {
            0 => self.make_ready(n, Line::Back),
            _ => self.make_due(n, self.now + delay_ms),
        }
    }

    fn in_list(&self, n: usize, queue: usize) -> bool {
        self.tasks[n].place == Place::Ready && self.tasks[n].queue == queue
    }

    pub(crate) fn alone_list(&self, queue: usize) -> Vec<usize> {
        (0..self.tasks.len())
            .filter(|n| self.in_list(*n, queue) && self.tasks[*n].crashes > 0)
            .collect()
    }

    pub(crate) fn list(&self, queue: usize, priority: Priority) -> Vec<usize> {
        (0..self.tasks.len())
            .filter(|n| {
                let task = &self.tasks[*n];
                self.in_list(*n, queue) && task.crashes == 0 && task.priority == priority
            })
            .collect()
    }

    pub(crate) fn depth(&self, queue: usize) -> usize {
        (0..self.tasks.len())
            .filter(|n| self.in_list(*n, queue))
            .count()
    }

    /// Due times of what waits for its time, soonest first.
    pub(crate) fn delayed(&self) -> Vec<(u64, usize)> {
        let mut all: Vec<(u64, &str, usize)> = vec![];
        for (n, task) in self.tasks.iter().enumerate() {
            if let Place::Delayed(due) = task.place {
                all.push((due, &task.name, n));
            }
        }
        all.sort_unstable();
        all.into_iter().map(|(due, _, n)| (due, n)).collect()
    }

    pub(crate) fn next_due(&self) -> Option<u64> {
        let (due, _) = *self.delayed().first()?;
        Some(due.saturating_sub(self.now))
    }

    /// `task:work` as it must be.
    pub(crate) fn work(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for task in &self.tasks {
            if matches!(task.place, Place::Ready | Place::Stray(None)) {
                let field = format!("{}/{}", QUEUES[task.queue], task.model);
                *sums.entry(field).or_default() += task.audio_ms;
            }
        }
        sums
    }

    /// `task:inflight` as it must be.
    pub(crate) fn inflight(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for task in &self.tasks {
            if matches!(task.place, Place::Running(_) | Place::Stray(Some(_))) {
                *sums.entry(QUEUES[task.queue].to_owned()).or_default() += 1;
            }
        }
        sums
    }

    /// Whether this caller is heard; remembers a higher epoch.
    pub(crate) fn heard(&mut self, epoch: Option<u64>) -> bool {
        match epoch {
            None => true,
            Some(epoch) if epoch < self.epoch => false,
            Some(epoch) => {
                self.epoch = epoch;
                true
            }
        }
    }
}

//! What was done and what was seen, in the order of time: every blow, every word of the queue about a task, who worked when, and
//! what was found at the end. Plain data; what follows from it is `verdict`'s business. All times are ms of the one clock that
//! this machine and its Redis share.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) type Ms = u64;

pub(crate) fn now() -> Ms {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_millis() as Ms
}

/// One word of the queue about one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: Ms,
    pub(crate) task: String,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Claimed {
        worker: String,
        attempt: u64,
    },
    /// Back in its queue: its lease was lost, or it was handed back.
    Back,
    Completed,
    Failed,
}

/// What was done to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Blow {
    Kill,
    Term,
    Freeze,
    RedisKilled,
    RedisStopped,
    RedisPaused,
    ScriptsFlushed,
    ApiKilled,
    ApiStopped,
    PostgresStopped,
}

impl Blow {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Blow::Kill => "worker SIGKILL",
            Blow::Term => "worker SIGTERM",
            Blow::Freeze => "worker SIGSTOP past its lease",
            Blow::RedisKilled => "Redis SIGKILL, restart",
            Blow::RedisStopped => "Redis SIGTERM, restart",
            Blow::RedisPaused => "CLIENT PAUSE",
            Blow::ScriptsFlushed => "SCRIPT FLUSH",
            Blow::ApiKilled => "API SIGKILL, restart",
            Blow::ApiStopped => "API SIGTERM, restart",
            Blow::PostgresStopped => "Postgres stopped",
        }
    }
}

/// Whom a blow hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Victim {
    pub(crate) worker: String,
    pub(crate) is_supervised: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Ms,
    pub(crate) blow: Blow,
    pub(crate) victim: Option<Victim>,
    /// The tasks that were held by whom it hit, each with its attempt.
    pub(crate) held: Vec<(String, u64)>,
}

/// While Redis did not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    pub(crate) from: Ms,
    pub(crate) to: Ms,
}

/// From when to when a worker could have taken a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) worker: String,
    pub(crate) from: Ms,
    pub(crate) to: Option<Ms>,
}

/// A task at the end, as the API and Redis show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) state: String,
    pub(crate) code: String,
    /// Its files are what an undisturbed run gives.
    pub(crate) is_right: bool,
    /// Runs that Redis counted.
    pub(crate) attempts: u64,
    /// Stored results that carry its name.
    pub(crate) results: usize,
}

/// What lay about when everything was over. All of it should be nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leftovers {
    pub(crate) processing: u64,
    pub(crate) outbox: u64,
    pub(crate) work: u64,
    pub(crate) inflight: u64,
    /// What fsck had to mend.
    pub(crate) fsck: u64,
    /// `completed` of `task:stats`: how many tasks the queue completed.
    pub(crate) completed: u64,
    /// `fenced`: calls with a stale token that were refused.
    pub(crate) fenced: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) events: Vec<Event>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) outages: Vec<Outage>,
    pub(crate) lives: Vec<Life>,
    /// Processes that died though nobody hit them.
    pub(crate) surprises: Vec<String>,
    pub(crate) upload_tries: u64,
    /// Not final 60 s after the last blow.
    pub(crate) stuck: Vec<String>,
    pub(crate) endings: BTreeMap<String, Ending>,
    pub(crate) leftovers: Leftovers,
}

impl Ledger {
    pub(crate) fn note(&mut self, task: &str, what: What) {
        let at = now();
        if let What::Claimed { worker, .. } = &what {
            self.lives_now(worker, at);
        }
        let task = task.to_owned();
        self.events.push(Event { at, task, what });
    }

    /// A worker was seen ready. After a blow it counts again from its next claim.
    pub(crate) fn lives_now(&mut self, worker: &str, at: Ms) {
        let open = |life: &Life| life.worker == worker && life.to.is_none();
        if !self.lives.iter().any(open) {
            self.lives.push(Life {
                worker: worker.to_owned(),
                from: at,
                to: None,
            });
        }
    }

    pub(crate) fn has_lived(&self, worker: &str) -> bool {
        self.lives.iter().any(|life| life.worker == worker)
    }

    pub(crate) fn ends_now(&mut self, worker: &str, at: Ms) {
        for life in &mut self.lives {
            if life.worker == worker && life.to.is_none() {
                life.to = Some(at);
            }
        }
    }

    /// Whether this claim is known.
    pub(crate) fn knows(&self, task: &str, number: u64) -> bool {
        self.events.iter().any(|event| {
            event.task == task
                && matches!(event.what, What::Claimed { attempt, .. } if attempt == number)
        })
    }

    /// Tasks whose end was announced.
    pub(crate) fn ended(&self) -> BTreeSet<&str> {
        let ends = |event: &&Event| matches!(event.what, What::Completed | What::Failed);
        self.events
            .iter()
            .filter(ends)
            .map(|event| event.task.as_str())
            .collect()
    }
}

//! What a decision looks at: first as it was seen, then flattened to whole numbers that fit into a status.

use serde::{Deserialize, Serialize};

use super::ahead::Ahead;
use super::{Demand, History};

/// Larger numbers say nothing more, and a record of them would not fit.
pub(super) const MOST: i64 = 1_000_000_000_000;

/// Who chooses the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Auto,
    /// So many.
    Manual(i32),
    Paused,
}

/// A pool's wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub mode: Mode,
    pub min: i32,
    pub max: i32,
    /// In what time the work that is there is to be done.
    pub target_ms: i64,
    /// How long nothing may be queued or running before the last worker goes.
    pub zero_delay_ms: i64,
    /// How long fewer workers must have been enough before one goes.
    pub down_window_ms: i64,
}

/// The pool's workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// What the Deployment asks for.
    pub replicas: i32,
    pub ready: i32,
    /// How long each of those that are not ready yet has been starting; those that cannot start (no node, no image) are not counted.
    pub starting_ms: Vec<i64>,
    /// A new template is being rolled out.
    pub rollout: bool,
    /// How long a worker usually takes from its creation to its readiness.
    pub cold_start_ms: i64,
}

/// One look at everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// `None`: the queue could not be read, which is not the same as empty.
    pub demand: Option<Demand>,
    pub fleet: Fleet,
}

/// All inputs of one decision. The numbers are clamped, so that the text of it is bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Inputs {
    /// 0 Auto, 1 Manual, 2 Paused.
    pub policy: i64,
    /// Manual's number.
    pub manual: i64,
    pub min: i64,
    pub max: i64,
    pub target_ms: i64,
    pub zero_delay_ms: i64,
    pub down_window_ms: i64,

    /// 0: the queue could not be read; the next seven numbers mean nothing.
    pub readable: i64,
    /// 1: the queue is paused, nobody is given tasks.
    pub held: i64,
    /// Tasks that wait.
    pub queued: i64,
    /// Tasks that run.
    pub running: i64,
    /// Workers that run some.
    pub busy: i64,
    /// What waits, in milliseconds of one worker.
    pub queued_ms: i64,
    /// What is left of what runs, the same way.
    pub running_ms: i64,
    /// The same, but of each worker no more than `target_ms`: nobody else can take it over.
    pub bound_ms: i64,

    pub replicas: i64,
    pub ready: i64,
    pub starting: i64,
    pub rollout: i64,
    pub cold_start_ms: i64,
    /// When the present workers, those that are starting included, have done all that waits.
    pub alone_ms: i64,
    /// How many of them are free before a new one could begin.
    pub free: i64,
    /// What they leave until then of the waiting work.
    pub rest_ms: i64,

    /// How long there has been nothing to do.
    pub quiet_ms: i64,
    /// How long this operator has watched the pool.
    pub watched_ms: i64,
    /// The most workers that were needed within the window.
    pub window_most: i64,
}

impl Inputs {
    pub fn gather(seen: &Observation, spec: &Spec, history: &History, now_ms: i64) -> Self {
        let (policy, manual) = match spec.mode {
            Mode::Auto => (0, 0),
            Mode::Manual(replicas) => (1, replicas),
            Mode::Paused => (2, 0),
        };
        let fleet = &seen.fleet;
        let cold_start_ms = bounded(fleet.cold_start_ms);
        let none = Demand::default();
        let demand = seen.demand.as_ref().unwrap_or(&none);
        let ahead = Ahead::of(demand, fleet, cold_start_ms);
        Inputs {
            policy,
            manual: bounded(manual.into()),
            min: bounded(spec.min.into()),
            max: bounded(spec.max.into()),
            target_ms: bounded(spec.target_ms).max(1),
            zero_delay_ms: bounded(spec.zero_delay_ms),
            down_window_ms: bounded(spec.down_window_ms),
            readable: seen.demand.is_some().into(),
            held: demand.held.into(),
            queued: bounded(demand.queued),
            running: bounded(demand.running_tasks),
            busy: bounded(demand.busy()),
            queued_ms: bounded(demand.queued_ms),
            running_ms: bounded(demand.running_ms()),
            bound_ms: bounded(demand.bound_ms(spec.target_ms.max(1))),
            replicas: bounded(fleet.replicas.into()),
            ready: bounded(fleet.ready.into()),
            starting: bounded(fleet.starting_ms.len() as i64),
            rollout: fleet.rollout.into(),
            cold_start_ms,
            alone_ms: ahead.alone_ms,
            free: ahead.free,
            rest_ms: ahead.rest_ms,
            quiet_ms: bounded(history.quiet_ms(now_ms)),
            watched_ms: bounded(history.watched_ms(now_ms)),
            window_most: bounded(history.most_within(spec.down_window_ms, now_ms).into()),
        }
    }

    /// Tasks that wait or run.
    pub fn tasks(&self) -> i64 {
        self.queued.saturating_add(self.running)
    }
}

pub(super) fn bounded(number: i64) -> i64 {
    number.clamp(0, MOST)
}

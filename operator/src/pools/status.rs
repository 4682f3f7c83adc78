//! A pool's status from what was seen and decided: pure, and the same again for the same.

use crds::{LastDecision, QueueStatus, WorkerPool, WorkerPoolStatus, find};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::build::POOL_LABEL;
use super::pods::Blocked;
use super::validate::Unfit;
use crate::cluster::Kind;
use crate::conditions::{Conditions, Truth, to_seconds};
use crate::scale::{Decision, Demand, Mode, Pod, write_record};

pub(super) const READY: &str = "Ready";
pub(super) const QUEUE_REACHABLE: &str = "QueueReachable";
pub(super) const SCALING_ACTIVE: &str = "ScalingActive";
pub(super) const SCALING_LIMITED: &str = "ScalingLimited";
pub(super) const CAPACITY: &str = "CapacityAvailable";
pub(super) const ROLLOUT: &str = "RolloutComplete";

/// Everything that a status is made of.
pub struct View<'a> {
    pub pool: &'a WorkerPool,
    pub base: &'a WorkerPoolStatus,
    pub now: Timestamp,
    /// The pool cannot be served.
    pub unfit: Option<&'a Unfit>,
    /// The API server would not take the Deployment: its words.
    pub rejected: Option<&'a str>,
    pub mode: Mode,
    pub decision: Option<&'a Decision>,
    /// What the Deployment asks for now.
    pub replicas: i32,
    pub scaled: bool,
    pub pods: &'a [Pod],
    pub demand: Option<&'a Demand>,
    /// Why the queue cannot be read, and for how many seconds that has been so.
    pub blind: Option<(&'a str, u64)>,
    pub blocked: Option<&'a Blocked>,
    pub starting: i32,
    pub rollout: bool,
}

/// Short trouble with Redis is no transition.
const BLIND_SECONDS: u64 = 3;
/// Then the pool is not ready any more.
const LONG_BLIND_SECONDS: u64 = 60;

pub fn status(view: &View) -> WorkerPoolStatus {
    let live = || view.pods.iter().filter(|pod| !pod.leaving);
    let count = |wanted: &dyn Fn(&Pod) -> bool| {
        i32::try_from(live().filter(|pod| wanted(pod)).count()).unwrap_or(i32::MAX)
    };
    let base = view.base;
    let name = view.pool.metadata.name.as_deref().unwrap_or_default();
    let demand = view.demand;
    let seconds = |ms: i64| ms / 1000;
    let decision = view.decision;
    let last_decision = match (decision, &base.last_decision) {
        (Some(new), Some(old))
            if new.desired == old.desired && new.reason.as_str() == old.reason =>
        {
            Some(old.clone())
        }
        (Some(new), _) => Some(LastDecision {
            desired: new.desired,
            reason: new.reason.as_str().to_owned(),
            message: new.message.clone(),
            inputs: write_record(&new.inputs),
            observed_at: Some(Time(to_seconds(view.now))),
        }),
        (None, old) => old.clone(),
    };
    let drained = demand.map(|demand| {
        let work_ms = demand.queued_ms.saturating_add(demand.running_ms());
        round(seconds(work_ms / i64::from(count(&|pod| pod.ready).max(1))))
    });
    WorkerPoolStatus {
        conditions: conditions(view),
        observed_generation: view.pool.metadata.generation,
        replicas: i32::try_from(live().count()).unwrap_or(i32::MAX),
        desired_replicas: decision.map_or(base.desired_replicas, |decision| decision.desired),
        ready_replicas: count(&|pod| pod.ready),
        busy_replicas: count(&|pod| pod.tasks > 0),
        draining_replicas: count(&|pod| pod.flagged),
        starting_replicas: view.starting,
        selector: format!("{POOL_LABEL}={name}"),
        // What was seen last stays while nothing can be seen.
        queue: demand.map_or(base.queue.clone(), |demand| {
            Some(QueueStatus {
                depth: round(demand.queued),
                in_flight: round(demand.running_tasks),
                work_seconds: round(seconds(demand.queued_ms)),
                oldest_wait_seconds: round(seconds(demand.oldest_wait_ms)),
            })
        }),
        estimated_drain_seconds: drained.or(base.estimated_drain_seconds),
        last_scale_time: if view.scaled {
            Some(Time(to_seconds(view.now)))
        } else {
            base.last_scale_time.clone()
        },
        last_decision,
    }
}

fn conditions(view: &View) -> Vec<crds::Condition> {
    let mut list = Conditions::from(
        &view.base.conditions,
        view.pool.metadata.generation,
        view.now,
    );
    if let Some(unfit) = view.unfit {
        list.set(READY, Truth::False, unfit.reason, &unfit.message);
        list.set(
            SCALING_ACTIVE,
            Truth::False,
            unfit.reason,
            "nothing is done for this pool until that is mended",
        );
        return list.into_list();
    }
    match view.blind {
        Some((error, blind)) if blind >= BLIND_SECONDS => {
            list.set(
                QUEUE_REACHABLE,
                Truth::False,
                "QueueUnreachable",
                &format!("the number of workers is held: {error}"),
            );
        }
        Some(_) => {}
        None => list.set(
            QUEUE_REACHABLE,
            Truth::True,
            "Readable",
            "the queue is looked at every second",
        ),
    }
    match view.mode {
        Mode::Auto => list.set(SCALING_ACTIVE, Truth::True, "Auto", "the work decides"),
        Mode::Manual(_) => list.set(
            SCALING_ACTIVE,
            Truth::False,
            "Manual",
            "scaling.replicas decides",
        ),
        Mode::Paused => list.set(
            SCALING_ACTIVE,
            Truth::False,
            "Paused",
            "the number stays as it is",
        ),
    }
    match view.decision {
        Some(decision) if decision.limited => {
            list.set(
                SCALING_LIMITED,
                Truth::True,
                "AtMaxReplicas",
                "the work would need more than scaling.maxReplicas",
            );
        }
        Some(_) => list.set(
            SCALING_LIMITED,
            Truth::False,
            "WithinBounds",
            "maxReplicas is enough",
        ),
        None => {}
    }
    match view.blocked {
        Some(blocked) => list.set(CAPACITY, Truth::False, &blocked.reason, &blocked.message),
        None => list.set(
            CAPACITY,
            Truth::True,
            "Available",
            "no pod is kept from starting",
        ),
    }
    if view.rollout {
        list.set(
            ROLLOUT,
            Truth::False,
            "RollingOut",
            "pods of the last template are replaced one by one",
        );
    } else {
        list.set(
            ROLLOUT,
            Truth::True,
            "Complete",
            "all pods have the current template",
        );
    }
    match (view.rejected, view.blind) {
        (Some(words), _) => list.set(READY, Truth::False, "TemplateRejected", words),
        (None, Some((error, blind))) if blind >= LONG_BLIND_SECONDS => {
            list.set(READY, Truth::False, "QueueUnreachable", error);
        }
        _ => list.set(
            READY,
            Truth::True,
            "Serving",
            "the Deployment stands as asked for",
        ),
    }
    list.into_list()
}

/// To two digits, so that a queue that moves is not a write for each task.
fn round(number: i64) -> i64 {
    let mut unit = 1;
    while number / unit >= 100 {
        unit *= 10;
    }
    number / unit * unit
}

/// Whether only what moves all the time differs: numbers of the queue, who works, and the words of an unchanged decision.
pub fn only_soft(old: &WorkerPoolStatus, new: &WorkerPoolStatus) -> bool {
    let hard = |status: &WorkerPoolStatus| WorkerPoolStatus {
        queue: None,
        estimated_drain_seconds: None,
        busy_replicas: 0,
        last_decision: None,
        ..status.clone()
    };
    hard(old) == hard(new)
}

/// (kind, reason, action, words) of each condition that turned.
pub fn notices(
    old: &WorkerPoolStatus,
    new: &WorkerPoolStatus,
) -> Vec<(Kind, String, &'static str, String)> {
    let mut told = Vec::new();
    for (type_, bad, action) in [
        (READY, "False", "Serve"),
        (QUEUE_REACHABLE, "False", "ObserveQueue"),
        (CAPACITY, "False", "Schedule"),
        (SCALING_LIMITED, "True", "Scale"),
    ] {
        let Some(is) = find(&new.conditions, type_) else {
            continue;
        };
        let was = find(&old.conditions, type_);
        let turned = was.is_none_or(|was| was.status != is.status || was.reason != is.reason);
        if turned && is.status == bad {
            told.push((Kind::Warning, is.reason.clone(), action, is.message.clone()));
        } else if was.is_some_and(|was| was.status == bad)
            && is.status != bad
            && type_ != SCALING_LIMITED
        {
            told.push((Kind::Normal, is.reason.clone(), action, is.message.clone()));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::round;

    #[test]
    fn two_digits() {
        for (number, expected) in [
            (0, 0),
            (7, 7),
            (99, 99),
            (100, 100),
            (129, 120),
            (12_345, 12_000),
        ] {
            assert_eq!(round(number), expected);
        }
    }
}

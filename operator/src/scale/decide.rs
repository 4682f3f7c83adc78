//! The decision: inputs in, a number and its reason out. The number is absolute, a function of the work that is there and
//! never "some more", so that asking twice, or while workers are starting, asks for nothing twice.

use super::{History, Inputs, Observation, Spec};

/// Why there are as many workers as there are. The words stand in statuses and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Paused,
    Manual,
    QueueUnreadable,
    QueuePaused,
    BacklogAboveTarget,
    ColdStartNotWorthIt,
    EnoughWorkers,
    AtMinReplicas,
    AtMaxReplicas,
    WorkersStarting,
    RolloutInProgress,
    Stabilizing,
    FewerAreEnough,
    IdleSoonZero,
    Idle,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Paused => "Paused",
            Reason::Manual => "Manual",
            Reason::QueueUnreadable => "QueueUnreadable",
            Reason::QueuePaused => "QueuePaused",
            Reason::BacklogAboveTarget => "BacklogAboveTarget",
            Reason::ColdStartNotWorthIt => "ColdStartNotWorthIt",
            Reason::EnoughWorkers => "EnoughWorkers",
            Reason::AtMinReplicas => "AtMinReplicas",
            Reason::AtMaxReplicas => "AtMaxReplicas",
            Reason::WorkersStarting => "WorkersStarting",
            Reason::RolloutInProgress => "RolloutInProgress",
            Reason::Stabilizing => "Stabilizing",
            Reason::FewerAreEnough => "FewerAreEnough",
            Reason::IdleSoonZero => "IdleSoonZero",
            Reason::Idle => "Idle",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// So many workers there are to be.
    pub desired: i32,
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// So many the work of this moment needs, between the bounds; what the window remembers.
    pub needed: i32,
    /// The bounds cut off what the work would need.
    pub limited: bool,
    pub inputs: Inputs,
}

/// How many workers the pool is to have now.
pub fn decide(seen: &Observation, spec: &Spec, history: &History, now_ms: i64) -> Decision {
    settle(Inputs::gather(seen, spec, history, now_ms))
}

/// The same from the flat numbers, as `explain` finds them in a status.
pub fn settle(inputs: Inputs) -> Decision {
    let found = weigh(&inputs);
    let small = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    Decision {
        desired: small(found.desired),
        reason: found.reason,
        message: found.message,
        needed: small(found.needed),
        limited: found.limited,
        inputs,
    }
}

struct Found {
    desired: i64,
    reason: Reason,
    message: String,
    needed: i64,
    limited: bool,
}

fn weigh(inputs: &Inputs) -> Found {
    let i = inputs;
    let have = i.replicas;
    let stay = |reason, message: &str| Found {
        desired: have,
        reason,
        message: message.to_owned(),
        needed: have,
        limited: false,
    };
    match i.policy {
        0 => {}
        1 => {
            return Found {
                desired: i.manual,
                needed: i.manual,
                ..stay(Reason::Manual, "scaling.replicas says so")
            };
        }
        _ => return stay(Reason::Paused, "paused: the number stays as it is"),
    }
    if i.readable == 0 {
        // Not knowing is no reason to take away; the lower bound needs no queue.
        return Found {
            desired: have.max(i.min),
            needed: have.max(i.min),
            ..stay(
                Reason::QueueUnreadable,
                "the queue cannot be read: the number stays as it is",
            )
        };
    }
    if i.held == 1 {
        return Found {
            desired: have.max(i.min),
            needed: have.max(i.min),
            ..stay(
                Reason::QueuePaused,
                "the queue is paused and gives out no tasks: the number stays as it is",
            )
        };
    }
    let wanted = wanted(i);
    let needed = wanted.min(i.max).max(i.min);
    let found = if needed > have {
        go_up(i, wanted, needed)
    } else if needed < have {
        go_down(i, needed)
    } else {
        keep(i, wanted)
    };
    Found {
        needed,
        limited: wanted > i.max && found.desired >= i.max,
        ..found
    }
}

/// So many workers do all work within the target. Of what runs, each worker counts for no more than the target, because
/// nobody can take it over; and no task occupies two workers.
fn wanted(i: &Inputs) -> i64 {
    if i.tasks() == 0 {
        return 0;
    }
    // A task that takes longer than the target still takes one worker.
    let queued_ms = i.queued_ms.min(i.queued.saturating_mul(i.target_ms));
    let all_ms = queued_ms.saturating_add(i.bound_ms);
    let target = i.target_ms.max(1);
    let workers = all_ms / target + i64::from(all_ms % target > 0);
    workers.clamp(1, i.busy.max(1).saturating_add(i.queued))
}

fn go_up(i: &Inputs, wanted: i64, needed: i64) -> Found {
    let have = i.replicas;
    let floor = have.max(i.min);
    let desired = if have == 0 {
        needed
    } else {
        needed.min(with_the_present(i)).max(floor)
    };
    if have > 0 && needed > floor && (desired == floor || i.alone_ms <= patience_ms(i)) {
        return Found {
            desired: floor,
            reason: Reason::ColdStartNotWorthIt,
            message: format!(
                "the present workers do in {} s what waits; another one could begin in {} s",
                seconds(i.alone_ms),
                seconds(i.cold_start_ms)
            ),
            needed,
            limited: false,
        };
    }
    let work_ms = i.queued_ms.saturating_add(i.running_ms);
    let (reason, message) = if wanted < i.min {
        (
            Reason::AtMinReplicas,
            "as many as minReplicas asks for".to_owned(),
        )
    } else {
        (
            if wanted > i.max && desired == i.max {
                Reason::AtMaxReplicas
            } else {
                Reason::BacklogAboveTarget
            },
            format!(
                "{} queued and {} running are {} s of work, to be done in {} s",
                i.queued,
                i.running,
                seconds(work_ms),
                seconds(i.target_ms)
            ) + if wanted > i.max && desired == i.max {
                ": would need more than maxReplicas"
            } else {
                ""
            },
        )
    };
    Found {
        desired,
        reason,
        message,
        needed,
        limited: false,
    }
}

/// With so many, those that are free do what is left until another one could begin, from then on within the target. Who was asked
/// for counts as free then, so this asks for nothing twice. A fifth of the target more is no reason for one more start: lengths
/// are expected ones.
fn with_the_present(i: &Inputs) -> i64 {
    let within_ms = i.target_ms.saturating_add(i.target_ms / 5).max(1);
    let workers = i.rest_ms / within_ms + i64::from(i.rest_ms % within_ms > 0);
    i.replicas.saturating_add((workers - i.free).max(0))
}

/// How long the present workers may need before another one is started. A start is time of a GPU in which nothing is done, and
/// arrivals that come by chance would pay it again and again; but nobody waits for more than twice the target because of that.
fn patience_ms(i: &Inputs) -> i64 {
    if i.ready == 0 {
        // None has begun yet: what comes meanwhile belongs to the same burst.
        return i.cold_start_ms;
    }
    let starts_ms = i.cold_start_ms.saturating_mul(3);
    let targets_ms = i.target_ms.saturating_mul(2);
    starts_ms.min(targets_ms).max(i.cold_start_ms)
}

fn keep(i: &Inputs, wanted: i64) -> Found {
    let (reason, message) = if wanted > i.max {
        (
            Reason::AtMaxReplicas,
            format!("maxReplicas: the work would need {wanted}"),
        )
    } else if i.tasks() == 0 && i.replicas == 0 {
        (Reason::Idle, "nothing to do".to_owned())
    } else if wanted < i.min {
        (
            Reason::AtMinReplicas,
            "as many as minReplicas asks for".to_owned(),
        )
    } else {
        (
            Reason::EnoughWorkers,
            format!("{} queued and {} running need as many", i.queued, i.running),
        )
    };
    Found {
        desired: i.replicas,
        reason,
        message,
        needed: i.replicas,
        limited: false,
    }
}

fn go_down(i: &Inputs, needed: i64) -> Found {
    let have = i.replicas;
    let hold = |reason, message: String| Found {
        // A lowered maxReplicas is a wish, not a measurement: it needs no window.
        desired: have.min(i.max.max(needed)),
        reason,
        message,
        needed,
        limited: false,
    };
    if i.rollout == 1 {
        return Found {
            desired: have,
            ..hold(
                Reason::RolloutInProgress,
                "a new template is being rolled out; nobody goes before that is done".to_owned(),
            )
        };
    }
    if i.starting > 0 && i.queued > 0 {
        return hold(
            Reason::WorkersStarting,
            format!(
                "{} workers are starting and {} tasks wait",
                i.starting, i.queued
            ),
        );
    }
    let mut desired = needed.max(i.window_most).min(have).min(i.max.max(needed));
    if i.watched_ms < i.down_window_ms {
        let left_ms = i.down_window_ms - i.watched_ms;
        return hold(
            Reason::Stabilizing,
            format!(
                "{needed} would be enough; looking on for another {} s",
                seconds(left_ms)
            ),
        );
    }
    // The last one stays for the quiet window, whatever the other window says.
    if desired == 0 && i.quiet_ms < i.zero_delay_ms {
        desired = 1.min(have).min(i.max);
    }
    if desired == have && i.tasks() == 0 && have == 1 {
        let left_ms = (i.zero_delay_ms - i.quiet_ms).max(0);
        return hold(
            Reason::IdleSoonZero,
            format!(
                "nothing to do; the last worker goes in {} s",
                seconds(left_ms)
            ),
        );
    }
    if desired >= have {
        return hold(
            Reason::Stabilizing,
            format!(
                "{needed} would be enough now; {} were needed within the last {} s",
                i.window_most,
                seconds(i.down_window_ms)
            ),
        );
    }
    let (reason, message) = if desired == 0 {
        (
            Reason::Idle,
            format!("nothing to do for {} s", seconds(i.quiet_ms)),
        )
    } else {
        (
            Reason::FewerAreEnough,
            format!(
                "{} queued and {} running need no more for {} s",
                i.queued,
                i.running,
                seconds(i.down_window_ms)
            ),
        )
    };
    Found {
        desired,
        reason,
        message,
        needed,
        limited: false,
    }
}

/// Rounded up.
fn seconds(ms: i64) -> i64 {
    ms / 1000 + i64::from(ms % 1000 > 0)
}

//! Which workers go, and the next step on their way. Nobody is taken away who still works: a pod is first flagged in the
//! queue, so that it is given nothing new; when no task is left on it, it gets the lowest deletion cost; when that has been
//! seen to stand for a while, the number is lowered, and the ReplicaSet takes the pods that were chosen. Each step is derived
//! anew from what is seen, so it does not matter after which of them the operator died.

/// A pod of the pool as the cluster and the queue show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    pub uid: String,
    pub name: String,
    pub ready: bool,
    /// It has a deletion timestamp, or all its containers have ended: it counts no more.
    pub leaving: bool,
    /// Its drain flag is seen to stand in the queue.
    pub flagged: bool,
    /// Its deletion cost is seen to stand on it.
    pub condemned: bool,
    /// Its readiness or its cost changed a moment ago: the ReplicaSet controller, which watches for itself, may not know it yet.
    pub fresh: bool,
    /// It carries the annotations that keep nodes from being emptied under it.
    pub protected: bool,
    /// Tasks that its workers run.
    pub tasks: usize,
    /// What is left of them.
    pub left_ms: i64,
    /// How long it has had nothing to do.
    pub idle_ms: i64,
}

/// What else the next step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ground {
    /// What the Deployment asks for.
    pub replicas: i32,
    /// How many there are to be.
    pub desired: i32,
    /// The queue was read, and all running tasks were seen.
    pub known: bool,
    /// The Deployment has seen our last word, and no pod is still to be created or deleted by it, for that word or an older one.
    pub settled: bool,
    /// A new template is being rolled out.
    pub rollout: bool,
}

/// The next step: all of it is idempotent, and done in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Uids to flag in the queue.
    pub drain: Vec<String>,
    /// Uids whose flag goes.
    pub undrain: Vec<String>,
    /// Names of pods that get the deletion cost and lose their protection.
    pub condemn: Vec<String>,
    /// Names of pods that are needed after all.
    pub pardon: Vec<String>,
    /// Names of pods so long idle that a node may be emptied under them.
    pub expose: Vec<String>,
    /// Names of pods that work again.
    pub protect: Vec<String>,
    pub replicas: i32,
    /// Flagged pods that still work.
    pub waiting: usize,
}

/// An idle pod may be moved to another node after so long.
const LONG_IDLE_MS: i64 = 600_000;

pub fn plan(pods: &[Pod], ground: Ground) -> Plan {
    let mut live: Vec<&Pod> = pods.iter().filter(|pod| !pod.leaving).collect();
    live.sort_by_key(|pod| urgency(pod));
    let count = i32::try_from(live.len()).unwrap_or(i32::MAX);
    let surplus = usize::try_from(count.saturating_sub(ground.desired)).unwrap_or(0);
    // In a rollout the ReplicaSets choose by themselves, and without the queue nobody knows who works.
    let frozen = ground.rollout || !ground.known;
    let mut plan = Plan {
        replicas: ground.replicas.max(ground.desired),
        ..Plan::default()
    };

    let mut victims = Vec::new();
    for (place, pod) in live.iter().enumerate() {
        // The ReplicaSet may be about to delete it: no task must reach it any more.
        let lost = pod.condemned && !ground.settled;
        if pod.flagged {
            if place < surplus || lost {
                victims.push(*pod);
            } else {
                plan.undrain.push(pod.uid.clone());
                if pod.condemned {
                    plan.pardon.push(pod.name.clone());
                }
            }
        } else if place < surplus && !frozen {
            plan.drain.push(pod.uid.clone());
        } else if pod.condemned && !lost {
            plan.pardon.push(pod.name.clone());
        }
    }
    for pod in &live {
        let named = plan.pardon.contains(&pod.name);
        if pod.tasks > 0 && !pod.protected && !pod.condemned && !named {
            plan.protect.push(pod.name.clone());
        } else if ground.known
            && pod.tasks == 0
            && pod.protected
            && !pod.flagged
            && pod.idle_ms >= LONG_IDLE_MS
        {
            plan.expose.push(pod.name.clone());
        }
    }
    let done = |pod: &&&Pod| ground.known && pod.tasks == 0;
    plan.condemn = victims
        .iter()
        .filter(done)
        .filter(|pod| !pod.condemned)
        .map(|pod| pod.name.clone())
        .collect();
    plan.waiting = victims.iter().filter(|pod| !done(pod)).count();
    if ground.desired < ground.replicas && ground.settled && !frozen {
        let gone = victims
            .iter()
            .filter(done)
            .filter(|pod| pod.condemned && !pod.fresh)
            .count();
        let gone = i32::try_from(gone).unwrap_or(i32::MAX);
        // A ReplicaSet deletes what is not ready, or was not when it last heard of it, before it looks at any cost; and a cost
        // may stand on a pod whose flag was lost with the queue's data, or seem to on one that was pardoned just now.
        let in_the_way = live.iter().any(|pod| {
            (!pod.ready || pod.condemned || pod.fresh) && !(pod.flagged && pod.tasks == 0)
        });
        let lowest = if in_the_way { count } else { count - gone };
        plan.replicas = lowest.max(ground.desired).min(ground.replicas);
    }
    plan
}

/// Who goes first: whoever was chosen before and is furthest on its way, then the idle (a pod that is only starting before
/// one that is ready), then who has the least work left.
fn urgency(pod: &Pod) -> (bool, bool, bool, i64, bool, &str) {
    (
        !(pod.flagged && pod.condemned),
        !pod.flagged,
        pod.tasks > 0,
        pod.left_ms,
        pod.ready,
        &pod.name,
    )
}

//! What a pass over a pool looks at, and what follows from it: the decision and the next step. No client; only the memory moves on.

use std::collections::HashSet;
use std::sync::Arc;

use crds::WorkerPool;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod as ClusterPod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use metrics::{counter, gauge};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{COLD_START_MS, Memory, Valid, blocked, complete, pods, view, work_by_pod};
use crate::cluster::key_of;
use crate::eyes::Seen;
use crate::scale::{Decision, Fleet, Ground, Observation, Plan, decide, plan};
use crate::telemetry::names;

/// All that a pass looks at, fetched before.
pub(crate) struct Scene {
    pub(crate) pool: Arc<WorkerPool>,
    pub(crate) valid: Valid,
    pub(crate) deployment: Option<Arc<Deployment>>,
    pub(crate) pods: Vec<Arc<ClusterPod>>,
    /// The last look at the queue, if it can be trusted.
    pub(crate) seen: Result<Arc<Seen>, Arc<str>>,
    pub(crate) looked_at: Option<Instant>,
    pub(crate) memory: Arc<Mutex<Memory>>,
}

/// The decision, and the pods that it is about. No client; the memory moves on.
pub(super) fn think(
    scene: &Scene,
    now_ms: i64,
    now: Timestamp,
) -> (Decision, Vec<crate::scale::Pod>) {
    let seen = scene.seen.as_ref().ok();
    let work = seen.map(|seen| work_by_pod(seen)).unwrap_or_default();
    let mut memory = scene.memory.lock();
    let mut uids = HashSet::new();
    let mut busy = HashSet::new();
    let pods: Vec<crate::scale::Pod> = scene
        .pods
        .iter()
        .map(|pod| {
            let uid = pod.uid().unwrap_or_default();
            if let Some(start_ms) = pods::start_ms(pod) {
                memory.started(&uid, start_ms);
            }
            let works = work.get(uid.as_str()).is_some_and(|(tasks, _)| *tasks > 0);
            if works || seen.is_none() {
                memory.idle_since.remove(&uid);
            }
            if works {
                busy.insert(uid.clone());
            }
            let idle_since = *memory
                .idle_since
                .entry(uid.clone())
                .or_insert_with(Instant::now);
            let idle_ms = i64::try_from(idle_since.elapsed().as_millis()).unwrap_or(i64::MAX);
            let mut viewed = view(
                pod,
                seen.map(|seen| &**seen),
                &work,
                if works { 0 } else { idle_ms },
            );
            viewed.fresh = memory.fresh(&uid, viewed.ready, viewed.condemned, Instant::now());
            uids.insert(uid);
            viewed
        })
        .collect();
    memory.keep(&uids);
    if seen.is_some() {
        memory.busy = busy;
        memory.blind_since = None;
    } else if memory.blind_since.is_none() {
        memory.blind_since = Some(Instant::now());
    }
    let observation = Observation {
        demand: seen.map(|seen| seen.demand.clone()),
        fleet: fleet(scene, &pods, &memory, now),
    };
    let decision = decide(&observation, &scene.valid.spec, &memory.history, now_ms);
    memory
        .history
        .note(&decision, scene.valid.spec.down_window_ms, now_ms);
    let before = memory
        .decision
        .as_ref()
        .map(|before| (before.desired, before.reason));
    if before != Some((decision.desired, decision.reason)) {
        counter!(names::SCALE_DECISIONS, "reason" => decision.reason.as_str()).increment(1);
    }
    memory.decision = Some(decision.clone());
    let count = |wanted: &dyn Fn(&crate::scale::Pod) -> bool| {
        pods.iter().filter(|pod| wanted(pod)).count() as f64
    };
    let pool = key_of(&*scene.pool);
    gauge!(names::DESIRED_REPLICAS, "pool" => pool.clone()).set(f64::from(decision.desired));
    gauge!(names::READY_REPLICAS, "pool" => pool.clone()).set(count(&|pod| pod.ready));
    gauge!(names::BUSY_WORKERS, "pool" => pool.clone()).set(count(&|pod| pod.tasks > 0));
    gauge!(names::DRAINING_WORKERS, "pool" => pool.clone()).set(count(&|pod| pod.flagged));
    let there = pods.iter().filter(|pod| !pod.leaving).count() as u64;
    counter!(names::WORKER_SECONDS, "pool" => pool.clone())
        .absolute(memory.spent(there, Instant::now()));
    if let Some(start_ms) = memory.cold_start_ms() {
        gauge!(names::COLD_START_SECONDS, "pool" => pool).set(start_ms as f64 / 1000.0);
    }
    (decision, pods)
}

pub(super) fn fleet(
    scene: &Scene,
    pods: &[crate::scale::Pod],
    memory: &Memory,
    now: Timestamp,
) -> Fleet {
    let live = || scene.pods.iter().zip(pods).filter(|(_, pod)| !pod.leaving);
    Fleet {
        replicas: replicas(scene, memory),
        ready: i32::try_from(live().filter(|(_, pod)| pod.ready).count()).unwrap_or(i32::MAX),
        starting_ms: live()
            .filter(|(_, pod)| !pod.ready)
            .filter(|(pod, _)| blocked(pod).is_none())
            .map(|(pod, _)| pods::age_ms(pod, now))
            .collect(),
        rollout: rollout(scene, memory),
        cold_start_ms: memory.cold_start_ms().unwrap_or(COLD_START_MS),
    }
}

/// What the Deployment asks for; our own last word where the watch has not brought it yet.
pub(super) fn replicas(scene: &Scene, memory: &Memory) -> i32 {
    let shown = scene.deployment.as_ref().map(|deployment| {
        let replicas = deployment.spec.replicas;
        (
            deployment.metadata.generation.unwrap_or(0),
            replicas.unwrap_or(1),
        )
    });
    match (&memory.applied, shown) {
        (Some((_, replicas, generation)), Some((shown, _))) if shown < *generation => *replicas,
        (_, Some((_, replicas))) => replicas,
        (Some((_, replicas, _)), None) => *replicas,
        (None, None) => 0,
    }
}

/// Whether the Deployment's controller has seen the last word about it.
fn heard(scene: &Scene, memory: &Memory) -> bool {
    let Some(deployment) = &scene.deployment else {
        return false;
    };
    let generation = deployment.metadata.generation.unwrap_or(0);
    let ours = memory
        .applied
        .as_ref()
        .map_or(0, |(_, _, generation)| *generation);
    let observed = deployment
        .status
        .as_ref()
        .and_then(|status| status.observed_generation)
        .unwrap_or(0);
    generation >= ours && observed >= generation
}

pub(super) fn rollout(scene: &Scene, memory: &Memory) -> bool {
    let Some(status) = scene
        .deployment
        .as_ref()
        .and_then(|deployment| deployment.status.as_ref())
    else {
        return false;
    };
    let old = status.updated_replicas.unwrap_or(0) < status.replicas.unwrap_or(0);
    old && heard(scene, memory)
}

/// What is to be done next. No client.
pub(super) fn next_step(scene: &Scene, decision: &Decision, pods: &[crate::scale::Pod]) -> Plan {
    let mut memory = scene.memory.lock();
    let wanted = replicas(scene, &memory);
    let live = i32::try_from(pods.iter().filter(|pod| !pod.leaving).count()).unwrap_or(i32::MAX);
    let made = scene
        .deployment
        .as_ref()
        .and_then(|deployment| deployment.status.as_ref()?.replicas)
        .unwrap_or(0);
    let known = scene.seen.as_ref().is_ok_and(|seen| complete(seen));
    let unsettled = memory.unsettled(wanted, made, Instant::now());
    plan(
        pods,
        Ground {
            replicas: wanted,
            desired: decision.desired,
            known,
            settled: heard(scene, &memory) && made <= wanted && live == made && !unsettled,
            rollout: rollout(scene, &memory),
        },
    )
}

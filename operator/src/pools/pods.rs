//! A pool's pods as the scaler sees them: what the cluster says of each, and what the queue says of the workers in it.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod as ClusterPod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::build::{DELETION_COST, PROTECTIONS};
use crate::eyes::Seen;
use crate::scale::Pod;

/// Reasons of waiting containers that time alone does not heal.
const STUCK: &[&str] = &[
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
];

/// What keeps pods from working.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub reason: String,
    pub message: String,
}

fn statuses(pod: &ClusterPod) -> &[ContainerStatus] {
    pod.status
        .as_ref()
        .and_then(|status| status.container_statuses.as_deref())
        .unwrap_or_default()
}

fn condition<'a>(
    pod: &'a ClusterPod,
    type_: &str,
) -> Option<&'a k8s_openapi::api::core::v1::PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_)
}

pub(super) fn ready(pod: &ClusterPod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// All its containers have ended for good; nothing in it can work any more.
pub(super) fn ended(pod: &ClusterPod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether the process that last spoke so many milliseconds ago has certainly ended, though its pod is still there: no
/// container runs, or the one that runs began after the process had last spoken, and a living one would have spoken since.
pub fn outlived(pod: &ClusterPod, silent_ms: u64, now: Timestamp) -> bool {
    const MISSED_A_BEAT_MS: u64 = 7_000;
    if ended(pod) {
        return true;
    }
    let statuses = statuses(pod);
    if statuses.is_empty() || silent_ms < MISSED_A_BEAT_MS {
        return false;
    }
    let spoke = now
        .as_millisecond()
        .saturating_sub(i64::try_from(silent_ms).unwrap_or(i64::MAX));
    statuses.iter().all(|status| match &status.state {
        Some(ContainerState {
            terminated: Some(_),
            ..
        }) => true,
        Some(ContainerState {
            running: Some(running),
            ..
        }) => {
            let restarted = status.restart_count > 0;
            restarted
                && running
                    .started_at
                    .as_ref()
                    .is_some_and(|began| began.0.as_millisecond() > spoke)
        }
        Some(ContainerState {
            waiting: Some(_), ..
        }) => status.restart_count > 0 || status.last_state.is_some(),
        _ => false,
    })
}

/// From the pod's creation to its readiness.
pub(super) fn start_ms(pod: &ClusterPod) -> Option<i64> {
    let created = pod.metadata.creation_timestamp.as_ref()?.0;
    let ready = condition(pod, "Ready").filter(|ready| ready.status == "True")?;
    // A pod that lost its readiness and got it back tells nothing about starting.
    if statuses(pod).iter().any(|status| status.restart_count > 0) {
        return None;
    }
    let since = ready.last_transition_time.as_ref()?.0;
    Some((since.as_millisecond() - created.as_millisecond()).max(0))
}

pub(super) fn age_ms(pod: &ClusterPod, now: Timestamp) -> i64 {
    let created = pod
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(now, |time| time.0);
    (now.as_millisecond() - created.as_millisecond()).max(0)
}

/// Why this pod does not work and will not by itself.
pub fn blocked(pod: &ClusterPod) -> Option<Blocked> {
    if ready(pod) || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    if let Some(scheduled) = condition(pod, "PodScheduled")
        && scheduled.status == "False"
    {
        let reason = scheduled
            .reason
            .clone()
            .unwrap_or_else(|| "Unschedulable".to_owned());
        return Some(Blocked {
            reason,
            message: scheduled.message.clone().unwrap_or_default(),
        });
    }
    statuses(pod).iter().find_map(|status| {
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.clone()?;
        STUCK.contains(&reason.as_str()).then(|| Blocked {
            message: waiting.message.clone().unwrap_or_default(),
            reason,
        })
    })
}

/// The pod in the scaler's words. `idle_ms` and `fresh` are remembered elsewhere.
pub fn view(
    pod: &ClusterPod,
    seen: Option<&Seen>,
    work: &HashMap<&str, (usize, i64)>,
    idle_ms: i64,
) -> Pod {
    let uid = pod.uid().unwrap_or_default();
    let flag = format!("pod:{uid}");
    let annotations = pod.annotations();
    let (tasks, left_ms) = work.get(uid.as_str()).copied().unwrap_or_default();
    Pod {
        name: pod.name_any(),
        ready: ready(pod),
        leaving: pod.metadata.deletion_timestamp.is_some() || ended(pod),
        flagged: seen.is_some_and(|seen| seen.raw.draining.contains(&flag)),
        condemned: annotations.contains_key(DELETION_COST),
        fresh: false,
        protected: PROTECTIONS
            .iter()
            .any(|(name, value)| annotations.get(*name).is_some_and(|is| is == value)),
        tasks,
        left_ms,
        idle_ms,
        uid,
    }
}

/// By pod: how many tasks its workers have, and what is left of them. A worker that says that it holds more than the queue
/// shows is believed: it may claim from other queues, too.
pub fn work_by_pod(seen: &Seen) -> HashMap<&str, (usize, i64)> {
    let pods: HashMap<&str, &str> = seen
        .raw
        .workers
        .iter()
        .map(|worker| (worker.worker.as_str(), worker.pod_uid.as_str()))
        .collect();
    let mut by_worker: HashMap<&str, (usize, i64)> = HashMap::new();
    for task in &seen.demand.running {
        let entry = by_worker.entry(task.worker.as_str()).or_default();
        *entry = (entry.0 + 1, entry.1.saturating_add(task.left_ms));
    }
    for worker in &seen.raw.workers {
        let entry = by_worker.entry(worker.worker.as_str()).or_default();
        entry.0 = entry.0.max(worker.held as usize);
    }
    let mut by_pod: HashMap<&str, (usize, i64)> = HashMap::new();
    for (worker, (tasks, left_ms)) in by_worker {
        if let Some(pod) = pods.get(worker).filter(|pod| !pod.is_empty()) {
            let entry = by_pod.entry(pod).or_default();
            *entry = (entry.0 + tasks, entry.1.saturating_add(left_ms));
        }
    }
    by_pod
}

/// Whether it can be said of every pod what it works on: no running task was cut off, and each one's worker is known.
pub fn complete(seen: &Seen) -> bool {
    let known = |worker: &str| {
        worker.is_empty() || seen.raw.workers.iter().any(|known| known.worker == worker)
    };
    seen.raw.in_flight.len() as u64 >= seen.raw.in_flight_count
        && seen.raw.in_flight.iter().all(|task| known(&task.worker))
}

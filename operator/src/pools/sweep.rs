//! What goes on beside single pools: workers whose pod is gone lose their tasks at once, flags of pods that are gone are
//! taken away, expired leases are reaped, and pods that go down are compared with those that were to go.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod as ClusterPod;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Resource, ResourceExt};
use metrics::counter;
use queue::{DrainTarget, ReapOptions, ReapReport, WorkerId};
use tokio::time::Instant;

use super::{POOL_LABEL, Pools, outlived};
use crate::cluster::{Change, Kind, key_of, within};
use crate::telemetry::{Pulse, names};

const REAP_EVERY: Duration = Duration::from_secs(2);
/// Another reaper ran lately: skip.
const REAP_LOCK_MS: u64 = 1_500;
/// A flag whose pod is not seen is taken away after so many sweeps.
const MISSES: u32 = 5;
/// A pod that is not in the mirror is asked for by name this often.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// A deletion so soon after the number was lowered is taken for its consequence.
const CONSEQUENCE: Duration = Duration::from_secs(60);

/// What sweeps remember.
#[derive(Debug, Default)]
pub struct Swept {
    flags: HashMap<String, u32>,
    asked: HashMap<String, Instant>,
    expired: HashSet<String>,
}

impl Pools {
    /// Sweeps for ever.
    pub async fn sweep(&self, pulse: &Pulse) {
        let mut tick = tokio::time::interval(REAP_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            pulse.beat("sweep");
            if !self.leadership.leads() {
                continue;
            }
            for (what, swept) in [
                ("reap", self.reap().await),
                ("workers", self.expire_lost().await),
                ("flags", self.unflag_gone().await),
            ] {
                if let Err(error) = swept {
                    tracing::debug!(%error, what, "a sweep failed; the next one follows");
                }
            }
        }
    }

    async fn reap(&self) -> Result<(), queue::Error> {
        let options = ReapOptions {
            lock_ms: REAP_LOCK_MS,
            ..self.reaping.clone()
        };
        let report = self.eyes.redis.queue().await?.reap(&options).await?;
        count_back("lease_expired", &report);
        counter!(names::REQUEUES, "cause" => "delay_over").increment(report.promoted);
        Ok(())
    }

    /// Workers that certainly do not live any more: all looks show all workers, so one look is enough.
    async fn expire_lost(&self) -> Result<(), queue::Error> {
        if !self.pods.synced() {
            return Ok(());
        }
        let mut lost: Vec<String> = Vec::new();
        let by_uid: HashMap<String, _> = self
            .pods
            .all()
            .into_iter()
            .filter_map(|pod| Some((pod.uid()?, pod)))
            .collect();
        let pools = self.mirror.all();
        let look = pools
            .iter()
            .filter_map(|pool| queue::QueueName::parse(pool.spec.queue.as_str()).ok())
            .find_map(|queue| self.eyes.last(&queue)?.seen.ok());
        let Some(look) = look else {
            return Ok(());
        };
        for worker in &look.raw.workers {
            if worker.pod_uid.is_empty() || self.swept.lock().expired.contains(&worker.worker) {
                continue;
            }
            let dead = match by_uid.get(&worker.pod_uid) {
                Some(pod) => outlived(pod, worker.heartbeat_age_ms, Timestamp::now()),
                None => {
                    self.surely_gone(&worker.pool, &worker.pod, &worker.pod_uid)
                        .await
                }
            };
            if dead {
                lost.push(worker.worker.clone());
            }
        }
        let alive: HashSet<&str> = look
            .raw
            .workers
            .iter()
            .map(|worker| worker.worker.as_str())
            .collect();
        self.swept
            .lock()
            .expired
            .retain(|worker| alive.contains(worker.as_str()));
        for worker in lost {
            let Ok(id) = WorkerId::parse(worker.as_str()) else {
                continue;
            };
            let Some(epoch) = self.leadership.epoch() else {
                return Ok(());
            };
            let report = self
                .eyes
                .redis
                .queue()
                .await?
                .expire_worker(&id, Some(epoch), &self.reaping)
                .await?;
            if report.stale_epoch {
                continue;
            }
            counter!(names::EXPIRED_WORKERS).increment(1);
            count_back("pod_gone", &report);
            let held = look.raw.in_flight.iter();
            let wasted_ms: u64 = held
                .filter(|task| task.worker == worker)
                .map(|task| task.age_ms)
                .sum();
            counter!(names::WASTED_SECONDS).increment(wasted_ms / 1000);
            tracing::info!(
                worker,
                tasks = report.expired,
                "its pod is gone: its tasks are queued again"
            );
            self.swept.lock().expired.insert(worker);
        }
        Ok(())
    }

    /// Asks for a pod that the mirror does not show: the mirror may be behind.
    async fn surely_gone(&self, pool: &str, pod: &str, uid: &str) -> bool {
        let Some((namespace, name)) = pool.split_once('/') else {
            return false;
        };
        let ours = self.mirror.get(&format!("{namespace}/{name}")).is_some();
        if !ours || pod.is_empty() {
            return false;
        }
        {
            let mut swept = self.swept.lock();
            swept.asked.retain(|_, at| at.elapsed() < ASK_EVERY);
            if swept.asked.contains_key(uid) {
                return false;
            }
            swept.asked.insert(uid.to_owned(), Instant::now());
        }
        let api: Api<ClusterPod> = Api::namespaced(self.client.clone(), namespace);
        match within(api.get_metadata_opt(pod)).await {
            Ok(None) => true,
            Ok(Some(found)) => found.uid().as_deref() != Some(uid),
            Err(_) => false,
        }
    }

    /// Flags of pods that are not there any more.
    async fn unflag_gone(&self) -> Result<(), queue::Error> {
        if !self.pods.synced() {
            return Ok(());
        }
        let uids: HashSet<String> = self.pods.all().iter().filter_map(|pod| pod.uid()).collect();
        let mut flags: HashSet<String> = HashSet::new();
        for pool in self.mirror.all() {
            if let Ok(queue) = queue::QueueName::parse(pool.spec.queue.as_str())
                && let Some(Ok(seen)) = self.eyes.last(&queue).map(|look| look.seen)
            {
                let of_pods = seen
                    .raw
                    .draining
                    .iter()
                    .filter_map(|flag| flag.strip_prefix("pod:"));
                flags.extend(of_pods.map(str::to_owned));
            }
        }
        let stale: Vec<String> = {
            let mut swept = self.swept.lock();
            swept
                .flags
                .retain(|uid, _| flags.contains(uid) && !uids.contains(uid));
            for uid in flags.difference(&uids) {
                *swept.flags.entry(uid.clone()).or_default() += 1;
            }
            let stale = swept.flags.iter().filter(|(_, misses)| **misses >= MISSES);
            stale.map(|(uid, _)| uid.clone()).collect()
        };
        for uid in stale {
            let Some(epoch) = self.leadership.epoch() else {
                return Ok(());
            };
            let redis = self.eyes.redis.queue().await?;
            redis
                .undrain(&DrainTarget::Pod(uid.clone()), Some(epoch))
                .await?;
            self.swept.lock().flags.remove(&uid);
            tracing::debug!(pod.uid = uid, "its pod is gone: the flag too");
        }
        Ok(())
    }

    /// From the watch of pods.
    pub fn told_pod(&self, change: &Change<ClusterPod>) {
        let (old, pod) = match change {
            Change::Applied { old, new } => (old.as_ref(), new),
            Change::Deleted(pod) => (Some(pod), pod),
            Change::Listed => return,
        };
        let Some(pool) = pod.labels().get(POOL_LABEL) else {
            return;
        };
        let key = format!("{}/{pool}", pod.namespace().unwrap_or_default());
        let going = pod.metadata.deletion_timestamp.is_some();
        let was_going = old.is_some_and(|old| old.metadata.deletion_timestamp.is_some());
        let deleted_unseen = matches!(change, Change::Deleted(_)) && !was_going;
        if (going && !was_going) || deleted_unseen {
            self.compare(&key, pod);
        }
        self.work.now(key);
    }

    /// A pod goes down: was it one of those that were to?
    fn compare(&self, key: &str, pod: &ClusterPod) {
        let Some(memory) = self.memories.lock().get(key).cloned() else {
            return;
        };
        let uid = pod.uid().unwrap_or_default();
        let mut memory = memory.lock();
        let Some((when, chosen)) = &mut memory.lowered else {
            return;
        };
        if when.elapsed() > CONSEQUENCE || chosen.remove(&uid) || chosen.is_empty() {
            return;
        }
        let busy = memory.busy.contains(&uid);
        counter!(names::UNCHOSEN_DELETIONS).increment(1);
        tracing::warn!(
            pod = key_of(pod),
            busy,
            "this pod went down in the place of a chosen one"
        );
        if busy {
            counter!(names::BUSY_KILLS).increment(1);
            let Some(pool) = self.mirror.get(key) else {
                return;
            };
            let notices = self.notices.clone();
            let note = format!("{} went down while it worked", pod.name_any());
            tokio::spawn(async move {
                let about = pool.object_ref(&());
                notices
                    .tell(
                        &about,
                        Kind::Warning,
                        "BusyWorkerTerminated",
                        "Drain",
                        &note,
                    )
                    .await;
            });
        }
    }
}

fn count_back(cause: &'static str, report: &ReapReport) {
    let back = report.expired.saturating_sub(report.poisoned);
    counter!(names::REQUEUES, "cause" => cause).increment(back);
    counter!(names::DEAD_LETTERS).increment(report.poisoned);
}

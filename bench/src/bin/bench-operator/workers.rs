//! The workers in the pods that kwok plays: each claims from the real queue as `wtt-worker` does (heartbeat, claim, complete,
//! nothing new while it drains), works for as long as its task says, and dies at once when its pod is deleted, which is the
//! worst that a node can do. What each was doing when it went is written down.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use queue::{
    Beat, Claim, ClaimAnswer, ClaimRequest, Completed, Completion, Queue, QueueName, ResultPointer,
    WorkerAbout, WorkerId, WorkerState,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::stage::{NAMESPACE, QUEUE_LABEL};

const BEAT_EVERY: Duration = Duration::from_secs(3);
/// Between two questions of an idle worker, about.
const POLL: Duration = Duration::from_millis(150);
pub(crate) const MODEL: &str = "basic-pitch";

/// A worker's life: when it had a task, on this machine's clock, from before it asked until after it was answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) queue: String,
    busy: Vec<(i64, Option<i64>)>,
}

impl Record {
    pub(crate) fn was_busy(&self, at_ms: i64) -> bool {
        self.busy
            .iter()
            .any(|(from, to)| *from <= at_ms && to.is_none_or(|to| at_ms <= to))
    }
}

#[derive(Debug)]
struct Life {
    worker: WorkerId,
    queue: QueueName,
    name: String,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    lives: HashMap<String, Life>,
    /// By the pod's name, which is never used twice.
    records: HashMap<String, Record>,
    /// Pods that went while Redis showed a task of theirs.
    caught_busy: Vec<String>,
}

/// All workers, played.
#[derive(Clone, Debug)]
pub(crate) struct Workers {
    queue: Queue,
    seen: Arc<Mutex<Seen>>,
    pub(crate) finished: Arc<AtomicU64>,
    /// Tasks that were begun again because their worker went.
    pub(crate) repeated: Arc<AtomicU64>,
    failures: Arc<AtomicU64>,
}

pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

impl Workers {
    /// Follows all pods of the namespace for as long as the runtime lives.
    pub(crate) fn start(client: &Client, queue: &Queue) -> Self {
        let workers = Self {
            queue: queue.clone(),
            seen: Arc::default(),
            finished: Arc::default(),
            repeated: Arc::default(),
            failures: Arc::default(),
        };
        let following = workers.clone();
        let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        tokio::spawn(async move {
            let mut events = watcher(api, watcher::Config::default())
                .default_backoff()
                .boxed();
            while let Some(event) = events.next().await {
                match event {
                    Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                        following.look(&pod);
                    }
                    Ok(watcher::Event::Delete(pod)) => following.going(&pod),
                    Ok(_) | Err(_) => {}
                }
            }
        });
        workers
    }

    fn look(&self, pod: &Pod) {
        if pod.metadata.deletion_timestamp.is_some() {
            self.going(pod);
        } else if is_ready(pod) {
            self.begin(pod);
        }
    }

    fn begin(&self, pod: &Pod) {
        let (Some(uid), name) = (pod.uid(), pod.name_any()) else {
            return;
        };
        let pool = pod.labels().get("whatsthetab.dev/pool");
        let wanted = pod.labels().get(QUEUE_LABEL);
        let Some(queue) = wanted.and_then(|queue| QueueName::parse(queue.as_str()).ok()) else {
            return;
        };
        let Ok(worker) = WorkerId::parse(name.as_str()) else {
            return;
        };
        let mut seen = self.seen();
        if seen.records.contains_key(&name) {
            return;
        }
        let record = Record {
            queue: queue.to_string(),
            ..Record::default()
        };
        seen.records.insert(name.clone(), record);
        let about = WorkerAbout {
            pod: name.clone(),
            pod_uid: uid.clone(),
            pool: pool.map_or_else(String::new, |pool| format!("{NAMESPACE}/{pool}")),
            models: vec![MODEL.to_owned()],
            slots: 1,
        };
        let (workers, id, claims_from) = (self.clone(), worker.clone(), queue.clone());
        let task = tokio::spawn(async move { workers.live(id, about, claims_from).await });
        seen.lives.insert(
            uid,
            Life {
                worker,
                queue,
                name,
                task,
            },
        );
    }

    /// The first word of a pod's end.
    fn going(&self, pod: &Pod) {
        let uid = pod.uid().unwrap_or_default();
        let Some(life) = self.seen().lives.remove(&uid) else {
            return;
        };
        let workers = self.clone();
        tokio::spawn(async move {
            // First the question, then the end: whatever it has, Redis still shows.
            let shown = workers.queue.observe(&life.queue).await;
            life.task.abort();
            match shown {
                Ok(shown) => {
                    let busy = shown
                        .in_flight
                        .iter()
                        .any(|task| task.worker == life.worker.as_str());
                    if busy {
                        workers.seen().caught_busy.push(life.name);
                    }
                }
                Err(_) => {
                    workers.failures.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }

    async fn live(&self, worker: WorkerId, about: WorkerAbout, queue: QueueName) {
        let name = about.pod.clone();
        let mut beat = Beat {
            worker: worker.clone(),
            state: WorkerState::Idle,
            about,
            held: Vec::new(),
            ttl_ms: 30_000,
        };
        let mut beaten = None::<Instant>;
        loop {
            if beaten.is_none_or(|at| at.elapsed() > BEAT_EVERY) {
                match self.queue.heartbeat(&beat).await {
                    Ok(answer) => {
                        beaten = Some(Instant::now());
                        beat.state = match answer.draining {
                            true => WorkerState::Draining,
                            false => WorkerState::Idle,
                        };
                    }
                    Err(_) => {
                        self.failures.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            let request = ClaimRequest {
                worker: worker.clone(),
                queues: vec![queue.clone()],
                nonce: ClaimRequest::nonce(),
                held: 0,
                slots: 1,
            };
            let asked_ms = now_ms();
            match self.queue.claim(&request).await {
                Ok(ClaimAnswer::Claimed(claim)) => {
                    self.seen().of(&name).busy.push((asked_ms, None));
                    self.work(&mut beat, &claim).await;
                    if let Some(last) = self.seen().of(&name).busy.last_mut() {
                        last.1 = Some(now_ms());
                    }
                }
                Ok(ClaimAnswer::Again) => {}
                Ok(_) => tokio::time::sleep(POLL.mul_f64(rand::random_range(0.7..1.3))).await,
                Err(_) => {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    async fn work(&self, beat: &mut Beat, claim: &Claim) {
        if claim.attempt > 1 {
            self.repeated.fetch_add(1, Ordering::Relaxed);
        }
        beat.held = vec![(claim.id.clone(), claim.token.clone())];
        beat.state = WorkerState::Busy;
        let end = Instant::now() + Duration::from_millis(claim.audio_ms);
        while Instant::now() < end {
            if self.queue.heartbeat(beat).await.is_err() {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep((end - Instant::now()).min(BEAT_EVERY)).await;
        }
        let done = complete(&self.queue, claim).await;
        let counter = match done {
            Ok(Completed::Done) => &self.finished,
            _ => &self.failures,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        beat.held.clear();
        beat.state = WorkerState::Idle;
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        // A panic elsewhere ends the run anyway.
        self.seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn records(&self) -> HashMap<String, Record> {
        self.seen().records.clone()
    }

    /// Names of pods that went while Redis showed a task of theirs.
    pub(crate) fn caught_busy(&self) -> Vec<String> {
        self.seen().caught_busy.clone()
    }

    pub(crate) fn alive(&self) -> usize {
        self.seen().lives.len()
    }

    /// Workers of this queue that have a task now.
    pub(crate) fn busy_in(&self, queue: &str) -> usize {
        let now = now_ms();
        self.seen()
            .records
            .values()
            .filter(|record| record.queue == queue && record.was_busy(now))
            .count()
    }

    /// A worker that could not speak to Redis proves nothing.
    pub(crate) fn check(&self) -> Result<()> {
        match self.failures.load(Ordering::Relaxed) {
            0 => Ok(()),
            count => {
                bail!(
                    "{count} calls of the played workers failed: their record is not to be relied on"
                )
            }
        }
    }
}

impl Seen {
    fn of(&mut self, pod: &str) -> &mut Record {
        self.records.entry(pod.to_owned()).or_default()
    }
}

pub(crate) async fn complete(queue: &Queue, claim: &Claim) -> Result<Completed, queue::Error> {
    let completion = Completion {
        id: claim.id.clone(),
        token: claim.token.clone(),
        result: ResultPointer {
            notes: 1,
            model: MODEL.to_owned(),
            audio_ms: claim.audio_ms,
            busy_ms: claim.audio_ms,
            ..ResultPointer::default()
        },
        busy_ms: claim.audio_ms,
        ttl_ms: 3_600_000,
    };
    queue.complete(&completion).await
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| {
        conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_busy_from_its_claim_until_its_end() {
        let record = Record {
            queue: "q".to_owned(),
            busy: vec![(10, Some(20)), (30, None)],
        };
        let busy: Vec<i64> = [9, 10, 20, 21, 29, 30, 999]
            .into_iter()
            .filter(|at| record.was_busy(*at))
            .collect();
        assert_eq!(busy, [10, 20, 30, 999]);
    }
}

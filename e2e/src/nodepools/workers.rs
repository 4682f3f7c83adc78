//! The workers that the pods would run: each claims from the queue, renews its lease, and finishes when it is told to. One ends
//! with its pod, in the middle of a song too, and that is written down. Knows pods and the queue, not nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use queue::{
    Beat, Claim, ClaimAnswer, ClaimRequest, Completed, Completion, LeaseState, Queue, QueueName,
    ResultPointer, WorkerAbout, WorkerId, WorkerState,
};
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, POOL, serves};
use crate::story::Story;

const LOOK: Duration = Duration::from_millis(200);
const BEAT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct Workers {
    queue: Queue,
    story: Story,
    seen: Arc<Mutex<Seen>>,
}

/// What became of tasks and workers.
#[derive(Default)]
struct Seen {
    /// The pod of each task that runs.
    running: BTreeMap<String, String>,
    /// Tasks whose worker is to finish now.
    finish: BTreeSet<String>,
    /// Tasks that are done, with the number of the attempt that did them.
    done: BTreeMap<String, u32>,
    /// What must not happen.
    accidents: Vec<String>,
}

impl Workers {
    /// Follows the pool's pods for as long as the runtime lives.
    pub(crate) fn follow(cluster: Cluster, queue: Queue, story: Story) -> Self {
        let workers = Workers {
            queue,
            story,
            seen: Arc::default(),
        };
        let following = workers.clone();
        tokio::spawn(async move {
            let mut lives = BTreeMap::new();
            loop {
                // Who cannot be asked for a moment has ended nobody.
                if let Ok(pods) = cluster.workers().await {
                    following.obey(&pods, &mut lives);
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        workers
    }

    /// The pod of each running task.
    pub(crate) fn running(&self) -> BTreeMap<String, String> {
        self.seen().running.clone()
    }

    pub(crate) fn finish(&self, task: &str) {
        self.seen().finish.insert(task.to_owned());
    }

    /// Tasks that are done, with the number of the attempt that did them.
    pub(crate) fn done(&self) -> BTreeMap<String, u32> {
        self.seen().done.clone()
    }

    pub(crate) fn accidents(&self) -> Vec<String> {
        self.seen().accidents.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // What is in there is whole after each statement.
        self.seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn obey(&self, pods: &[Pod], lives: &mut BTreeMap<String, (String, JoinHandle<()>)>) {
        let serving: BTreeMap<String, &Pod> = pods
            .iter()
            .filter(|pod| serves(pod))
            .filter_map(|pod| Some((pod.uid()?, pod)))
            .collect();
        lives.retain(|uid, (name, life)| {
            let lives_on = serving.contains_key(uid);
            if !lives_on {
                life.abort();
                self.ended(name);
            }
            lives_on
        });
        for (uid, pod) in serving {
            lives.entry(uid.clone()).or_insert_with(|| {
                let worker = self.clone();
                let name = pod.name_any();
                let named = name.clone();
                let life = tokio::spawn(async move {
                    if let Err(error) = worker.live(&named, &uid).await {
                        worker.accident(format!("the worker in {named} failed: {error}"));
                    }
                });
                (name, life)
            });
        }
    }

    /// A pod went: if its worker was busy, that is an accident.
    fn ended(&self, pod: &str) {
        let lost: Vec<String> = {
            let mut seen = self.seen();
            let lost = seen.running.iter().filter(|(_, on)| *on == pod);
            let lost: Vec<String> = lost.map(|(task, _)| task.clone()).collect();
            for task in &lost {
                seen.running.remove(task);
            }
            lost
        };
        for task in lost {
            self.accident(format!("{pod} went while it worked on {task}"));
        }
    }

    fn accident(&self, words: String) {
        self.story.tell(&words);
        self.seen().accidents.push(words);
    }

    async fn live(&self, pod: &str, uid: &str) -> Result<(), queue::Error> {
        let worker = WorkerId::parse(pod)?;
        let about = WorkerAbout {
            pod: pod.to_owned(),
            pod_uid: uid.to_owned(),
            pool: format!("default/{POOL}"),
            models: vec!["basic-pitch".to_owned()],
            slots: 1,
        };
        let mut beat = Beat {
            worker: worker.clone(),
            state: WorkerState::Idle,
            about,
            held: Vec::new(),
            ttl_ms: 30_000,
        };
        let mut beaten = None::<tokio::time::Instant>;
        loop {
            if beaten.is_none_or(|at| at.elapsed() >= BEAT) {
                self.queue.heartbeat(&beat).await?;
                beaten = Some(tokio::time::Instant::now());
            }
            let request = ClaimRequest {
                worker: worker.clone(),
                queues: vec![QueueName::default()],
                nonce: ClaimRequest::nonce(),
                held: 0,
                slots: 1,
            };
            match self.queue.claim(&request).await? {
                ClaimAnswer::Claimed(claim) => {
                    self.work(pod, &mut beat, &claim).await?;
                    beaten = None;
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Holds the task until it may be finished.
    async fn work(&self, pod: &str, beat: &mut Beat, claim: &Claim) -> Result<(), queue::Error> {
        let task = claim.id.to_string();
        self.story.tell(&format!("{pod} works on {task}"));
        self.seen().running.insert(task.clone(), pod.to_owned());
        beat.state = WorkerState::Busy;
        beat.held = vec![(claim.id.clone(), claim.token.clone())];
        while !self.seen().finish.contains(&task) {
            let answer = self.queue.heartbeat(beat).await?;
            if answer.leases != [LeaseState::Kept] {
                self.accident(format!(
                    "{pod} lost its lease of {task}: {:?}",
                    answer.leases
                ));
            }
            let mut left = BEAT;
            while !left.is_zero() && !self.seen().finish.contains(&task) {
                tokio::time::sleep(LOOK).await;
                left = left.saturating_sub(LOOK);
            }
        }
        let completed = self
            .queue
            .complete(&Completion {
                id: claim.id.clone(),
                token: claim.token.clone(),
                result: ResultPointer::default(),
                busy_ms: 1000,
                ttl_ms: 3_600_000,
            })
            .await?;
        {
            let mut seen = self.seen();
            seen.running.remove(&task);
            seen.done.insert(task.clone(), claim.attempt);
        }
        if completed == Completed::Done {
            self.story.tell(&format!("{pod} has finished {task}"));
        } else {
            self.accident(format!("{task} could not be finished: {completed:?}"));
        }
        beat.state = WorkerState::Idle;
        beat.held.clear();
        Ok(())
    }
}

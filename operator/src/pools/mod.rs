//! `WorkerPool`s. One pass over a pool is dereference, validate, decide, plan, apply, status; the pass follows every look at
//! the queue, and writes only when something is to change.

mod apply;
mod build;
mod memory;
mod pods;
mod report;
mod scene;
mod status;
mod sweep;
mod validate;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crds::WorkerPool;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod as ClusterPod;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, ResourceExt};
use metrics::{counter, histogram};
use parking_lot::Mutex;
use tokio::time::Instant;

pub use build::{Built, DELETION_COST, HASH, POOL_LABEL, PROTECTIONS, WorkerEnv, build};
pub use memory::Memory;
pub use pods::{Blocked, blocked, complete, outlived, view, work_by_pod};
pub use status::{View, notices, only_soft, status};
pub use sweep::Swept;
pub use validate::{PAUSED, Unfit, Valid, validate};

use crate::cluster::{CallError, Change, Leadership, Mirror, Notices, key_of};
use crate::eyes::{Eyes, Look};
use crate::telemetry::names;
use crate::work::{Next, Work};
use scene::{Scene, next_step, think};

/// What moves all the time is written this often.
const SOFT_EVERY: Duration = Duration::from_secs(15);
/// An older look is as good as none.
const LONGEST_TRUST: Duration = Duration::from_secs(5);
/// Before a start was seen.
const COLD_START_MS: i64 = 60_000;

#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    #[error("flagging a pod in the queue: {0}")]
    Drain(#[from] queue::Error),
    #[error("a newer leader has spoken to the queue")]
    Deposed,
    #[error("marking a pod: {0}")]
    Mark(#[source] CallError),
    #[error("applying the Deployment: {0}")]
    Apply(#[source] CallError),
    #[error("writing the status: {0}")]
    Status(#[source] CallError),
}

impl PoolError {
    fn step(&self) -> &'static str {
        match self {
            PoolError::Drain(_) => "drain",
            PoolError::Deposed => "deposed",
            PoolError::Mark(_) => "mark",
            PoolError::Apply(_) => "apply",
            PoolError::Status(_) => "status",
        }
    }
}

/// What passes over pools need.
pub struct Pools {
    pub client: Client,
    pub mirror: Arc<Mirror<WorkerPool>>,
    pub deployments: Arc<Mirror<Deployment>>,
    pub pods: Arc<Mirror<ClusterPod>>,
    pub work: Arc<Work<String>>,
    pub eyes: Arc<Eyes>,
    pub notices: Notices,
    pub leadership: Leadership,
    pub env: WorkerEnv,
    /// As the API reaps, or the two would not agree about when a task is given up.
    pub reaping: queue::ReapOptions,
    pub begun: Instant,
    pub memories: Mutex<HashMap<String, Arc<Mutex<Memory>>>>,
    pub swept: Mutex<Swept>,
}

impl Pools {
    /// One pass, with its failure counted and logged.
    pub async fn pass(self: Arc<Self>, key: String) -> Next {
        let begun = Instant::now();
        let next = match self.reconcile(&key).await {
            Ok(next) => next,
            Err(error) => {
                counter!(names::RECONCILE_ERRORS, "kind" => "pool", "step" => error.step())
                    .increment(1);
                tracing::warn!(pool = key, %error, "a pass over a pool failed; it will be tried again");
                Next::Failed
            }
        };
        histogram!(names::RECONCILE_SECONDS, "kind" => "pool")
            .record(begun.elapsed().as_secs_f64());
        next
    }

    async fn reconcile(&self, key: &str) -> Result<Next, PoolError> {
        let Some(pool) = self.mirror.get(key) else {
            return Ok(Next::Change);
        };
        let synced = self.mirror.synced() && self.deployments.synced() && self.pods.synced();
        if !self.leadership.leads() || !synced || pool.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Change);
        }
        let memory = Arc::clone(self.memories.lock().entry(key.to_owned()).or_default());
        let fit = validate(&pool).and_then(|valid| self.alone(&pool, &valid).map(|()| valid));
        let valid = match fit {
            Ok(valid) => valid,
            Err(unfit) => {
                self.eyes.want(key, None);
                return self.turn_down(&pool, &unfit, &memory).await;
            }
        };
        self.eyes.want(key, Some(valid.queue.clone()));
        if self.eyes.last(&valid.queue).is_none() {
            // The first look is under way, and asks for the next pass: to say until then that nothing is known would be two writes for nothing.
            return Ok(Next::Change);
        }
        let scene = self.dereference(key, pool, valid, memory);
        let now_ms = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        let (decision, pods) = think(&scene, now_ms, Timestamp::now());
        let step = next_step(&scene, &decision, &pods);
        let done = self.act(&scene, &step, &decision).await?;
        self.report(&scene, &decision, &pods, done).await?;
        Ok(Next::Change)
    }

    /// One pool a queue: the older one has it.
    fn alone(&self, pool: &WorkerPool, valid: &Valid) -> Result<(), Unfit> {
        let rank = |pool: &WorkerPool| {
            let created = pool.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (created, key_of(pool))
        };
        let mine = rank(pool);
        let older = self.mirror.all().into_iter().find(|other| {
            other.spec.queue == valid.queue.as_str()
                && other.uid() != pool.uid()
                && other.metadata.deletion_timestamp.is_none()
                && rank(other) < mine
        });
        match older {
            None => Ok(()),
            Some(other) => Err(Unfit {
                reason: "QueueTaken",
                message: format!(
                    "the queue {} is served by the older pool {}; give this one another spec.queue",
                    valid.queue,
                    key_of(&*other)
                ),
            }),
        }
    }

    fn dereference(
        &self,
        key: &str,
        pool: Arc<WorkerPool>,
        valid: Valid,
        memory: Arc<Mutex<Memory>>,
    ) -> Scene {
        let pods = self.pods_of(&valid.namespace, &valid.name);
        let look = self.eyes.last(&valid.queue);
        let (seen, looked_at) = match look {
            Some(Look { at, seen }) if at.elapsed() <= LONGEST_TRUST => (seen, Some(at)),
            _ => (Err(Arc::from("it has not been looked at yet")), None),
        };
        Scene {
            deployment: self.deployments.get(key),
            pool,
            valid,
            pods,
            seen,
            looked_at,
            memory,
        }
    }

    fn pods_of(&self, namespace: &str, name: &str) -> Vec<Arc<ClusterPod>> {
        self.pods
            .all()
            .into_iter()
            .filter(|pod| {
                pod.namespace().as_deref() == Some(namespace)
                    && pod
                        .labels()
                        .get(POOL_LABEL)
                        .is_some_and(|pool| pool == name)
            })
            .collect()
    }

    /// From the watch of pools.
    pub fn told(&self, change: &Change<WorkerPool>) {
        match change {
            Change::Applied { old, new } => {
                let same = old.as_ref().is_some_and(|old| {
                    old.metadata.generation == new.metadata.generation
                        && old.annotations() == new.annotations()
                });
                if !same {
                    self.work.now(key_of(&**new));
                }
            }
            Change::Deleted(pool) => {
                let key = key_of(&**pool);
                self.eyes.want(&key, None);
                self.memories.lock().remove(&key);
                // Whoever was refused because of it may serve the queue now.
                self.look_at_all();
            }
            Change::Listed => self.work.retry_failed(),
        }
    }

    pub fn look_at_all(&self) {
        for pool in self.mirror.all() {
            self.work.now(key_of(&*pool));
        }
    }

    /// From the watch of Deployments, which have their pools' names.
    pub fn told_deployment(&self, change: &Change<Deployment>) {
        let key = match change {
            Change::Applied { new, .. } => key_of(&**new),
            Change::Deleted(deployment) => {
                let key = key_of(&**deployment);
                if let Some(memory) = self.memories.lock().get(&key) {
                    memory.lock().applied = None;
                }
                key
            }
            Change::Listed => return,
        };
        self.work.now(key);
    }
}

/// What an act came to.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) replicas: i32,
    pub(crate) scaled: bool,
    pub(crate) rejected: Option<String>,
}

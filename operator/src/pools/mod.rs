//! `WorkerPool`s. One pass over a pool is dereference, validate, decide, plan, apply, status; the pass follows every look at
//! the queue, and writes only when something is to change.

mod apply;
mod build;
mod memory;
mod pods;
mod status;
mod sweep;
mod validate;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crds::{WorkerPool, WorkerPoolStatus};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod as ClusterPod;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, ResourceExt};
use metrics::{counter, gauge, histogram};
use parking_lot::Mutex;
use tokio::time::Instant;

pub use build::{Built, DELETION_COST, HASH, POOL_LABEL, PROTECTIONS, WorkerEnv, build};
pub use memory::Memory;
pub use pods::{Blocked, blocked, complete, outlived, view, work_by_pod};
pub use status::{View, notices, only_soft, status};
pub use sweep::Swept;
pub use validate::{PAUSED, Unfit, Valid, validate};

use crate::cluster::{CallError, Change, Leadership, Mirror, Notices, key_of};
use crate::eyes::{Eyes, Look, Seen};
use crate::scale::{Decision, Fleet, Ground, Observation, Plan, decide, plan};
use crate::telemetry::names;
use crate::work::{Next, Work};

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
    pub begun: Instant,
    pub memories: Mutex<HashMap<String, Arc<Mutex<Memory>>>>,
    pub swept: Mutex<Swept>,
}

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

/// The decision, and the pods that it is about. No client; the memory moves on.
fn think(scene: &Scene, now_ms: i64, now: Timestamp) -> (Decision, Vec<crate::scale::Pod>) {
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
            uids.insert(uid);
            view(
                pod,
                seen.map(|seen| &**seen),
                &work,
                if works { 0 } else { idle_ms },
            )
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
    if let Some(start_ms) = memory.cold_start_ms() {
        gauge!(names::COLD_START_SECONDS, "pool" => pool).set(start_ms as f64 / 1000.0);
    }
    (decision, pods)
}

fn fleet(scene: &Scene, pods: &[crate::scale::Pod], memory: &Memory, now: Timestamp) -> Fleet {
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
fn replicas(scene: &Scene, memory: &Memory) -> i32 {
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

fn rollout(scene: &Scene, memory: &Memory) -> bool {
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
fn next_step(scene: &Scene, decision: &Decision, pods: &[crate::scale::Pod]) -> Plan {
    let memory = scene.memory.lock();
    let wanted = replicas(scene, &memory);
    let live = i32::try_from(pods.iter().filter(|pod| !pod.leaving).count()).unwrap_or(i32::MAX);
    let made = scene
        .deployment
        .as_ref()
        .and_then(|deployment| deployment.status.as_ref()?.replicas)
        .unwrap_or(0);
    let known = scene.seen.as_ref().is_ok_and(|seen| complete(seen));
    plan(
        pods,
        Ground {
            replicas: wanted,
            desired: decision.desired,
            known,
            settled: heard(scene, &memory) && made <= wanted && live == made,
            rollout: rollout(scene, &memory),
        },
    )
}

/// What an act came to.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) replicas: i32,
    pub(crate) scaled: bool,
    pub(crate) rejected: Option<String>,
}

impl Pools {
    async fn report(
        &self,
        scene: &Scene,
        decision: &Decision,
        pods: &[crate::scale::Pod],
        done: Done,
    ) -> Result<(), PoolError> {
        let pool = &scene.pool;
        let (base, blind, rollout, starting) = {
            let memory = scene.memory.lock();
            let blind = memory.blind_since.map(|since| since.elapsed().as_secs());
            let starting = fleet(scene, pods, &memory, Timestamp::now())
                .starting_ms
                .len();
            let base = memory
                .written
                .clone()
                .or_else(|| pool.status.clone())
                .unwrap_or_default();
            (
                base,
                blind,
                rollout(scene, &memory),
                i32::try_from(starting).unwrap_or(i32::MAX),
            )
        };
        let error = scene.seen.as_ref().err().map(|error| &**error);
        let blocked = scene
            .pods
            .iter()
            .find_map(|pod| blocked(pod))
            .or_else(|| no_pods(scene));
        let new = status(&View {
            pool,
            base: &base,
            now: Timestamp::now(),
            unfit: None,
            rejected: done.rejected.as_deref(),
            mode: scene.valid.spec.mode,
            decision: Some(decision),
            replicas: done.replicas,
            scaled: done.scaled,
            pods,
            demand: scene.seen.as_ref().ok().map(|seen| &seen.demand),
            blind: error.zip(blind),
            blocked: blocked.as_ref(),
            starting,
            rollout,
        });
        self.write(pool, &base, new, &scene.memory).await
    }

    async fn turn_down(
        &self,
        pool: &WorkerPool,
        unfit: &Unfit,
        memory: &Mutex<Memory>,
    ) -> Result<Next, PoolError> {
        let base = memory
            .lock()
            .written
            .clone()
            .or_else(|| pool.status.clone())
            .unwrap_or_default();
        let new = status(&View {
            pool,
            base: &base,
            now: Timestamp::now(),
            unfit: Some(unfit),
            rejected: None,
            mode: crate::scale::Mode::Paused,
            decision: None,
            replicas: 0,
            scaled: false,
            pods: &[],
            demand: None,
            blind: None,
            blocked: None,
            starting: 0,
            rollout: false,
        });
        self.write(pool, &base, new, memory).await?;
        Ok(Next::Change)
    }

    async fn write(
        &self,
        pool: &WorkerPool,
        base: &WorkerPoolStatus,
        new: WorkerPoolStatus,
        memory: &Mutex<Memory>,
    ) -> Result<(), PoolError> {
        if *base == new {
            return Ok(());
        }
        let lately = memory
            .lock()
            .written_at
            .is_some_and(|at| at.elapsed() < SOFT_EVERY);
        if lately && only_soft(base, &new) {
            return Ok(());
        }
        if !self.leadership.leads() {
            return Ok(());
        }
        self.write_status(pool, base, &new).await?;
        let mut memory = memory.lock();
        memory.written = Some(new);
        memory.written_at = Some(Instant::now());
        counter!(names::STATUS_WRITES, "kind" => "pool").increment(1);
        Ok(())
    }
}

/// The Deployment could not make pods at all: a quota, an admission.
fn no_pods(scene: &Scene) -> Option<Blocked> {
    let conditions = scene
        .deployment
        .as_ref()?
        .status
        .as_ref()?
        .conditions
        .as_ref()?;
    let failure = conditions.iter().find(|condition| {
        condition.type_.as_deref() == Some("ReplicaFailure")
            && condition.status.as_deref() == Some("True")
    })?;
    Some(Blocked {
        reason: failure
            .reason
            .clone()
            .unwrap_or_else(|| "FailedCreate".to_owned()),
        message: failure.message.clone().unwrap_or_default(),
    })
}

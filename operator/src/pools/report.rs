//! Writing a pool's status: at once when something turned, now and then when only numbers moved, never when it is the same.

use crds::{WorkerPool, WorkerPoolStatus};
use k8s_openapi::jiff::Timestamp;
use metrics::counter;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::scene::{Scene, fleet, rollout};
use super::{
    Blocked, Done, Memory, PoolError, Pools, SOFT_EVERY, Unfit, View, blocked, only_soft, status,
};
use crate::scale::Decision;
use crate::telemetry::names;
use crate::work::Next;

impl Pools {
    pub(super) async fn report(
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

    pub(super) async fn turn_down(
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

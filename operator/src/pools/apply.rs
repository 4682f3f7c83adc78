//! The steps of a pass that act, in the order that keeps busy workers alive: flags in the queue, marks on pods, the number.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crds::{WorkerPool, WorkerPoolStatus};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod as ClusterPod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use metrics::histogram;
use queue::{DrainTarget, Epoch};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::build::{DELETION_COST, HASH, PROTECTIONS, build};
use super::scene::{Scene, replicas};
use super::status::notices;
use super::{Done, PoolError, Pools};
use crate::cluster::{Kind, within};
use crate::scale::{Decision, Plan};
use crate::telemetry::names;

/// Below whatever else may stand on pods.
const LOWEST_COST: &str = "-2147483648";
/// When a refused Deployment is tried again though nothing changed.
const AGAIN: Duration = Duration::from_secs(60);

impl Pools {
    pub(super) async fn act(
        &self,
        scene: &Scene,
        step: &Plan,
        decision: &Decision,
    ) -> Result<Done, PoolError> {
        self.flag(step).await?;
        self.mark(scene, step).await?;
        self.apply(scene, step, decision).await
    }

    async fn flag(&self, step: &Plan) -> Result<(), PoolError> {
        if step.drain.is_empty() && step.undrain.is_empty() {
            return Ok(());
        }
        let redis = self.eyes.redis.queue().await?;
        let epoch = Some(self.leadership.epoch().ok_or(PoolError::Deposed)?);
        for uid in &step.drain {
            let answer = redis.drain(&DrainTarget::Pod(uid.clone()), epoch).await?;
            accepted(answer)?;
            tracing::info!(pod.uid = uid, "draining: it gets no new tasks");
        }
        for uid in &step.undrain {
            let answer = redis.undrain(&DrainTarget::Pod(uid.clone()), epoch).await?;
            accepted(answer)?;
            tracing::info!(pod.uid = uid, "needed again: it gets tasks");
        }
        Ok(())
    }

    async fn mark(&self, scene: &Scene, step: &Plan) -> Result<(), PoolError> {
        let mut patches: BTreeMap<&str, Value> = BTreeMap::new();
        let protections = |value: &dyn Fn(&str) -> Value| -> serde_json::Map<String, Value> {
            PROTECTIONS
                .iter()
                .map(|(name, word)| ((*name).to_owned(), value(word)))
                .collect()
        };
        let unprotected = protections(&|_| Value::Null);
        let protected = protections(&|word| word.into());
        for name in &step.condemn {
            let mut marks = unprotected.clone();
            marks.insert(DELETION_COST.to_owned(), LOWEST_COST.into());
            patches.insert(name, marks.into());
        }
        for name in &step.pardon {
            let mut marks = protected.clone();
            marks.insert(DELETION_COST.to_owned(), Value::Null);
            patches.insert(name, marks.into());
        }
        for (names, marks) in [(&step.expose, &unprotected), (&step.protect, &protected)] {
            for name in names {
                patches.entry(name).or_insert_with(|| marks.clone().into());
            }
        }
        let api: Api<ClusterPod> = Api::namespaced(self.client.clone(), &scene.valid.namespace);
        for (name, annotations) in patches {
            if !self.leadership.leads() {
                return Err(PoolError::Deposed);
            }
            let patch = json!({ "metadata": { "annotations": annotations } });
            match within(api.patch_metadata(name, &PatchParams::default(), &Patch::Merge(&patch)))
                .await
            {
                Ok(_) => {
                    let (chosen, pardoned) = (
                        step.condemn.iter().any(|one| one == name),
                        step.pardon.iter().any(|one| one == name),
                    );
                    if chosen || pardoned {
                        tracing::info!(pod = name, chosen, "the order in which pods go changed");
                    }
                    // The ReplicaSet may take it for a number that was lowered before.
                    let lowered = chosen.then(|| uid_of(scene, name)).flatten();
                    if let Some(uid) = lowered
                        && let Some((_, going)) = &mut scene.memory.lock().lowered
                    {
                        going.insert(uid);
                    }
                }
                // Gone by itself.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(PoolError::Mark(error)),
            }
        }
        Ok(())
    }

    async fn apply(
        &self,
        scene: &Scene,
        step: &Plan,
        decision: &Decision,
    ) -> Result<Done, PoolError> {
        let built = build(&scene.valid, &self.env);
        let (have, unchanged, rejected) = {
            let memory = scene.memory.lock();
            let have = replicas(scene, &memory);
            let rejected = memory
                .rejected
                .as_ref()
                .filter(|(hash, replicas, _, until)| {
                    *hash == built.hash && *replicas == step.replicas && Instant::now() < *until
                })
                .map(|(_, _, words, _)| words.clone());
            (
                have,
                stands(scene, &memory, &built.hash) && have == step.replicas,
                rejected,
            )
        };
        if unchanged || rejected.is_some() {
            return Ok(Done {
                replicas: have,
                scaled: false,
                rejected,
            });
        }
        if let Some(owner) = stranger(scene) {
            return Ok(Done {
                replicas: have,
                scaled: false,
                rejected: Some(owner),
            });
        }
        if !self.leadership.leads() {
            return Err(PoolError::Deposed);
        }
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &scene.valid.namespace);
        let params = PatchParams::apply(crate::MANAGER).force();
        let body = built.with_replicas(step.replicas);
        if step.replicas < have {
            let mut memory = scene.memory.lock();
            let going = chosen(scene, &memory.busy);
            memory.lowered = Some((Instant::now(), going));
        }
        match within(api.patch(&scene.valid.name, &params, &Patch::Apply(&body))).await {
            Ok(applied) => {
                let generation = applied.metadata.generation.unwrap_or(0);
                let mut memory = scene.memory.lock();
                memory.applied = Some((built.hash, step.replicas, generation));
                memory.rejected = None;
            }
            Err(error) => match error.refusal() {
                Some(words) => {
                    let words = words.to_owned();
                    tracing::warn!(pool = scene.valid.name, %error, "the API server refuses the Deployment");
                    scene.memory.lock().rejected = Some((
                        built.hash,
                        step.replicas,
                        words.clone(),
                        Instant::now() + AGAIN,
                    ));
                    return Ok(Done {
                        replicas: have,
                        scaled: false,
                        rejected: Some(words),
                    });
                }
                None => return Err(PoolError::Apply(error)),
            },
        }
        let scaled = step.replicas != have;
        if scaled {
            if let (Some(looked_at), true) = (scene.looked_at, step.replicas > have) {
                histogram!(names::SCALE_LATENCY_SECONDS).record(looked_at.elapsed().as_secs_f64());
            }
            self.tell_scaled(scene, have, step.replicas, decision).await;
        }
        Ok(Done {
            replicas: step.replicas,
            scaled,
            rejected: None,
        })
    }

    async fn tell_scaled(&self, scene: &Scene, from: i32, to: i32, decision: &Decision) {
        let reason = match (from, to) {
            (0, _) => "Activated",
            (_, 0) => "ScaledToZero",
            _ if to > from => "ScaledUp",
            _ => "ScaledDown",
        };
        let note = format!("from {from} to {to}: {}", decision.message);
        tracing::info!(
            pool = scene.valid.name,
            from,
            to,
            reason = decision.reason.as_str(),
            "{}",
            decision.message
        );
        self.notices
            .tell(
                &scene.pool.object_ref(&()),
                Kind::Normal,
                reason,
                "Scale",
                &note,
            )
            .await;
    }

    pub(super) async fn write_status(
        &self,
        pool: &WorkerPool,
        old: &WorkerPoolStatus,
        new: &WorkerPoolStatus,
    ) -> Result<(), PoolError> {
        let name = pool.name_any();
        let api: Api<WorkerPool> =
            Api::namespaced(self.client.clone(), &pool.namespace().unwrap_or_default());
        let patch = json!({
            "apiVersion": "whatsthetab.dev/v1alpha1",
            "kind": "WorkerPool",
            "metadata": { "name": name, "uid": pool.uid() },
            "status": new,
        });
        let params = PatchParams::apply(crate::MANAGER).force();
        match within(api.patch_status(&name, &params, &Patch::Apply(&patch))).await {
            Ok(_) => {}
            // Deleted, or made anew under its name.
            Err(error) if error.is_not_found() || error.is_conflict() => return Ok(()),
            Err(error) => return Err(PoolError::Status(error)),
        }
        let about = pool.object_ref(&());
        for (kind, reason, action, note) in notices(old, new) {
            self.notices
                .tell(&about, kind, &reason, action, &note)
                .await;
        }
        Ok(())
    }
}

/// Pods (uids) that may go when the number is lowered: those with the cost, and those that are given nothing and have nothing,
/// for a ReplicaSet takes such a one first while it is not ready.
fn chosen(scene: &Scene, busy: &HashSet<String>) -> HashSet<String> {
    let flagged = |uid: &str| {
        let flag = format!("pod:{uid}");
        let seen = scene.seen.as_ref();
        seen.is_ok_and(|seen| seen.raw.draining.contains(&flag))
    };
    scene
        .pods
        .iter()
        .filter_map(|pod| Some((pod.uid()?, pod.annotations().contains_key(DELETION_COST))))
        .filter(|(uid, condemned)| !busy.contains(uid) && (*condemned || flagged(uid)))
        .map(|(uid, _)| uid)
        .collect()
}

fn uid_of(scene: &Scene, name: &str) -> Option<String> {
    let mut pods = scene.pods.iter();
    pods.find(|pod| pod.name_any() == name)?.uid()
}

fn accepted(answer: Epoch) -> Result<(), PoolError> {
    match answer {
        Epoch::Accepted => Ok(()),
        Epoch::Stale => Err(PoolError::Deposed),
    }
}

/// Whether the Deployment is as it was applied: the same hash, and nobody has changed it since.
fn stands(scene: &Scene, memory: &super::Memory, hash: &str) -> bool {
    let Some(deployment) = &scene.deployment else {
        // Not in the mirror yet; a deletion clears the memory.
        return memory
            .applied
            .as_ref()
            .is_some_and(|(applied, ..)| applied == hash);
    };
    let shown = deployment.metadata.generation.unwrap_or(0);
    match &memory.applied {
        Some((applied, _, generation)) => applied == hash && shown <= *generation,
        // A new leader believes the mark.
        None => deployment
            .annotations()
            .get(HASH)
            .is_some_and(|mark| mark == hash),
    }
}

/// A Deployment of this name that is not this pool's: it is left alone.
fn stranger(scene: &Scene) -> Option<String> {
    let deployment = scene.deployment.as_ref()?;
    let ours = deployment
        .owner_references()
        .iter()
        .any(|owner| owner.uid == scene.valid.uid);
    (!ours).then(|| {
        format!(
            "a Deployment named {} exists and is not this pool's; delete it or name the pool otherwise",
            scene.valid.name
        )
    })
}

//! The custom resources as a person writes them, and waiting for what they say. Knows the resources' types and nothing of the operator.

use std::time::Duration;

use anyhow::Context;
use crds::{TranscriptionJob, WorkerPool};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::command;
use crate::wait::{self, Seen};
use crate::world::World;

/// The pool that the chart brings.
pub(crate) const POOL: &str = "default";

pub(crate) fn jobs(world: &World) -> Api<TranscriptionJob> {
    Api::namespaced(world.client.clone(), world.namespace)
}

pub(crate) fn pools(world: &World) -> Api<WorkerPool> {
    Api::namespaced(world.client.clone(), world.namespace)
}

/// A job with that `spec.source.url`, and with more of a spec if the case wants it.
pub(crate) fn job(name: &str, url: &str, more: Value) -> Value {
    let mut spec = json!({"source": {"url": url}});
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    json!({"apiVersion": "whatsthetab.dev/v1alpha1", "kind": "TranscriptionJob", "metadata": {"name": name}, "spec": spec})
}

/// `kubectl apply`, as a person does it.
pub(crate) async fn apply(world: &World, object: &Value) -> anyhow::Result<()> {
    let words = ["--namespace", world.namespace, "apply", "--filename", "-"];
    command::run_with("kubectl", &words, &object.to_string())
        .await
        .map(drop)
}

/// `kubectl apply` of what must be refused; gives what the person reads.
pub(crate) async fn refused(world: &World, object: &Value) -> anyhow::Result<String> {
    let words = ["--namespace", world.namespace, "apply", "--filename", "-"];
    command::refusal("kubectl", &words, &object.to_string()).await
}

/// `kubectl wait --for=condition=Complete`, with its own words when it fails.
pub(crate) async fn complete(
    world: &World,
    name: &str,
    limit: Duration,
) -> anyhow::Result<TranscriptionJob> {
    let api = jobs(world);
    wait::until(&format!("job {name} Complete"), limit, || async {
        let job = api.get(name).await?;
        let conditions = conditions(&job);
        if crds::is_true(&conditions, "Complete") {
            return Ok(Seen::Yes(job));
        }
        if crds::is_true(&conditions, "Failed") {
            return Ok(Seen::Never(said(&job)));
        }
        Ok(Seen::NotYet(said(&job)))
    })
    .await
}

/// Waits for the condition Failed or Accepted=False, and gives its reason and message.
pub(crate) async fn failure(
    world: &World,
    name: &str,
    limit: Duration,
) -> anyhow::Result<(String, String)> {
    let api = jobs(world);
    wait::until(&format!("the refusal of job {name}"), limit, || async {
        let job = api.get(name).await?;
        let conditions = conditions(&job);
        if crds::is_true(&conditions, "Complete") {
            return Ok(Seen::Never("it is Complete".to_owned()));
        }
        if crds::is_true(&conditions, "Failed")
            && let Some(failed) = crds::find(&conditions, "Failed")
        {
            return Ok(Seen::Yes((failed.reason.clone(), failed.message.clone())));
        }
        Ok(Seen::NotYet(said(&job)))
    })
    .await
}

fn conditions(job: &TranscriptionJob) -> Vec<crds::Condition> {
    job.status
        .as_ref()
        .map(|status| status.conditions.clone())
        .unwrap_or_default()
}

/// Its conditions in a line.
pub(crate) fn said(job: &TranscriptionJob) -> String {
    let words: Vec<String> = conditions(job)
        .iter()
        .map(|one| {
            format!(
                "{}={} ({}: {})",
                one.type_, one.status, one.reason, one.message
            )
        })
        .collect();
    if words.is_empty() {
        format!("{} has no status yet", job.name_any())
    } else {
        words.join(", ")
    }
}

pub(crate) async fn delete_job(world: &World, name: &str) -> anyhow::Result<()> {
    jobs(world).delete(name, &DeleteParams::default()).await?;
    Ok(())
}

/// The Deployment that the pool owns.
pub(crate) async fn deployment(world: &World, pool: &str) -> anyhow::Result<Deployment> {
    world
        .deployments()
        .list(&ListParams::default())
        .await?
        .into_iter()
        .find(|deployment| {
            deployment
                .owner_references()
                .iter()
                .any(|owner| owner.kind == "WorkerPool" && owner.name == pool)
        })
        .with_context(|| format!("pool {pool} owns no Deployment"))
}

/// How many replicas the pool's Deployment is told to have.
pub(crate) async fn replicas(world: &World, pool: &str) -> anyhow::Result<i32> {
    Ok(deployment(world, pool).await?.spec.replicas.unwrap_or(1))
}

pub(crate) async fn replicas_become(
    world: &World,
    pool: &str,
    limit: Duration,
    wanted: impl Fn(i32) -> bool,
) -> anyhow::Result<i32> {
    wait::until(&format!("the replicas of pool {pool}"), limit, || async {
        let count = replicas(world, pool).await?;
        Ok(if wanted(count) {
            Seen::Yes(count)
        } else {
            Seen::NotYet(count.to_string())
        })
    })
    .await
}

//! The stage of a run: a namespace, fake nodes, pools and plain Deployments whose pods kwok plays, and the operator's own
//! credentials. It makes objects as an administrator would, and knows nothing of what is measured with them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use crds::WorkerPool;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::programs::LEASE_NAMESPACE;

pub(crate) const NAMESPACE: &str = "music";
/// On pods: the queue that their worker claims from.
pub(crate) const QUEUE_LABEL: &str = "bench-queue";
/// As the audit log names it.
pub(crate) const OPERATOR_USER: &str = "system:serviceaccount:whatsthetab:wtt-operator";
const MANAGER: &str = "bench-operator";
const NODES: usize = 4;
const AT_ONCE: usize = 16;

/// The namespace and the nodes.
pub(crate) async fn set(client: &Client) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    apply(
        &namespaces,
        NAMESPACE,
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
    )
    .await?;
    let nodes: Api<Node> = Api::all(client.clone());
    for number in 0..NODES {
        let name = format!("fake-{number}");
        let room = json!({ "cpu": "64", "memory": "256Gi", "pods": "250" });
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": { "kwok.x-k8s.io/node": "fake", "kubernetes.io/hostname": name } },
            "status": { "capacity": room, "allocatable": room },
        });
        let node: Node = serde_json::from_value(node)?;
        nodes.create(&PostParams::default(), &node).await?;
    }
    Ok(())
}

/// A pool's `spec.scaling`.
pub(crate) fn scaling(max: i32, target_seconds: i32) -> Value {
    json!({
        "policy": "Auto", "minReplicas": 0, "maxReplicas": max, "targetDrainSeconds": target_seconds,
        // Hurried: a second where a real pool has a minute.
        "scaleToZeroDelaySeconds": 1, "down": { "stabilizationSeconds": 1 },
    })
}

/// Pools `NAME-0`, `NAME-1` and so on, each with a queue of its own name.
pub(crate) async fn pools(
    client: &Client,
    name: &str,
    count: usize,
    scaling: Value,
) -> Result<Vec<String>> {
    let api: Api<WorkerPool> = Api::namespaced(client.clone(), NAMESPACE);
    stream::iter((0..count).map(|number| format!("{name}-{number}")))
        .map(|name| {
            let (api, scaling) = (api.clone(), scaling.clone());
            async move {
                let pool = json!({
                    "apiVersion": "whatsthetab.dev/v1alpha1", "kind": "WorkerPool",
                    "metadata": { "name": name },
                    "spec": { "queue": name, "slotsPerWorker": 1, "scaling": scaling, "template": template(&name) },
                });
                apply(&api, &name, pool).await?;
                anyhow::Ok(name)
            }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// A Deployment that no operator looks after.
pub(crate) async fn deployment(client: &Client, name: &str, replicas: i32) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let mut template = template(name);
    template["metadata"]["labels"]["app"] = name.into();
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": name } }, "template": template },
    });
    apply(&api, name, deployment).await
}

fn template(queue: &str) -> Value {
    json!({
        "metadata": { "labels": { QUEUE_LABEL: queue } },
        "spec": { "containers": [{ "name": "worker", "image": "wtt-worker:played" }] },
    })
}

/// An annotation on every pool and a label on every Deployment of theirs: changes that ask for a look and for nothing else.
pub(crate) async fn touch(client: &Client) -> Result<usize> {
    let pools: Api<WorkerPool> = Api::namespaced(client.clone(), NAMESPACE);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let names: Vec<String> = pools
        .list(&kube::api::ListParams::default())
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    let params = PatchParams::default();
    for name in &names {
        let note = json!({ "metadata": { "annotations": { "bench/touched": "yes" } } });
        pools.patch(name, &params, &Patch::Merge(&note)).await?;
        let label = json!({ "metadata": { "labels": { "bench-touched": "yes" } } });
        deployments
            .patch(name, &params, &Patch::Merge(&label))
            .await?;
    }
    Ok(2 * names.len())
}

async fn apply<K>(api: &Api<K>, name: &str, object: Value) -> Result<()>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    api.patch(
        name,
        &PatchParams::apply(MANAGER).force(),
        &Patch::Apply(&object),
    )
    .await
    .with_context(|| format!("cannot make {name}"))?;
    Ok(())
}

/// The administrator's kubeconfig with the operator's own token in it: what it may do is what its rules say.
pub(crate) async fn operator_kubeconfig(
    client: &Client,
    admin: &Path,
    folder: &Path,
) -> Result<PathBuf> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), LEASE_NAMESPACE);
    let asked = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(24 * 3600),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request("wtt-operator", &PostParams::default(), &asked)
        .await
        .context("no token for the service account wtt-operator")?;
    let token = answer.status.and_then(|status| status.token);
    let token = token.context("a token request is answered with a token")?;
    let text = std::fs::read_to_string(admin)
        .with_context(|| format!("cannot read {}", admin.display()))?;
    // Those of scripts/cluster are written as JSON.
    let mut config: Value = serde_json::from_str(&text).context("the kubeconfig is not JSON")?;
    config["users"][0]["user"] = json!({ "token": token });
    let path = folder.join("operator.kubeconfig");
    std::fs::write(&path, config.to_string())?;
    Ok(path)
}

//! What the API server shows of nodes, Karpenter's claims, pods and the pool. Reads, and writes what a person would; decides nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use crds::{WorkerPool, WorkerPoolStatus};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const NAMESPACE: &str = "default";
/// The WorkerPool, its Deployment and the NodePool.
pub(crate) const POOL: &str = "gpu";
pub(crate) const GPU: &str = "nvidia.com/gpu";

#[derive(Clone)]
pub(crate) struct Cluster {
    client: Client,
}

/// A node as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GpuNode {
    pub(crate) uid: String,
    /// `on-demand` or `spot`.
    pub(crate) kind: String,
    pub(crate) gpus: String,
    /// Karpenter is about to take it away, or somebody has deleted it.
    pub(crate) going: bool,
}

impl Cluster {
    pub(crate) async fn connect() -> anyhow::Result<Self> {
        let client = Client::try_default()
            .await
            .context("no cluster: run this by `make e2e-nodepools`")?;
        Ok(Cluster { client })
    }

    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        Ok(self.client.apiserver_version().await?.git_version)
    }

    /// Nodes by name.
    pub(crate) async fn nodes(&self) -> anyhow::Result<BTreeMap<String, GpuNode>> {
        let api: Api<Node> = Api::all(self.client.clone());
        let nodes = api.list(&ListParams::default()).await?;
        Ok(nodes
            .iter()
            .map(|node| (node.name_any(), gpu_node(node)))
            .collect())
    }

    /// Names of Karpenter's claims.
    pub(crate) async fn claims(&self) -> anyhow::Result<Vec<String>> {
        let claims = self
            .of_karpenter("NodeClaim")
            .list(&ListParams::default())
            .await?;
        Ok(claims.iter().map(ResourceExt::name_any).collect())
    }

    /// The workers' pods, those that go included.
    pub(crate) async fn workers(&self) -> anyhow::Result<Vec<Pod>> {
        self.pods(&format!("whatsthetab.dev/pool={POOL}")).await
    }

    pub(crate) async fn pods(&self, labels: &str) -> anyhow::Result<Vec<Pod>> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        Ok(api.list(&ListParams::default().labels(labels)).await?.items)
    }

    /// What the operator asks for; `None` before it has made the Deployment.
    pub(crate) async fn replicas(&self) -> anyhow::Result<Option<i32>> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), NAMESPACE);
        let deployment = api.get_opt(POOL).await?;
        Ok(deployment.map(|found| found.spec.replicas.unwrap_or(1)))
    }

    pub(crate) async fn pool(&self) -> anyhow::Result<WorkerPoolStatus> {
        let api: Api<WorkerPool> = Api::namespaced(self.client.clone(), NAMESPACE);
        Ok(api.get(POOL).await?.status.unwrap_or_default())
    }

    /// What Karpenter says about a node, as `Reason: message`.
    pub(crate) async fn said_of_node(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let api: Api<Event> = Api::all(self.client.clone());
        let about = ListParams::default().fields(&format!(
            "involvedObject.kind=Node,involvedObject.name={name}"
        ));
        Ok(api
            .list(&about)
            .await?
            .into_iter()
            .map(|event| {
                format!(
                    "{}: {}",
                    event.reason.unwrap_or_default(),
                    event.message.unwrap_or_default()
                )
            })
            .collect())
    }

    pub(crate) async fn node_pool_is_ready(&self) -> anyhow::Result<bool> {
        let pool = self.of_karpenter("NodePool").get(POOL).await?;
        let conditions = pool.data["status"]["conditions"].as_array();
        Ok(conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True"))
    }

    /// Lets Karpenter take the cheaper kind of node as well.
    pub(crate) async fn allow_spot(&self) -> anyhow::Result<()> {
        let both = json!({"spec": {"template": {"spec": {"requirements": [
            {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand", "spot"]},
        ]}}}});
        self.of_karpenter("NodePool")
            .patch(POOL, &PatchParams::default(), &Patch::Merge(both))
            .await?;
        Ok(())
    }

    pub(crate) async fn delete_deployment(&self, name: &str) -> anyhow::Result<()> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), NAMESPACE);
        api.delete(name, &DeleteParams::background()).await?;
        Ok(())
    }

    fn of_karpenter(&self, kind: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("karpenter.sh", "v1", kind);
        Api::all_with(self.client.clone(), &ApiResource::from_gvk(&kind))
    }
}

fn gpu_node(node: &Node) -> GpuNode {
    let status = node.status.clone().unwrap_or_default();
    let taints = node
        .spec
        .clone()
        .unwrap_or_default()
        .taints
        .unwrap_or_default();
    GpuNode {
        uid: node.uid().unwrap_or_default(),
        kind: node
            .labels()
            .get("karpenter.sh/capacity-type")
            .cloned()
            .unwrap_or_default(),
        gpus: status
            .allocatable
            .and_then(|all| all.get(GPU).map(|count| count.0.clone()))
            .unwrap_or_default(),
        going: node.metadata.deletion_timestamp.is_some()
            || taints
                .iter()
                .any(|taint| taint.key == "karpenter.sh/disrupted"),
    }
}

/// Whether a pod is Ready and stays.
pub(crate) fn serves(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub(crate) fn node_of(pod: &Pod) -> String {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.node_name.clone())
        .unwrap_or_default()
}

/// `kubectl apply` of a file, or of what a program printed.
pub(crate) async fn apply(source: Source<'_>) -> anyhow::Result<()> {
    let (file, input) = match source {
        Source::File(path) => (path.display().to_string(), None),
        Source::Text(text) => ("-".to_owned(), Some(text)),
    };
    let mut child = Command::new("kubectl")
        .args(["apply", "--server-side", "--filename", &file])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run kubectl; is it on PATH?")?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(text.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    ensure!(
        output.status.success(),
        "kubectl apply --filename {file}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

pub(crate) enum Source<'a> {
    File(&'a Path),
    Text(&'a str),
}

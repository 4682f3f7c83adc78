//! What every case has at hand: the client of the cluster, where things are, and the recordings that are served to it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::Args;
use crate::audit::Loading;
use crate::command;
use crate::recording::{self, Reference};
use crate::rest::Rest;
use crate::source::Source;

/// Name of the release under test.
pub(crate) const RELEASE: &str = "tab";

pub(crate) struct World {
    pub(crate) args: Args,
    pub(crate) client: Client,
    pub(crate) namespace: &'static str,
    /// Serves recordings to the cluster.
    pub(crate) source: Source,
    /// A short recording, and what its notes are.
    pub(crate) short: Vec<u8>,
    pub(crate) reference: Reference,
    /// Whether the cluster makes volumes by itself.
    pub(crate) makes_volumes: bool,
    /// When API servers were starting.
    pub(crate) loading: tokio::sync::Mutex<Vec<Loading>>,
    rest: tokio::sync::OnceCell<Rest>,
}

impl World {
    pub(crate) async fn start(args: Args) -> anyhow::Result<World> {
        let client = Client::try_default()
            .await
            .context("no cluster: set KUBECONFIG, or bring one up with `make cluster`")?;
        let version = client
            .apiserver_version()
            .await
            .context("the cluster does not answer")?;
        println!("e2e: Kubernetes {}", version.git_version);
        let short = recording::melody(8, 0);
        let reference = Reference::of(&args.wtt, "basic-pitch", &short)
            .await
            .context("the right notes could not be had; run make models")?;
        println!(
            "e2e: `wtt transcribe` finds {} notes in the sample",
            reference.notes.notes.len()
        );
        let mut files = BTreeMap::new();
        files.insert("/short.wav".to_owned(), short.clone());
        files.insert("/text.wav".to_owned(), b"this is no recording\n".repeat(40));
        let source = Source::start(args.host, files).await?;
        let classes: Api<StorageClass> = Api::all(client.clone());
        let makes_volumes = classes
            .list(&ListParams::default())
            .await?
            .iter()
            .any(|class| {
                class
                    .annotations()
                    .get("storageclass.kubernetes.io/is-default-class")
                    .is_some_and(|value| value == "true")
            });
        Ok(World {
            args,
            client,
            namespace: "tab-e2e",
            source,
            short,
            reference,
            makes_volumes,
            loading: tokio::sync::Mutex::default(),
            rest: tokio::sync::OnceCell::new(),
        })
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    pub(crate) fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    /// The API through a forwarded port, as the notes of the chart say.
    pub(crate) async fn rest(&self) -> anyhow::Result<&Rest> {
        self.rest.get_or_try_init(|| Rest::connect(self)).await
    }

    /// kubectl in the release's namespace, as a person uses it; gives what it printed.
    pub(crate) async fn kubectl(&self, words: &[&str]) -> anyhow::Result<String> {
        let line = [&["--namespace", self.namespace][..], words].concat();
        command::run("kubectl", &line).await
    }

    /// Pods of the release's part, such as `worker`, that are not on their way out.
    pub(crate) async fn living(&self, component: &str) -> anyhow::Result<Vec<Pod>> {
        let chosen = ListParams::default().labels(&format!(
            "app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
        ));
        let pods = self.pods().list(&chosen).await?.items;
        Ok(pods
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .collect())
    }

    pub(crate) fn chart(&self, name: &str) -> PathBuf {
        PathBuf::from("charts").join(name)
    }
}

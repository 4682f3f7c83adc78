//! Everything at hand: the cluster with its definitions and pools, a private Redis, the operator, the workers. Begins it and ends it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use queue::testing::RedisServer;
use queue::{Enqueued, NewTask, Queue, QueueConfig, TaskId, TaskPayload};
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::Args;
use crate::cluster::{Cluster, Source, apply};
use crate::operator::Operator;
use crate::story::Story;
use crate::wait::{self, when};
use crate::workers::Workers;

/// An hour of audio: minutes of work by any measure, so every task is worth a worker of its own.
const AUDIO_MS: u64 = 3_600_000;
/// Between two looks at what has changed.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) struct World {
    pub(crate) story: Story,
    pub(crate) cluster: Cluster,
    pub(crate) operator: Operator,
    pub(crate) workers: Workers,
    queue: Queue,
    chronicler: JoinHandle<()>,
    // Ends with us.
    _redis: RedisServer,
}

impl World {
    pub(crate) async fn start(args: Args) -> anyhow::Result<World> {
        let story = Story::begin();
        let cluster = Cluster::connect().await?;
        story.tell(&format!(
            "Kubernetes {}",
            cluster
                .version()
                .await
                .context("the control plane does not answer")?
        ));
        let definitions = Command::new(&args.operator)
            .arg("crd")
            .output()
            .await
            .with_context(|| format!("cannot run {}; was it built?", args.operator.display()))?;
        ensure!(
            definitions.status.success(),
            "wtt-operator crd: {}",
            String::from_utf8_lossy(&definitions.stderr)
        );
        apply(Source::Text(&String::from_utf8(definitions.stdout)?)).await?;
        apply(Source::File(&file("node-pool.yaml"))).await?;
        wait::until(
            "Karpenter's word that the NodePool is ready",
            Duration::from_secs(60),
            || async {
                Ok(when(
                    cluster.node_pool_is_ready().await?,
                    "it is not; does Karpenter run?",
                ))
            },
        )
        .await?;
        story.tell("Karpenter is ready");
        let redis = RedisServer::start();
        let queue = Queue::connect(&QueueConfig::new(redis.url())).await?;
        let operator = Operator::start(&args.operator, &redis.url(), &args.logs).await?;
        story.tell("the operator leads");
        wait::until(
            "the WorkerPool's definition to be served",
            Duration::from_secs(30),
            || async {
                apply(Source::File(&file("worker-pool.yaml"))).await?;
                Ok(when(true, ""))
            },
        )
        .await?;
        let workers = Workers::follow(cluster.clone(), queue.clone(), story.clone());
        let chronicler = tokio::spawn(chronicle(cluster.clone(), story.clone()));
        Ok(World {
            story,
            cluster,
            operator,
            workers,
            queue,
            chronicler,
            _redis: redis,
        })
    }

    pub(crate) async fn enqueue(&self, task: &str) -> anyhow::Result<()> {
        let payload = TaskPayload::default();
        let new = NewTask::new(TaskId::parse(task)?, "basic-pitch", payload, AUDIO_MS);
        let answer = self.queue.enqueue(&new).await?;
        ensure!(answer == Enqueued::New, "{task} was not queued: {answer:?}");
        Ok(())
    }

    pub(crate) async fn end(&mut self) {
        self.chronicler.abort();
        self.operator.end().await;
    }
}

/// A manifest that is part of this test.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new("e2e/nodepools").join(name)
}

/// Tells each change of how much of everything there is.
async fn chronicle(cluster: Cluster, story: Story) {
    let mut last = String::new();
    loop {
        if let Ok(now) = count(&cluster).await
            && now != last
        {
            story.tell(&now);
            last = now;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn count(cluster: &Cluster) -> anyhow::Result<String> {
    let replicas = cluster
        .replicas()
        .await?
        .map_or("none".to_owned(), |count| count.to_string());
    let pods = cluster.workers().await?;
    let ready = pods
        .iter()
        .filter(|pod| crate::cluster::serves(pod))
        .count();
    let claims = cluster.claims().await?.len();
    let nodes = cluster.nodes().await?;
    let of_kind = |kind: &str| {
        let nodes = nodes.values().filter(|node| node.kind == kind);
        let going = nodes.clone().filter(|node| node.going).count();
        match (nodes.count(), going) {
            (all, 0) => all.to_string(),
            (all, going) => format!("{all} ({going} going)"),
        }
    };
    Ok(format!(
        "replicas {replicas}, pods {} ({ready} ready), claims {claims}, nodes: on-demand {}, spot {}",
        pods.len(),
        of_kind("on-demand"),
        of_kind("spot"),
    ))
}

//! The outcomes, in their order. Knows what is to be seen, and waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, ensure};
use kube::ResourceExt;

use crate::cluster::{GPU, GpuNode, Source, apply, node_of, serves};
use crate::wait::{self, Seen, when};
use crate::world::{World, file};

pub(crate) type Outcome<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

const TASKS: [&str; 3] = ["song-a", "song-b", "song-c"];
/// The last one to be finished.
const LONGEST: &str = TASKS[2];
/// Karpenter looks every 10 s and thinks a move over for 15 s.
const MINUTES: Duration = Duration::from_secs(150);
/// Karpenter says nothing about a node for 2 minutes after it has said something else about it, such as that it is not ready yet.
const SAID_AGAIN: Duration = Duration::from_secs(180);
const BYSTANDER: &str = "bystander";

/// From no node to one a worker; meanwhile the pool says why its workers do not start.
pub(crate) async fn three_tasks_bring_three_gpu_nodes_from_none(
    world: &World,
) -> anyhow::Result<()> {
    let cluster = &world.cluster;
    wait::until("a Deployment of none", Duration::from_secs(20), || async {
        let replicas = cluster.replicas().await?;
        Ok(when(replicas == Some(0), format!("{replicas:?} replicas")))
    })
    .await?;
    let (nodes, claims) = (cluster.nodes().await?, cluster.claims().await?);
    ensure!(
        nodes.is_empty() && claims.is_empty(),
        "there are nodes before there is work: {nodes:?} {claims:?}"
    );
    for task in TASKS {
        world.enqueue(task).await?;
    }
    world.story.tell("three tasks are queued");
    wait::until("three replicas", Duration::from_secs(10), || async {
        let replicas = cluster.replicas().await?;
        Ok(when(replicas == Some(3), format!("{replicas:?} replicas")))
    })
    .await?;
    let words = wait::until(
        "CapacityAvailable=False, Unschedulable, before a node is there",
        Duration::from_secs(10),
        || async {
            let status = cluster.pool().await?;
            Ok(match crds::find(&status.conditions, "CapacityAvailable") {
                Some(one) if one.status == "False" && one.reason == "Unschedulable" => {
                    Seen::Yes(one.message.clone())
                }
                other => Seen::NotYet(format!("{other:?}")),
            })
        },
    )
    .await?;
    world
        .story
        .tell(&format!("the pool says Unschedulable: {words}"));
    wait::until(
        "a worker on each of three tasks",
        Duration::from_secs(60),
        || async {
            let running = world.workers.running();
            Ok(when(running.len() == 3, format!("{running:?}")))
        },
    )
    .await?;
    let nodes = nodes_under_workers(world).await?;
    ensure!(
        nodes.len() == 3,
        "three workers with a GPU each are on {} nodes",
        nodes.len()
    );
    for (name, node) in &nodes {
        ensure!(
            node.gpus == "1" && node.kind == "on-demand",
            "{name} is no on-demand node with one {GPU}: {node:?}"
        );
    }
    ensure!(
        cluster.nodes().await?.len() == 3 && cluster.claims().await?.len() == 3,
        "there are other nodes than those of the workers"
    );
    for pod in cluster.workers().await? {
        let mark = pod.annotations().get("karpenter.sh/do-not-disrupt");
        ensure!(
            mark.is_some_and(|word| word == "true"),
            "{} does not carry do-not-disrupt",
            pod.name_any()
        );
    }
    wait::until(
        "a status of three busy workers",
        Duration::from_secs(30),
        || async {
            let status = cluster.pool().await?;
            Ok(when(
                status.busy_replicas == 3 && crds::is_true(&status.conditions, "CapacityAvailable"),
                format!("{} busy; {:?}", status.busy_replicas, status.conditions),
            ))
        },
    )
    .await?;
    unharmed(world).await
}

/// A cheaper kind of node is allowed while all workers are busy. Karpenter moves a pod that may be moved to one, and says of each
/// worker's node why it does not do the same there.
pub(crate) async fn a_node_under_a_busy_worker_stays_while_karpenter_replaces_another(
    world: &World,
) -> anyhow::Result<()> {
    let cluster = &world.cluster;
    let before = nodes_under_workers(world).await?;
    apply(Source::File(&file("bystander.yaml"))).await?;
    let first = bystander_on(world, "on-demand").await?;
    world
        .story
        .tell("a pod without protection is on a fourth node; now spot nodes, at a third of the price, are allowed");
    cluster.allow_spot().await?;
    let second = bystander_on(world, "spot").await?;
    wait::until("the end of its first node", MINUTES, || async {
        let left = cluster.nodes().await?.contains_key(&first);
        Ok(when(!left, format!("{first} is still there")))
    })
    .await?;
    world
        .story
        .tell("Karpenter has moved it to a spot node and taken the first one away");
    for name in before.keys() {
        let said = wait::until(
            &format!("Karpenter's reason to leave {name} alone"),
            SAID_AGAIN,
            || async {
                let said = cluster.said_of_node(name).await?;
                let blocked = said.iter().find(|words| {
                    words.starts_with("DisruptionBlocked") && words.contains("do-not-disrupt")
                });
                Ok(match blocked {
                    Some(words) => Seen::Yes(words.clone()),
                    None => Seen::NotYet(format!("{said:?}")),
                })
            },
        )
        .await?;
        world.story.tell(&format!("of {name}, {said}"));
    }
    stayed(world, &before).await?;
    cluster.delete_deployment(BYSTANDER).await?;
    wait::until("the end of the bystander's node", MINUTES, || async {
        let left = cluster.nodes().await?.contains_key(&second);
        Ok(when(!left, format!("{second} is still there")))
    })
    .await?;
    world.story.tell("the emptied spot node is gone");
    stayed(world, &before).await?;
    unharmed(world).await
}

/// Two of three are done: their pods go, then their nodes; the third goes on working where it is.
pub(crate) async fn idle_workers_go_and_their_nodes_with_them(world: &World) -> anyhow::Result<()> {
    let cluster = &world.cluster;
    let busy = world
        .workers
        .running()
        .remove(LONGEST)
        .with_context(|| format!("nobody works on {LONGEST}"))?;
    let before = nodes_under_workers(world).await?;
    for task in TASKS.iter().filter(|task| **task != LONGEST) {
        world.workers.finish(task);
    }
    wait::until("one replica, the busy one", MINUTES, || async {
        let replicas = cluster.replicas().await?;
        let pods = cluster.workers().await?;
        let names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
        Ok(when(
            replicas == Some(1) && names == [busy.clone()],
            format!("{replicas:?} replicas, {names:?}"),
        ))
    })
    .await?;
    let node = nodes_under_workers(world).await?;
    wait::until("the end of the two empty nodes", MINUTES, || async {
        let left: BTreeSet<String> = cluster.nodes().await?.into_keys().collect();
        Ok(
            if !left.contains(node.keys().next().map_or("", String::as_str)) {
                Seen::Never("the busy worker's node is gone".to_owned())
            } else {
                when(left.len() == 1, format!("{left:?}"))
            },
        )
    })
    .await?;
    world
        .story
        .tell("one worker is left on one node; looking on for two of Karpenter's rounds");
    wait::all_along(
        "the busy worker on its node",
        Duration::from_secs(25),
        || async {
            let now = nodes_under_workers(world).await?;
            Ok(now == node)
        },
    )
    .await?;
    ensure!(
        before.iter().any(|known| Some(known) == node.iter().next()),
        "the busy worker is on a node that it was not on before"
    );
    unharmed(world).await
}

/// The last task is done: no worker, no claim, no node.
pub(crate) async fn when_all_is_done_no_node_is_left(world: &World) -> anyhow::Result<()> {
    let cluster = &world.cluster;
    world.workers.finish(LONGEST);
    wait::until("nothing at all", MINUTES, || async {
        let replicas = cluster.replicas().await?;
        let (pods, claims, nodes) = (
            cluster.workers().await?.len(),
            cluster.claims().await?.len(),
            cluster.nodes().await?.len(),
        );
        Ok(when(
            replicas == Some(0) && (pods, claims, nodes) == (0, 0, 0),
            format!("{replicas:?} replicas, {pods} pods, {claims} claims, {nodes} nodes"),
        ))
    })
    .await?;
    let done = world.workers.done();
    let once: BTreeMap<String, u32> = TASKS.iter().map(|task| ((*task).to_owned(), 1)).collect();
    ensure!(
        done == once,
        "not every task was done by its first attempt: {done:?}"
    );
    unharmed(world).await
}

/// The nodes that workers are on, by name.
async fn nodes_under_workers(world: &World) -> anyhow::Result<BTreeMap<String, GpuNode>> {
    let used: BTreeSet<String> = world.cluster.workers().await?.iter().map(node_of).collect();
    let nodes = world.cluster.nodes().await?;
    Ok(nodes
        .into_iter()
        .filter(|(name, _)| used.contains(name))
        .collect())
}

/// Waits until the unprotected pod serves on a node of this kind, and gives the node's name.
async fn bystander_on(world: &World, kind: &str) -> anyhow::Result<String> {
    wait::until(
        &format!("the bystander on a node of kind {kind}"),
        MINUTES,
        || async {
            let nodes = world.cluster.nodes().await?;
            let pods = world.cluster.pods(&format!("app={BYSTANDER}")).await?;
            let on: Vec<String> = pods.iter().filter(|pod| serves(pod)).map(node_of).collect();
            let found = on
                .iter()
                .find(|name| nodes.get(*name).is_some_and(|node| node.kind == kind));
            Ok(match found {
                Some(name) => Seen::Yes(name.clone()),
                None => Seen::NotYet(format!("{} pods, on {on:?}", pods.len())),
            })
        },
    )
    .await
}

/// Each of these nodes is the same one as before, with its worker at work, and nobody is about to take it away.
async fn stayed(world: &World, before: &BTreeMap<String, GpuNode>) -> anyhow::Result<()> {
    let now = nodes_under_workers(world).await?;
    ensure!(
        now == *before,
        "the nodes under busy workers changed from {before:?} to {now:?}"
    );
    let running = world.workers.running();
    ensure!(running.len() == before.len(), "only {running:?} still run");
    Ok(())
}

/// No worker was ended in the middle of a song: by what the workers saw, and by what the operator counted.
async fn unharmed(world: &World) -> anyhow::Result<()> {
    let accidents = world.workers.accidents();
    ensure!(accidents.is_empty(), "{}", accidents.join("; "));
    for name in ["wtt_busy_kills_total", "wtt_unchosen_deletions_total"] {
        let count = world.operator.metric(name).await?;
        ensure!(count == 0.0, "{name} is {count}");
    }
    Ok(())
}

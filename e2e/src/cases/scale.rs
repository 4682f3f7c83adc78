//! More workers, fewer workers, and what happens to those that work.

use std::time::Duration;

use anyhow::ensure;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::objects::{self, POOL};
use crate::release;
use crate::wait::{self, Seen, when};
use crate::world::World;

/// Waits until a worker has it.
pub(super) async fn running(world: &World, name: &str) -> anyhow::Result<()> {
    let api = objects::jobs(world);
    wait::until(
        &format!("job {name} Running"),
        Duration::from_secs(120),
        || async {
            let job = api.get(name).await?;
            let status = job.status.clone().unwrap_or_default();
            if crds::is_true(&status.conditions, "Complete") {
                return Ok(Seen::Never(
                    "it is done already: the recording is too short for this machine".to_owned(),
                ));
            }
            Ok(when(
                crds::is_true(&status.conditions, "Running"),
                objects::said(&job),
            ))
        },
    )
    .await
}

pub(super) async fn an_idle_pool_goes_back_to_zero(world: &World) -> anyhow::Result<()> {
    objects::replicas_become(world, POOL, Duration::from_secs(60), |count| count == 0).await?;
    wait::until(
        "the end of the workers",
        Duration::from_secs(60),
        || async {
            let left = world.living("worker").await?.len();
            Ok(when(left == 0, format!("{left} pods")))
        },
    )
    .await
}

/// Three jobs at once for a pool of workers that each want a GPU, on a node that has one.
pub(super) async fn gpus_that_run_out_show_as_unschedulable(world: &World) -> anyhow::Result<()> {
    let nodes: Api<Node> = Api::all(world.client.clone());
    let gpus = |count: &str| json!({"status": {"capacity": {"nvidia.com/gpu": count}, "allocatable": {"nvidia.com/gpu": count}}});
    let names: Vec<String> = nodes
        .list(&ListParams::default())
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    for name in &names {
        nodes
            .patch_status(name, &PatchParams::default(), &Patch::Merge(gpus("1")))
            .await?;
    }
    // The image for CPUs and its device, but asking for a GPU as the one for CUDA does.
    let tag = format!("workerPool.image.tag={}-cpu", env!("CARGO_PKG_VERSION"));
    release::upgrade(
        world,
        &["workerPool.gpu.enabled=true", "workerPool.device=cpu", &tag],
    )
    .await?;
    let url = world.source.long(1800);
    let jobs = ["gpu-0", "gpu-1", "gpu-2"];
    for name in jobs {
        objects::apply(world, &objects::job(name, &url, json!({}))).await?;
    }
    let pools = objects::pools(world);
    let message = wait::until(
        "CapacityAvailable=False, Unschedulable",
        Duration::from_secs(90),
        || async {
            let status = pools.get(POOL).await?.status.unwrap_or_default();
            Ok(match crds::find(&status.conditions, "CapacityAvailable") {
                Some(one) if one.status == "False" && one.reason == "Unschedulable" => {
                    Seen::Yes(one.message.clone())
                }
                Some(one) => Seen::NotYet(format!("{}={}: {}", one.type_, one.status, one.reason)),
                None => Seen::NotYet("no such condition".to_owned()),
            })
        },
    )
    .await?;
    ensure!(
        message.contains("nvidia.com/gpu"),
        "the message does not name the GPU: {message}"
    );
    println!("        {message}");
    for name in jobs {
        objects::delete_job(world, name).await?;
    }
    release::upgrade(world, &[]).await?;
    objects::replicas_become(world, POOL, Duration::from_secs(90), |count| count == 0).await?;
    for name in &names {
        nodes
            .patch_status(name, &PatchParams::default(), &Patch::Merge(gpus("0")))
            .await?;
    }
    Ok(())
}

/// Several short jobs and a long one: when the short ones are done, the others go and the busy one stays until it has finished.
pub(super) async fn a_busy_worker_survives_scale_down(world: &World) -> anyhow::Result<()> {
    scale_down_beside(world, "busy", 3600).await
}

/// The same again and again, with another length each time.
pub(super) async fn many_scale_downs_kill_no_busy_worker(world: &World) -> anyhow::Result<()> {
    for round in 0..world.args.scale_downs {
        scale_down_beside(world, &format!("round-{round}"), 1800 + 60 * (round % 7)).await?;
        println!(
            "        round {} of {}: no busy worker was killed",
            round + 1,
            world.args.scale_downs
        );
    }
    Ok(())
}

async fn scale_down_beside(world: &World, prefix: &str, seconds: u32) -> anyhow::Result<()> {
    let long = format!("{prefix}-long");
    objects::apply(
        world,
        &objects::job(&long, &world.source.long(seconds), json!({})),
    )
    .await?;
    running(world, &long).await?;
    let shorts: Vec<String> = (0..3)
        .map(|index| format!("{prefix}-short-{index}"))
        .collect();
    for name in &shorts {
        objects::apply(
            world,
            &objects::job(name, &world.source.long(60), json!({})),
        )
        .await?;
    }
    try_join_all(
        shorts
            .iter()
            .map(|name| objects::complete(world, name, Duration::from_secs(180))),
    )
    .await?;
    let job = objects::complete(world, &long, Duration::from_secs(240)).await?;
    let attempts = job
        .status
        .and_then(|status| status.attempts)
        .unwrap_or_default();
    ensure!(
        attempts == 1,
        "the long one was started {attempts} times: a busy worker was killed"
    );
    for name in shorts.iter().chain([&long]) {
        objects::delete_job(world, name).await?;
    }
    objects::replicas_become(world, POOL, Duration::from_secs(90), |count| count == 0)
        .await
        .map(drop)
}

/// The template changes under a running job: it is finished by the old pod, and the next one is done by a new one.
pub(super) async fn a_new_worker_image_rolls_out_without_losing_a_task(
    world: &World,
) -> anyhow::Result<()> {
    objects::apply(
        world,
        &objects::job("before", &world.source.long(3600), json!({})),
    )
    .await?;
    running(world, "before").await?;
    release::upgrade(world, &["workerPool.podAnnotations.revision=two"]).await?;
    objects::apply(
        world,
        &objects::job("after", &world.source.url("/short.wav"), json!({})),
    )
    .await?;
    for name in ["before", "after"] {
        let job = objects::complete(world, name, Duration::from_secs(200)).await?;
        let attempts = job
            .status
            .and_then(|status| status.attempts)
            .unwrap_or_default();
        ensure!(attempts <= 2, "{name} was started {attempts} times");
        objects::delete_job(world, name).await?;
    }
    Ok(())
}

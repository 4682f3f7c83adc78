//! What is taken away while there is work: a worker, the operator, Redis, the API server.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::scale::running;
use crate::command::run;
use crate::objects::{self, POOL};
use crate::release;
use crate::wait::{self, Seen, when};
use crate::world::World;

/// `kubectl delete pod --force` in the middle of a task: another worker runs it.
pub(super) async fn a_pod_deleted_by_force_ends_in_complete(world: &World) -> anyhow::Result<()> {
    objects::apply(
        world,
        &objects::job("robbed", &world.source.long(1800), json!({})),
    )
    .await?;
    running(world, "robbed").await?;
    for pod in world.living("worker").await? {
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        world.pods().delete(&pod.name_any(), &now).await?;
    }
    let job = objects::complete(world, "robbed", Duration::from_secs(200)).await?;
    let attempts = job
        .status
        .and_then(|status| status.attempts)
        .unwrap_or_default();
    ensure!(
        attempts == 2,
        "it was started {attempts} times, and once was robbed"
    );
    objects::delete_job(world, "robbed").await
}

async fn holder(world: &World) -> anyhow::Result<String> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), world.namespace);
    let lease = leases.get("wtt-operator").await?;
    lease
        .spec
        .and_then(|spec| spec.holder_identity)
        .filter(|name| !name.is_empty())
        .context("nobody holds the Lease")
}

/// The leader's pod is deleted without grace while a job runs and another waits.
pub(super) async fn a_killed_operator_is_replaced_and_nothing_runs_twice(
    world: &World,
) -> anyhow::Result<()> {
    objects::apply(
        world,
        &objects::job("led", &world.source.long(1200), json!({})),
    )
    .await?;
    running(world, "led").await?;
    let first = holder(world).await?;
    let leader = world
        .living("operator")
        .await?
        .into_iter()
        .find(|pod| first.contains(&pod.name_any()))
        .with_context(|| format!("the holder {first} names no pod"))?;
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    world.pods().delete(&leader.name_any(), &now).await?;
    let began = Instant::now();
    objects::apply(
        world,
        &objects::job("led-later", &world.source.url("/short.wav"), json!({})),
    )
    .await?;
    let second = wait::until("another leader", Duration::from_secs(40), || async {
        let name = holder(world).await?;
        Ok(if name == first {
            Seen::NotYet(name)
        } else {
            Seen::Yes(name)
        })
    })
    .await?;
    println!(
        "        {second} took over after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    for name in ["led", "led-later"] {
        let job = objects::complete(world, name, Duration::from_secs(150)).await?;
        let attempts = job
            .status
            .and_then(|status| status.attempts)
            .unwrap_or_default();
        ensure!(attempts == 1, "{name} was started {attempts} times");
        objects::delete_job(world, name).await?;
    }
    Ok(())
}

/// An unreadable queue is not an empty one.
pub(super) async fn redis_gone_for_30_s_holds_the_replicas(world: &World) -> anyhow::Result<()> {
    objects::apply(
        world,
        &objects::job("held", &world.source.long(3600), json!({})),
    )
    .await?;
    running(world, "held").await?;
    let before = objects::replicas(world, POOL).await?;
    let redis = release::named("redis");
    let sets: Api<k8s_openapi::api::apps::v1::StatefulSet> =
        Api::namespaced(world.client.clone(), world.namespace);
    let size = |count: i32| kube::api::Patch::Merge(json!({"spec": {"replicas": count}}));
    sets.patch_scale(&redis, &PatchParams::default(), &size(0))
        .await?;
    wait::all_along(
        "the replicas without Redis",
        Duration::from_secs(30),
        || async { Ok(objects::replicas(world, POOL).await? == before) },
    )
    .await?;
    let status = objects::pools(world)
        .get(POOL)
        .await?
        .status
        .unwrap_or_default();
    let said = crds::find(&status.conditions, "QueueReachable").map(|one| one.status.clone());
    ensure!(
        said.as_deref() == Some("False"),
        "QueueReachable says {said:?} without Redis"
    );
    sets.patch_scale(&redis, &PatchParams::default(), &size(1))
        .await?;
    objects::complete(world, "held", Duration::from_secs(200)).await?;
    objects::delete_job(world, "held").await
}

/// Stopped and started by the cluster's own script; a job that was applied before is worked on soon after.
pub(super) async fn an_api_server_gone_for_30_s_costs_10_s(world: &World) -> anyhow::Result<()> {
    let Some(script) = world.args.parts.as_ref().and_then(|path| path.to_str()) else {
        println!(
            "        left out: no script that stops the API server of this cluster (E2E_PARTS)"
        );
        return Ok(());
    };
    run(script, &["stop", "apiserver"]).await?;
    let gone = Instant::now();
    wait::all_along(
        "the API server's absence",
        Duration::from_secs(30),
        || async { Ok(world.client.apiserver_version().await.is_err()) },
    )
    .await?;
    let starts = Timestamp::now();
    run(script, &["start", "apiserver"]).await?;
    wait::until("the API server", Duration::from_secs(60), || async {
        world.client.apiserver_version().await?;
        Ok(when(true, ""))
    })
    .await?;
    println!(
        "        it was gone for {:.0} s",
        gone.elapsed().as_secs_f64()
    );
    let back = Instant::now();
    objects::apply(
        world,
        &objects::job("patient", &world.source.url("/short.wav"), json!({})),
    )
    .await?;
    let first_status = async {
        wait::until(
            "the operator's first status",
            Duration::from_secs(30),
            || async {
                let job = objects::jobs(world).get("patient").await?;
                Ok(when(
                    job.status
                        .is_some_and(|status| !status.conditions.is_empty()),
                    "no status",
                ))
            },
        )
        .await?;
        anyhow::Ok(back.elapsed())
    };
    let readiness = async {
        wait::until("its readiness", Duration::from_secs(60), || async {
            world.kubectl(&["get", "--raw", "/readyz"]).await?;
            Ok(when(true, ""))
        })
        .await?;
        world.loading.lock().await.push((starts, Timestamp::now()));
        anyhow::Ok(())
    };
    let (took, ()) = tokio::try_join!(first_status, readiness)?;
    println!(
        "        the operator wrote {:.1} s after it answered",
        took.as_secs_f64()
    );
    ensure!(
        took <= Duration::from_secs(10),
        "the operator needed {took:?}"
    );
    objects::complete(world, "patient", Duration::from_secs(120)).await?;
    objects::delete_job(world, "patient").await
}

//! Without the operator: the API, its stores, and a Deployment of workers.

use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use kube::api::DeleteParams;

use crate::command::run;
use crate::release;
use crate::wait::{self, when};
use crate::world::{RELEASE, World};

pub(super) async fn an_upload_by_rest_gives_the_notes_of_wtt_transcribe(
    world: &World,
) -> anyhow::Result<()> {
    let rest = world.rest().await?;
    let id = rest.upload(&world.short).await?;
    rest.succeeded(&id, Duration::from_secs(120)).await?;
    world.reference.check(&rest.midi(&id).await?, "the upload")
}

pub(super) async fn helm_test_passes_and_transcribes(world: &World) -> anyhow::Result<()> {
    let said = run(
        "helm",
        &[
            "test",
            RELEASE,
            "--namespace",
            world.namespace,
            "--logs",
            "--timeout",
            "200s",
        ],
    )
    .await?;
    ensure!(
        said.contains("is transcribed"),
        "it passed without transcribing: {said}"
    );
    Ok(())
}

/// Both pods are taken away at once; what was transcribed before is there after, and new work is done.
pub(super) async fn redis_and_postgres_that_restart_keep_what_they_had(
    world: &World,
) -> anyhow::Result<()> {
    let rest = world.rest().await?;
    let before = rest.upload(&world.short).await?;
    rest.succeeded(&before, Duration::from_secs(60)).await?;
    for part in ["redis", "postgres"] {
        let name = format!("{}-0", release::named(part));
        let uid = world.pods().get(&name).await?.uid();
        world.pods().delete(&name, &DeleteParams::default()).await?;
        wait::until(
            &format!("another {name}"),
            Duration::from_secs(90),
            || async {
                let pod = world.pods().get(&name).await?;
                Ok(when(pod.uid() != uid && ready(&pod), "not ready"))
            },
        )
        .await?;
    }
    world
        .reference
        .check(&rest.midi(&before).await?, "the notes from before")?;
    let after = wait::until(
        "an upload after the restart",
        Duration::from_secs(60),
        || async { Ok(wait::Seen::Yes(rest.upload(&world.short).await?)) },
    )
    .await?;
    rest.succeeded(&after, Duration::from_secs(90))
        .await
        .map(drop)
}

pub(super) fn ready(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

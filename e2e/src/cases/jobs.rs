//! Jobs by kubectl, and uploads beside them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use serde_json::json;

use crate::objects;
use crate::recording::Reference;
use crate::release;
use crate::wait::{self, when};
use crate::world::World;

/// From no worker at all: applied, a worker appears, the notes are those of `wtt transcribe`, and the signed address gives them.
pub(super) async fn a_sample_job_completes_and_its_midi_is_right(
    world: &World,
) -> anyhow::Result<()> {
    ensure!(
        world.living("worker").await?.is_empty(),
        "there are workers before there is work"
    );
    objects::apply(
        world,
        &objects::job("sample", &world.source.url("/short.wav"), json!({})),
    )
    .await?;
    world
        .kubectl(&[
            "wait",
            "--for=condition=Complete",
            "--timeout=200s",
            "transcriptionjob/sample",
        ])
        .await?;
    let job = objects::complete(world, "sample", Duration::from_secs(1)).await?;
    let result = job
        .status
        .and_then(|status| status.result)
        .context("Complete without a result")?;
    let midi = world.rest().await?.signed(&result.url).await?;
    world.reference.check(&midi, "the job")?;
    ensure!(
        usize::try_from(result.note_count)? == world.reference.notes.notes.len(),
        "noteCount is {}, and there are {}",
        result.note_count,
        world.reference.notes.notes.len()
    );
    for words in [
        &["get", "tj,wp"][..],
        &["describe", "tj", "sample"],
        &["describe", "wp"],
    ] {
        println!("{}", world.kubectl(words).await?.trim_end());
    }
    Ok(())
}

/// Five of each at once: all are done, with the right notes, and each job names the worker that did it, however short it was.
pub(super) async fn an_upload_by_rest_and_a_job_by_kubectl_share_a_pool(
    world: &World,
) -> anyhow::Result<()> {
    let rest = world.rest().await?;
    let mut uploads = Vec::new();
    for index in 0..5 {
        objects::apply(
            world,
            &objects::job(
                &format!("shared-{index}"),
                &world.source.url("/short.wav"),
                json!({}),
            ),
        )
        .await?;
        uploads.push(rest.upload(&world.short).await?);
    }
    for id in &uploads {
        rest.succeeded(id, Duration::from_secs(120)).await?;
        world.reference.check(&rest.midi(id).await?, "an upload")?;
    }
    for index in 0..5 {
        let name = format!("shared-{index}");
        let job = objects::complete(world, &name, Duration::from_secs(120)).await?;
        let status = job.status.unwrap_or_default();
        ensure!(
            status.worker.is_some(),
            "{name} does not name the worker that did it"
        );
    }
    Ok(())
}

/// Networks that this machine may have installed, best first; their weights are in no image, so a pool gets them as a volume.
const OTHERS: [(&str, &str); 3] = [
    ("harmonica", "harmonica-medium"),
    ("harmonica:nano", "harmonica-nano"),
    ("transkun", "transkun"),
];

/// The pool's workers get a volume with another network, and a job names it: its MIDI is that of the command.
pub(super) async fn a_job_with_another_model_gives_the_notes_of_the_command(
    world: &World,
) -> anyhow::Result<()> {
    let installed = world.args.models.as_ref().and_then(|folder| {
        let (model, _) = OTHERS
            .into_iter()
            .find(|(_, name)| folder.join(name).is_dir())?;
        Some((folder, model))
    });
    let Some((folder, model)) = installed else {
        println!(
            "        left out: no other network is installed (`wtt models pull harmonica`), or its folder is not on the node (E2E_MODELS)"
        );
        return Ok(());
    };
    let reference = Reference::of(&world.args.wtt, model, &world.short).await?;
    let claim = release::models_volume(world, folder).await?;
    release::upgrade(world, &[&format!("workerPool.modelsClaim={claim}")]).await?;
    // A worker of the template before would have to say that it knows no such network.
    wait::until(
        "the operator's new template",
        Duration::from_secs(30),
        || async {
            let deployment = objects::deployment(world, objects::POOL).await?;
            let body = serde_json::to_string(&deployment)?;
            Ok(when(body.contains("persistentVolumeClaim"), "no claim yet"))
        },
    )
    .await?;
    objects::apply(
        world,
        &objects::job(
            "other-model",
            &world.source.url("/short.wav"),
            json!({"model": model}),
        ),
    )
    .await?;
    let job = objects::complete(world, "other-model", Duration::from_secs(200)).await?;
    let result = job
        .status
        .and_then(|status| status.result)
        .context("Complete without a result")?;
    let midi = world.rest().await?.signed(&result.url).await?;
    reference.check(&midi, model)?;
    println!(
        "        {model}: {} notes, MIDI equal to that of wtt transcribe",
        result.note_count
    );
    objects::delete_job(world, "other-model").await?;
    objects::replicas_become(world, objects::POOL, Duration::from_secs(90), |count| {
        count == 0
    })
    .await?;
    release::upgrade(world, &[]).await
}

/// A job with a short time to live goes by itself after it is done, and not before.
pub(super) async fn a_finished_job_goes_at_its_time_to_live(world: &World) -> anyhow::Result<()> {
    let lives = Duration::from_secs(5);
    objects::apply(
        world,
        &objects::job(
            "brief",
            &world.source.url("/short.wav"),
            json!({"ttlSecondsAfterFinished": lives.as_secs()}),
        ),
    )
    .await?;
    let job = objects::complete(world, "brief", Duration::from_secs(120)).await?;
    let done = job
        .status
        .and_then(|status| status.completion_time)
        .context("a complete job without a completion time")?
        .0
        .as_second();
    wait::until("the end of the object", lives * 4, || async {
        Ok(when(
            objects::jobs(world).get_opt("brief").await?.is_none(),
            "it is still there",
        ))
    })
    .await?;
    let gone = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    ensure!(
        gone >= done.unsigned_abs() + lives.as_secs(),
        "done at {done}, gone at {gone}: before its time"
    );
    Ok(())
}

/// A long job is deleted while it runs: its worker is free soon after, and the object is gone at once.
pub(super) async fn a_deleted_job_stops_and_leaves_nothing(world: &World) -> anyhow::Result<()> {
    let url = world.source.long(3600);
    objects::apply(world, &objects::job("unwanted", &url, json!({}))).await?;
    super::scale::running(world, "unwanted").await?;
    objects::delete_job(world, "unwanted").await?;
    wait::until("the end of the object", Duration::from_secs(10), || async {
        Ok(when(
            objects::jobs(world).get_opt("unwanted").await?.is_none(),
            "it is still there",
        ))
    })
    .await?;
    objects::replicas_become(world, objects::POOL, Duration::from_secs(60), |count| {
        count == 0
    })
    .await
    .map(drop)
}

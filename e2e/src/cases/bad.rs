//! Objects that cannot be right: refused by the schema, or answered by a condition that says what to do.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::objects::{self, job};
use crate::world::World;

pub(super) async fn a_job_without_a_source_is_refused_with_a_message(
    world: &World,
) -> anyhow::Result<()> {
    let mut object = job("nothing", "unused", json!({}));
    object["spec"]["source"] = json!({});
    refuses(
        world,
        &object,
        "exactly one of url, object and transcription",
    )
    .await
}

pub(super) async fn invalid_objects_are_refused_or_answered(world: &World) -> anyhow::Result<()> {
    let url = world.source.url("/short.wav");
    let mut two = job("two-sources", &url, json!({}));
    two["spec"]["source"]["object"] = json!("imports/x/y");
    refuses(world, &two, "exactly one of").await?;
    refuses(
        world,
        &job("negative", &url, json!({"queueDeadlineSeconds": -1})),
        "queueDeadlineSeconds",
    )
    .await?;
    refuses(world, &job(&"n".repeat(64), &url, json!({})), "63").await?;
    let pool = |name: &str, scaling: Value| {
        json!({"apiVersion": "whatsthetab.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": name},
               "spec": {"queue": "other", "scaling": scaling, "template": {"spec": {"containers": [{"name": "worker", "image": "wtt-worker:none"}]}}}})
    };
    refuses(
        world,
        &pool("upside-down", json!({"minReplicas": 3, "maxReplicas": 1})),
        "minReplicas",
    )
    .await?;

    // What no schema can know is answered, once and for good.
    let missing = world.source.url("/missing.wav");
    let text = world.source.url("/text.wav");
    let answered = [
        (
            "bad-queue",
            job("bad-queue", &url, json!({"queue": "nobodys"})),
        ),
        (
            "bad-model",
            job("bad-model", &url, json!({"model": "no-such-model"})),
        ),
        (
            "bad-address",
            job(
                "bad-address",
                "http://169.254.169.254/latest/meta-data",
                json!({}),
            ),
        ),
        (
            "bad-network",
            job("bad-network", "http://127.0.0.1:8000/readyz", json!({})),
        ),
        (
            "bad-path",
            job("bad-path", &missing, json!({"backoffLimit": 0})),
        ),
        ("bad-audio", job("bad-audio", &text, json!({}))),
    ];
    for (_, object) in &answered {
        objects::apply(world, object).await?;
    }
    for (name, _) in &answered {
        let (reason, message) = objects::failure(world, name, Duration::from_secs(60)).await?;
        println!("        {name}: {reason}: {message}");
        ensure!(
            !reason.is_empty() && message.len() > 10,
            "{name}: {reason}: {message} says too little"
        );
    }
    // Nothing is asked again and again.
    let asked = world.source.asked();
    tokio::time::sleep(Duration::from_secs(5)).await;
    ensure!(
        world.source.asked() == asked,
        "refused sources are still being asked for"
    );

    let mut changed = job("bad-audio", &url, json!({}));
    changed["spec"]["model"] = json!("basic-pitch");
    refuses(world, &changed, "cannot be changed").await?;
    for (name, _) in &answered {
        objects::delete_job(world, name).await?;
    }
    Ok(())
}

async fn refuses(world: &World, object: &Value, word: &str) -> anyhow::Result<()> {
    let message = objects::refused(world, object).await?;
    ensure!(
        message.contains(word),
        "refused, but without {word:?}: {message}"
    );
    Ok(())
}

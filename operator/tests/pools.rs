//! The whole operator with pools: a fake cluster whose pods hold workers that claim from a real Redis.

#![expect(clippy::unwrap_used, reason = "in a test a broken helper may panic")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use queue::{NewTask, TaskId, TaskPayload};
use serde_json::{Value, json};
use support::fleet::Fleet;
use support::{Stage, condition, until};

/// Hurried: a second where a real pool has a minute.
fn scaling(max: i32) -> Value {
    json!({
        "policy": "Auto", "minReplicas": 0, "maxReplicas": max, "targetDrainSeconds": 2, "scaleToZeroDelaySeconds": 1,
        "down": { "stabilizationSeconds": 1 },
    })
}

async fn enqueue(stage: &Stage, name: &str, count: usize, audio_ms: u64) {
    for number in 0..count {
        let id = TaskId::parse(format!("{name}-{number}")).unwrap();
        let task = NewTask::new(id, "m", TaskPayload::default(), audio_ms);
        stage.queue.enqueue(&task).await.unwrap();
    }
}

async fn finished(stage: &Stage) -> u64 {
    stage
        .queue
        .stats()
        .await
        .unwrap()
        .get("completed")
        .copied()
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_zero_to_what_is_needed_in_one_step_and_back_without_a_busy_kill() {
    let stage = Stage::set().await;
    stage.pool("gpu", scaling(4));
    let fleet = Fleet::start(
        &stage.cluster,
        &stage.queue,
        "gpu",
        Duration::from_millis(200),
    );
    let running = stage.start("a");
    until("the Deployment is there, at zero", || {
        stage.replicas("gpu") == Some(0)
    })
    .await;
    until("the status says so", || {
        condition(&stage.pool_status("gpu"), "Ready") == "True/Serving"
    })
    .await;
    until("and that the queue can be read", || {
        condition(&stage.pool_status("gpu"), "QueueReachable") == "True/Readable"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = stage.cluster.writes().len();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(
        stage.cluster.writes()[before..],
        [] as [String; 0],
        "idle, and yet written"
    );

    enqueue(&stage, "t", 8, 1000).await;
    let waited = until("four are asked for", || stage.replicas("gpu").unwrap() > 0).await;
    assert_eq!(
        stage.replicas("gpu"),
        Some(4),
        "8 s of work in 2 s, in one step"
    );
    assert!(waited < Duration::from_millis(1500), "{waited:?}");
    until("all are back to zero", || stage.replicas("gpu") == Some(0)).await;
    assert_eq!(finished(&stage).await, 8);
    assert_eq!(fleet.busy_kills.load(Ordering::SeqCst), 0);
    until("the pods are gone", || fleet.pods().is_empty()).await;
    for reason in ["Activated gpu", "ScaledToZero gpu"] {
        assert!(
            stage.cluster.events().contains(&reason.to_owned()),
            "{reason} in {:?}",
            stage.cluster.events()
        );
    }
    let decision = stage.pool_status("gpu")["lastDecision"].clone();
    assert!(decision["inputs"].as_str().unwrap().len() <= 1024);
    let json = stage.cluster.get("workerpools", "gpu").unwrap().to_string();
    let (text, same) = operator::scale::explain(&json).unwrap();
    assert!(same, "{text}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn going_down_waits_for_the_busy_ones_and_takes_the_idle_ones() {
    let stage = Stage::set().await;
    stage.pool("gpu", scaling(6));
    let fleet = Fleet::start(
        &stage.cluster,
        &stage.queue,
        "gpu",
        Duration::from_millis(50),
    );
    let running = stage.start("a");
    // Again and again work of uneven length; each time some are done while others go on.
    for round in 0..3 {
        enqueue(&stage, &format!("short{round}"), 10, 300).await;
        enqueue(&stage, &format!("long{round}"), 2, 4500).await;
        let wanted = (round + 1) * 12;
        let begun = std::time::Instant::now();
        while finished(&stage).await < wanted {
            assert!(
                begun.elapsed() < Duration::from_secs(40),
                "{:?}",
                stage.pool_status("gpu")
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    until("all are back to zero", || {
        stage.replicas("gpu") == Some(0) && fleet.pods().is_empty()
    })
    .await;
    assert!(fleet.deleted.load(Ordering::SeqCst) >= 6);
    assert_eq!(
        fleet.busy_kills.load(Ordering::SeqCst),
        0,
        "of {:?}",
        fleet.deleted
    );
    let begun = std::time::Instant::now();
    loop {
        let seen = stage
            .queue
            .observe(&queue::QueueName::default())
            .await
            .unwrap();
        if seen.draining.is_empty() {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "flags stay: {:?}",
            seen.draining
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_dies_loses_its_task_to_another_at_once() {
    let stage = Stage::set().await;
    stage.pool(
        "gpu",
        json!({ "policy": "Manual", "replicas": 2, "minReplicas": 0, "maxReplicas": 4 }),
    );
    let fleet = Fleet::start(
        &stage.cluster,
        &stage.queue,
        "gpu",
        Duration::from_millis(50),
    );
    let running = stage.start("a");
    until("two are ready", || {
        stage.pool_status("gpu")["readyReplicas"] == 2
    })
    .await;
    enqueue(&stage, "t", 1, 3000).await;
    until("one works", || fleet.a_busy_one().is_some()).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    fleet.end(&fleet.a_busy_one().unwrap());
    let waited = until("another has it", || fleet.a_busy_one().is_some()).await;
    assert!(
        waited < Duration::from_secs(7),
        "{waited:?}; the lease alone would be 15 s"
    );
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_number_is_held() {
    let mut stage = Stage::set().await;
    stage.pool("gpu", scaling(4));
    let fleet = Fleet::start(
        &stage.cluster,
        &stage.queue,
        "gpu",
        Duration::from_millis(50),
    );
    let running = stage.start("a");
    enqueue(&stage, "t", 4, 60_000).await;
    until("four are ready", || {
        stage.pool_status("gpu")["readyReplicas"] == 4
    })
    .await;
    stage.redis.kill();
    until("the status says so", || {
        condition(&stage.pool_status("gpu"), "QueueReachable") == "False/QueueUnreachable"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!((stage.replicas("gpu"), fleet.pods().len()), (Some(4), 4));
    assert_eq!(
        condition(&stage.pool_status("gpu"), "Ready"),
        "True/Serving"
    );
    stage.redis.start_again();
    until("it can be read again", || {
        condition(&stage.pool_status("gpu"), "QueueReachable") == "True/Readable"
    })
    .await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_template_is_told_and_not_hammered_on() {
    let stage = Stage::set().await;
    stage.cluster.refuse_deployments(Some(
        "spec.template.spec.containers[0].image: Required value",
    ));
    stage.pool("gpu", scaling(4));
    let running = stage.start("a");
    until("the status says so", || {
        condition(&stage.pool_status("gpu"), "Ready") == "False/TemplateRejected"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let tries = stage
        .cluster
        .writes()
        .iter()
        .filter(|write| write.contains("deployments"))
        .count();
    assert_eq!(tries, 1, "in three seconds");
    assert!(
        stage
            .cluster
            .events()
            .contains(&"TemplateRejected gpu".to_owned())
    );
    stage.cluster.refuse_deployments(None);
    stage.cluster.change("workerpools", "gpu", |pool| {
        pool["spec"]["template"]["spec"]["containers"][0]["image"] = "better".into();
    });
    until("mended", || {
        condition(&stage.pool_status("gpu"), "Ready") == "True/Serving"
    })
    .await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_younger_of_two_pools_on_a_queue_is_refused() {
    let stage = Stage::set().await;
    stage.pool("old", scaling(4));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    stage.pool("young", scaling(4));
    let running = stage.start("a");
    until("the older one is served", || {
        condition(&stage.pool_status("old"), "Ready") == "True/Serving"
    })
    .await;
    until("the younger one is told", || {
        condition(&stage.pool_status("young"), "Ready") == "False/QueueTaken"
    })
    .await;
    assert!(stage.replicas("young").is_none());
    stage.cluster.delete("workerpools", "old");
    until("its turn has come", || {
        condition(&stage.pool_status("young"), "Ready") == "True/Serving"
    })
    .await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_pods_from_starting_is_lifted_into_a_condition() {
    let stage = Stage::set().await;
    stage.pool(
        "gpu",
        json!({ "policy": "Manual", "replicas": 1, "minReplicas": 0, "maxReplicas": 1 }),
    );
    let _fleet = Fleet::start(
        &stage.cluster,
        &stage.queue,
        "gpu",
        Duration::from_secs(600),
    );
    let running = stage.start("a");
    until("there is a pod", || {
        stage.cluster.get("pods", "gpu-0").is_some()
    })
    .await;
    for (status, expected) in [
        (
            json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: Insufficient nvidia.com/gpu" }] }),
            "False/Unschedulable",
        ),
        (
            json!({ "phase": "Pending", "containerStatuses": [{ "name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } } }] }),
            "False/ImagePullBackOff",
        ),
        (
            json!({ "phase": "Pending", "containerStatuses": [{ "name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "waiting": { "reason": "CreateContainerConfigError", "message": "secret \"x\" not found" } } }] }),
            "False/CreateContainerConfigError",
        ),
    ] {
        stage
            .cluster
            .change("pods", "gpu-0", |pod| pod["status"] = status);
        until(expected, || {
            condition(&stage.pool_status("gpu"), "CapacityAvailable") == expected
        })
        .await;
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_s_change_to_the_deployment_is_undone_once() {
    let stage = Stage::set().await;
    stage.pool("gpu", scaling(4));
    let running = stage.start("a");
    until("it is served", || {
        condition(&stage.pool_status("gpu"), "Ready") == "True/Serving"
    })
    .await;
    stage.cluster.change("deployments", "gpu", |deployment| {
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "other".into();
    });
    until("ours again", || {
        let deployment = stage.cluster.get("deployments", "gpu").unwrap();
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "wtt-worker"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let tries = stage
        .cluster
        .writes()
        .iter()
        .filter(|write| write.contains("deployments"))
        .count();
    assert!(tries <= 3, "{tries} writes");
    running.end().await;
}

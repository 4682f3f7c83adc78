//! From a claim to a stored result, and what becomes of attempts that fail.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use crate::network::{Network, finished, work_until_cancelled};
use crate::stage::{Stage, eventually};
use queue::{DrainTarget, TaskPayload, TaskStatus, WorkerId};
use worker::Failure;

const LEASE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_claimed_transcribed_and_stored() {
    let stage = Stage::set().await;
    let network = Network::new(|_, song, control| {
        assert_eq!(
            (
                song.model.as_str(),
                song.extension.as_deref(),
                song.max_seconds
            ),
            ("stub", Some("wav"), Some(600.0))
        );
        control.step("decode", 1, 2);
        std::thread::sleep(Duration::from_millis(200));
        Ok(finished())
    });
    let worker = stage.worker(stage.config(), &network);
    let id = stage.submit("task-1", LEASE).await;
    let shown = stage
        .until(&id, "shows its progress", |task| task.progress.is_some())
        .await;
    assert_eq!(shown.progress.unwrap().stage, "decode");
    stage
        .until(&id, "is completed", |task| {
            task.status == TaskStatus::Completed
        })
        .await;

    let stored = stage.api.stored();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].id, id.as_str());
    assert_eq!(stored[0].parts["midi"].0, "audio/midi");
    assert!(stored[0].parts["midi"].1.starts_with(b"MThd"));
    assert_eq!(
        stored[0].json("notes")["notes"].as_array().unwrap().len(),
        2
    );
    let report = stored[0].json("report");
    assert_eq!(
        ["audio_ms", "busy_ms", "device_ms"].map(|name| report[name].as_u64()),
        [Some(1250), Some(7), Some(5)]
    );
    assert_eq!(
        (report["model"].as_str(), report["model_digest"].as_str()),
        (Some("stub"), Some("digest"))
    );
    assert_eq!(report["warnings"][0], "a warning");
    worker.end().await;
    assert_eq!(stage.temporary_files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_slots_run_two_tasks_at_once() {
    let stage = Stage::set().await;
    let both = Arc::new(Barrier::new(2));
    let network = Network::new(move |_, _, _| {
        both.wait();
        Ok(finished())
    });
    let mut config = stage.config();
    config.slots = 2;
    let worker = stage.worker(config, &network);
    let ids = [
        stage.submit("one", LEASE).await,
        stage.submit("two", LEASE).await,
    ];
    for id in &ids {
        stage
            .until(id, "is completed", |task| {
                task.status == TaskStatus::Completed
            })
            .await;
    }
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_fails_at_once_with_its_code() {
    let stage = Stage::set().await;
    let network = Network::new(|_, _, _| {
        Err(Failure {
            code: "audio_undecodable".into(),
            kind: "decode".into(),
            message: "this is text".into(),
            retryable: false,
            poisons_device: false,
        })
    });
    let worker = stage.worker(stage.config(), &network);
    let id = stage.submit("text", LEASE).await;
    let task = stage
        .until(&id, "is failed", |task| task.status == TaskStatus::Failed)
        .await;
    let error = task.error.unwrap();
    assert_eq!(
        (
            error.code.as_str(),
            error.kind.as_str(),
            error.message.as_str()
        ),
        ("audio_undecodable", "decode", "this is text")
    );
    assert_eq!((task.attempt, network.begun()), (1, 1));
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_network_costs_one_attempt() {
    let stage = Stage::set().await;
    let network = Network::new(|number, _, _| {
        assert!(number > 0, "the first song panics, as the test wants it");
        Ok(finished())
    });
    let worker = stage.worker(stage.config(), &network);
    let id = stage.submit("panics", LEASE).await;
    let task = stage
        .until(&id, "is completed", |task| {
            task.status == TaskStatus::Completed
        })
        .await;
    assert_eq!((task.attempt, task.retries, task.crashes), (2, 1, 0));
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_may_pass_is_run_three_times_in_all() {
    let stage = Stage::set().await;
    let network = Network::new(|_, _, _| {
        Err(Failure {
            code: "x".into(),
            kind: "model".into(),
            message: "no".into(),
            retryable: true,
            poisons_device: false,
        })
    });
    let worker = stage.worker(stage.config(), &network);
    let id = stage.submit("fails", LEASE).await;
    let task = stage
        .until(&id, "is failed", |task| task.status == TaskStatus::Failed)
        .await;
    assert_eq!((task.attempt, network.begun()), (3, 3));
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_outage_delays_a_task_and_costs_it_nothing() {
    let stage = Stage::set().await;
    let network = Network::quick();
    stage.api.set_away(true);
    let worker = stage.worker(stage.config(), &network);
    let id = stage.submit("waits", LEASE).await;
    let refused = || stage.api.refused.load(Ordering::SeqCst);
    eventually("the download is tried again", async || refused() >= 3).await;
    assert_eq!(network.begun(), 0);
    stage.api.set_away(false);
    let task = stage
        .until(&id, "is completed", |task| {
            task.status == TaskStatus::Completed
        })
        .await;
    assert_eq!((task.attempt, task.retries), (1, 0));
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_that_is_not_the_announced_one_never_reaches_the_network() {
    let stage = Stage::set().await;
    let network = Network::quick();
    let worker = stage.worker(stage.config(), &network);
    stage
        .api
        .upload("damaged", b"audio of somebody else".to_vec());
    let payload = TaskPayload {
        bytes: 22,
        sha256: "00".repeat(32),
        model: "stub".into(),
        ..TaskPayload::default()
    };
    let id = stage.enqueue("damaged", LEASE, payload).await;
    let task = stage
        .until(&id, "is failed", |task| task.status == TaskStatus::Failed)
        .await;
    let error = task.error.unwrap();
    assert_eq!(
        (error.code.as_str(), error.kind.as_str(), task.attempt),
        ("audio_damaged", "storage", 3)
    );
    assert_eq!(network.begun(), 0);
    worker.end().await;
    assert_eq!(stage.temporary_files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_device_ends_the_worker_and_counts_as_a_crash() {
    let stage = Stage::set().await;
    let network = Network::new(|_, _, _| {
        Err(Failure {
            code: "internal".into(),
            kind: "model".into(),
            message: "CUDA error".into(),
            retryable: true,
            poisons_device: true,
        })
    });
    let worker = stage.worker(stage.config(), &network);
    let id = stage.submit("poisons", LEASE).await;
    let error = worker.outcome().await.unwrap_err();
    assert!(error.to_string().contains("CUDA error"), "{error}");
    let task = stage.snapshot(&id).await;
    assert_eq!(
        (task.status, task.crashes, task.retries, task.releases),
        (TaskStatus::Pending, 1, 0, 0)
    );
    assert!(stage.workers().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_flag_stops_claims_and_its_end_starts_them() {
    let stage = Stage::set().await;
    let network = Network::quick();
    let target = DrainTarget::Worker(WorkerId::parse("w-drained").unwrap());
    stage.queue.drain(&target, None).await.unwrap();
    let mut config = stage.config();
    config.worker_id = Some("w-drained".into());
    let worker = stage.worker(config, &network);
    let id = stage.submit("waits", LEASE).await;
    let state = async || {
        stage
            .queue
            .observe(&queue::QueueName::default())
            .await
            .unwrap()
            .workers
            .pop()
            .map(|seen| seen.state)
    };
    eventually("the worker says that it drains", async || {
        state().await.as_deref() == Some("draining")
    })
    .await;
    assert_eq!(
        (stage.snapshot(&id).await.status, network.begun()),
        (TaskStatus::Pending, 0)
    );
    stage.queue.undrain(&target, None).await.unwrap();
    stage
        .until(&id, "is completed", |task| {
            task.status == TaskStatus::Completed
        })
        .await;
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_of_a_pod_holds_for_a_worker_that_has_not_registered_yet() {
    let stage = Stage::set().await;
    let network = Network::quick();
    let pod = DrainTarget::Pod("uid-1".into());
    stage.queue.drain(&pod, None).await.unwrap();
    let id = stage.submit("waits", LEASE).await;
    let worker = stage.worker(stage.config(), &network);
    eventually("the worker says that it drains", async || {
        let seen = stage
            .queue
            .observe(&queue::QueueName::default())
            .await
            .unwrap();
        seen.workers.iter().any(|worker| worker.state == "draining")
    })
    .await;
    let task = stage.snapshot(&id).await;
    assert_eq!(
        (task.status, task.attempt, network.begun()),
        (TaskStatus::Pending, 0, 0)
    );
    stage.queue.undrain(&pod, None).await.unwrap();
    stage
        .until(&id, "is completed", |task| {
            task.status == TaskStatus::Completed
        })
        .await;
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_wakes_an_idle_worker_long_before_its_poll() {
    let stage = Stage::set().await;
    let network = Network::quick();
    let mut config = stage.config();
    config.timing.poll = Duration::from_secs(3600);
    let worker = stage.worker(config, &network);
    eventually("the worker is there", async || {
        !stage.workers().await.is_empty()
    })
    .await;
    for number in 0..3 {
        let id = stage.submit(&format!("hinted-{number}"), LEASE).await;
        stage
            .until(&id, "is completed", |task| {
                task.status == TaskStatus::Completed
            })
            .await;
    }
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_published_at_the_configured_pace_only() {
    let stage = Stage::set().await;
    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    let network = Network::new(move |_, _, control| {
        for step in 1..=200 {
            control.step("inference", step, 200);
            counted.store(step, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(5));
        }
        work_until_cancelled(control)
    });
    let mut config = stage.config();
    config.timing.progress = Duration::from_millis(500);
    let worker = stage.worker(config, &network);
    let id = stage.submit("steps", LEASE).await;
    eventually("the network is done with its steps", async || {
        steps.load(Ordering::SeqCst) == 200
    })
    .await;
    // `seq` counts every event of the task: enqueued, claimed, then its progress. About 1 s at 2 Hz is 2 or 3.
    let seq = stage.snapshot(&id).await.seq;
    assert!(
        (2 + 1..=2 + 6).contains(&seq),
        "200 steps in one second were published as {} events",
        seq - 2
    );
    worker.end().await;
}

//! Several songs at once in one worker: they are held, handed back and counted one by one, and what crashed before runs alone.

use std::process::Stdio;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use queue::{TaskId, TaskPayload, TaskStatus};
use sha2::{Digest, Sha256};
use worker::Failure;

use crate::network::{Network, cancelled, finished, work_until_cancelled};
use crate::recordings::{Process, tone, wtt_worker};
use crate::stage::{Stage, eventually};

const LEASE: Duration = Duration::from_secs(15);

async fn submit_all(stage: &Stage, names: &[&str]) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(stage.submit(name, LEASE).await);
    }
    ids
}

fn slots(stage: &Stage, slots: u32) -> worker::Config {
    worker::Config {
        slots,
        ..stage.config()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_held_task_is_renewed_and_all_are_handed_back_when_told_to_stop() {
    let stage = Stage::set().await;
    let network = Network::new(|_, _, control| work_until_cancelled(control));
    let mut config = slots(&stage, 3);
    config.drain_timeout = Duration::ZERO;
    let worker = stage.worker(config, &network);
    // Three renewals and more fit into the time that they are watched for.
    let short = Duration::from_millis(1500);
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(stage.submit(name, short).await);
    }
    eventually("all three run", async || network.begun() == 3).await;
    let watched = Instant::now();
    eventually("three leases have passed", async || {
        watched.elapsed() > short * 3
    })
    .await;
    for id in &ids {
        let task = stage.snapshot(id).await;
        assert_eq!((task.status, task.attempt), (TaskStatus::Processing, 1));
    }
    worker.stop.press();
    worker.outcome().await.unwrap();
    for id in &ids {
        let task = stage.snapshot(id).await;
        assert_eq!(
            (task.status, task.releases, task.crashes, task.retries),
            (TaskStatus::Pending, 1, 0, 0),
            "{id}"
        );
    }
    assert!(stage.api.stored().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_frees_its_slot_and_its_neighbour_goes_on() {
    let stage = Stage::set().await;
    let network = Network::new(|number, _, control| match number {
        0 => work_until_cancelled(control),
        _ => Ok(finished()),
    });
    let worker = stage.worker(slots(&stage, 2), &network);
    let long = stage.submit("long", LEASE).await;
    eventually("it runs", async || network.begun() == 1).await;
    let id = stage.submit("quick", LEASE).await;
    let done = |task: &queue::TaskSnapshot| task.status == TaskStatus::Completed;
    stage.until(&id, "is completed", done).await;
    let kind = queue::CancelKind::Cancelled;
    stage.queue.cancel(&long, kind, "not wanted").await.unwrap();
    let over = |task: &queue::TaskSnapshot| task.status == TaskStatus::Failed;
    stage.until(&long, "is cancelled", over).await;
    worker.end().await;
}

/// When a song ran in a network, by its order.
type Runs = Arc<Mutex<Vec<(usize, Instant, Instant)>>>;

#[tokio::test(flavor = "multi_thread")]
async fn after_a_sticky_error_each_held_task_counts_a_crash_and_runs_alone() {
    let stage = Stage::set().await;
    let together = Barrier::new(3);
    let breaks = Network::new(move |number, _, control| {
        together.wait();
        if number > 0 {
            return work_until_cancelled(control);
        }
        Err(Failure {
            message: "CUDA error: an illegal memory access was encountered".into(),
            poisons_device: true,
            ..cancelled()
        })
    });
    let worker = stage.worker(slots(&stage, 3), &breaks);
    let ids = submit_all(&stage, &["one", "two", "three"]).await;
    worker.outcome().await.unwrap_err();
    for id in &ids {
        let task = stage.snapshot(id).await;
        assert_eq!(
            (task.status, task.crashes, task.releases, task.retries),
            (TaskStatus::Pending, 1, 0, 0),
            "{id}"
        );
    }
    let fresh = submit_all(&stage, &["four", "five", "six", "seven"]).await;
    let runs = Runs::default();
    let seen = Arc::clone(&runs);
    let network = Network::new(move |number, _, _| {
        let begun = Instant::now();
        std::thread::sleep(Duration::from_millis(80));
        seen.lock().unwrap().push((number, begun, Instant::now()));
        Ok(finished())
    });
    let worker = stage.worker(slots(&stage, 3), &network);
    for id in ids.iter().chain(&fresh) {
        let task = stage
            .until(id, "is completed", |task| {
                task.status == TaskStatus::Completed
            })
            .await;
        assert!(task.crashes <= 1);
    }
    worker.end().await;
    // Alone go first, so the first three songs are those that were there before.
    let mut runs = runs.lock().unwrap().clone();
    runs.sort_by_key(|(number, ..)| *number);
    for (number, begun, ended) in &runs[..3] {
        let beside = runs
            .iter()
            .filter(|(other, from, to)| other != number && from < ended && begun < to);
        assert_eq!(beside.count(), 0, "song {number} had company: {runs:?}");
    }
    // And the others may share again: otherwise the test above says nothing.
    let shared = runs[3..].windows(2).any(|pair| pair[1].1 < pair[0].2);
    assert!(shared, "{runs:?}");
}

async fn submit_recording(stage: &Stage, id: &str, bytes: Vec<u8>) -> TaskId {
    let payload = TaskPayload {
        filename: "song.wav".into(),
        bytes: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(&bytes)),
        model: "basic-pitch".into(),
        max_seconds: 600,
        ..TaskPayload::default()
    };
    stage.api.upload(id, bytes);
    stage.enqueue(id, LEASE, payload).await
}

/// The process as it runs, its device broken on purpose, then a healthy one.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_device_breaks_ends_with_a_failure_and_the_next_one_does_its_work() {
    let stage = Stage::set().await;
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(submit_recording(&stage, name, tone(9.0, 22_050, 1)).await);
    }
    let mut broken = Process(
        wtt_worker(&stage, 3)
            .args(["--inject-faults", "sticky@1"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    eventually("the process ends", async || {
        broken.0.try_wait().unwrap().is_some()
    })
    .await;
    assert!(!broken.0.wait().unwrap().success());
    let mut crashes = 0;
    for id in &ids {
        let task = stage.snapshot(id).await;
        assert_eq!(task.status, TaskStatus::Pending, "{id}");
        crashes += task.crashes;
    }
    // The others may not have been claimed yet when it broke.
    assert!(crashes >= 1);
    let _healthy = Process(wtt_worker(&stage, 3).stdin(Stdio::piped()).spawn().unwrap());
    for id in &ids {
        stage
            .until(id, "is completed", |task| {
                task.status == TaskStatus::Completed
            })
            .await;
    }
    let report = stage.api.stored()[0].json("report");
    assert!(report["device_ms"].as_u64() <= report["busy_ms"].as_u64().map(|busy| busy + 1));
    let provenance = &stage.api.stored()[0].json("notes")["provenance"];
    for (field, value) in [
        ("device", "cpu"),
        ("precision", "f32"),
        ("profile", "default"),
    ] {
        assert_eq!(provenance[field], value);
    }
    assert!(
        provenance["model"]["digest"]
            .as_str()
            .is_some_and(|digest| digest.starts_with("sha256:"))
    );
    assert_eq!(provenance["version"], env!("CARGO_PKG_VERSION"));
    // The MIDI file carries the same as a text.
    let midi = &stage.api.stored()[0].parts["midi"].1;
    let text = provenance["model"]["digest"].as_str().unwrap().as_bytes();
    assert!(midi.windows(text.len()).any(|window| window == text));
}

#[test]
fn a_precision_that_is_none_and_parity_in_another_than_float32_are_refused() {
    for (flags, word) in [
        (["--precision", "f16"].as_slice(), "bf16"),
        (["--precision", "tf32", "--parity"].as_slice(), "float32"),
        (["--inject-faults", "flood@1"].as_slice(), "oom@3"),
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_wtt-worker"))
            .args(flags)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(word), "{said}");
    }
}

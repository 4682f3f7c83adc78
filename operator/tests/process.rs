//! The process as a whole: what it says when it cannot begin, and what makes it end.

#![expect(clippy::unwrap_used, reason = "in a test a broken helper may panic")]

mod support;

use std::time::Duration;

use operator::Settings;
use serde_json::json;
use support::{Stage, condition, until};

/// The answer on the port of health and metrics, where there is one.
async fn ask(url: &str) -> Option<(u16, String)> {
    let answer = reqwest::get(url).await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

/// Waits for an answer of this status with these words in it.
async fn answered(url: &str, status: u16, words: &str) {
    let begun = std::time::Instant::now();
    loop {
        let answer = ask(url).await;
        if answer
            .as_ref()
            .is_some_and(|(is, text)| *is == status && text.contains(words))
        {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "{status} {words:?} expected, {answer:?} is the answer"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_definitions_it_says_the_command_and_goes_on_when_they_come() {
    let stage = Stage::set().await;
    stage.cluster.bare(true);
    let port = free_port();
    let running = stage.start_with(Settings {
        metrics_address: ([127, 0, 0, 1], port).into(),
        ..stage.settings("a")
    });
    let ready = format!("http://127.0.0.1:{port}/readyz");
    answered(
        &ready,
        503,
        "wtt-operator crd | kubectl apply --server-side -f -",
    )
    .await;
    let (alive, _) = ask(&format!("http://127.0.0.1:{port}/livez"))
        .await
        .unwrap();
    assert_eq!(alive, 200, "a restart would not install them");
    assert!(!running.task.is_finished());

    stage.cluster.bare(false);
    let uid = stage.job("take3", json!({ "source": { "url": "https://a.b/1" } }));
    answered(&ready, 200, "ok").await;
    until("the job is asked for", || stage.api.row(&uid).is_some()).await;

    // They are deleted while it runs, and installed again: what it knew is not taken for gone.
    stage.cluster.bare(true);
    answered(&ready, 503, "wtt-operator crd").await;
    stage.cluster.bare(false);
    answered(&ready, 200, "ok").await;
    assert_eq!(stage.api.row(&uid).unwrap()["state"], "queued");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_ends_ends_the_process_and_says_why() {
    let stage = Stage::set().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let running = stage.start_with(Settings {
        metrics_address: taken.local_addr().unwrap(),
        ..stage.settings("a")
    });
    let ended = tokio::time::timeout(Duration::from_secs(20), running.task)
        .await
        .unwrap()
        .unwrap();
    let words = ended.unwrap_err().to_string();
    assert!(
        words.contains("\"health\"") && words.contains("set --metrics-address"),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_measures_is_told_by_name() {
    let stage = Stage::set().await;
    stage.pool(
        "gpu",
        json!({ "policy": "Manual", "replicas": 1, "minReplicas": 0, "maxReplicas": 1 }),
    );
    let port = free_port();
    let running = stage.start_with(Settings {
        metrics_address: ([127, 0, 0, 1], port).into(),
        ..stage.settings("a")
    });
    until("the pool is served", || {
        condition(&stage.pool_status("gpu"), "QueueReachable") == "True/Readable"
    })
    .await;
    let metrics = format!("http://127.0.0.1:{port}/metrics");
    for name in [
        "wtt_queue_depth",
        "wtt_queue_in_flight",
        "wtt_queue_work_seconds",
        "wtt_queue_oldest_wait_seconds",
        "wtt_queue_readable",
        "wtt_pool_worker_seconds_total",
        "wtt_pool_desired_replicas",
        "wtt_pool_ready_replicas",
        "wtt_pool_busy_workers",
        "wtt_pool_draining_workers",
        "wtt_scale_decisions_total",
        "wtt_tick_lateness_seconds",
        "wtt_last_successful_tick_timestamp_seconds",
        "wtt_requeues_total",
        "wtt_dead_letters_total",
        "wtt_busy_kills_total",
        "wtt_reconcile_duration_seconds",
        "wtt_status_writes_total",
        "wtt_apiserver_requests_total",
        "wtt_is_leader",
    ] {
        answered(&metrics, 200, &format!("\n{name}")).await;
    }
    running.end().await;
}

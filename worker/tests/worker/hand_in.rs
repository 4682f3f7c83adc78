//! Handing a result in: slow, repeated and refused.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::network::Network;
use crate::stage::{Stage, eventually};
use axum::http::StatusCode;
use queue::TaskStatus;

const LEASE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_the_result_is_no_second_result() {
    let stage = Stage::set().await;
    let network = Network::quick();
    stage.api.lose_answers.store(1, Ordering::SeqCst);
    let worker = stage.worker(stage.config(), &network);
    let id = stage.submit("repeats", LEASE).await;
    stage
        .until(&id, "is completed", |task| {
            task.status == TaskStatus::Completed
        })
        .await;
    eventually("the worker is done with it", async || {
        let seen = stage
            .queue
            .observe(&queue::QueueName::default())
            .await
            .unwrap();
        seen.workers.iter().any(|worker| worker.state == "idle")
    })
    .await;
    worker.end().await;
    assert_eq!((stage.api.stored().len(), network.begun()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_in_may_take_longer_than_the_api_may_be_silent() {
    let stage = Stage::set().await;
    let network = Network::quick();
    *stage.api.slowness.lock().unwrap() = Duration::from_millis(1500);
    let mut config = stage.config();
    config.timing.api_silence = Duration::from_millis(300);
    let worker = stage.worker(config, &network);
    let id = stage.submit("slow", LEASE).await;
    stage
        .until(&id, "is completed", |task| {
            task.status == TaskStatus::Completed
        })
        .await;
    worker.end().await;
    assert_eq!(stage.api.hand_ins.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_the_api_refuses_for_good_fails_at_once() {
    for (status, code) in [
        (StatusCode::PAYLOAD_TOO_LARGE, "result_too_large"),
        (StatusCode::UNPROCESSABLE_ENTITY, "result_invalid"),
    ] {
        let stage = Stage::set().await;
        let network = Network::quick();
        *stage.api.refuse_results.lock().unwrap() = Some((status, code));
        let worker = stage.worker(stage.config(), &network);
        let id = stage.submit("refused", LEASE).await;
        let task = stage
            .until(&id, "is failed", |task| task.status == TaskStatus::Failed)
            .await;
        assert_eq!(task.error.unwrap().code, code);
        assert_eq!((task.attempt, network.begun()), (1, 1), "{status}");
        worker.end().await;
    }
}

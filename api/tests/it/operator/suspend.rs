//! Suspended jobs: no worker gets one, whenever it was suspended.

use queue::{ClaimAnswer, ClaimRequest, QueueName, WorkerId};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::files::Files;
use super::{ask, body, item, path, pending, start, submit, unreaped, wait_for};
use crate::app::{Database, TestApp, problem};
use crate::fake_worker::FakeWorker;
use crate::on_both;

on_both!(
    a_job_that_is_suspended_from_the_start_is_fetched_and_waits,
    a_waiting_job_is_parked_and_comes_back,
    a_running_job_parks_when_it_would_wait_again,
    the_reconciler_tells_the_queue_what_it_has_missed,
    suspended_jobs_reach_no_worker_whenever_it_happens,
);

async fn suspend(app: &TestApp, uid: &str, suspended: bool) -> Value {
    let request = ask(app, Method::PUT, &format!("{}/suspended", path(uid)));
    let answer = request
        .json(&json!({"suspended": suspended}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.unwrap()
}

async fn claimed(app: &TestApp) -> bool {
    let request = ClaimRequest {
        worker: WorkerId::parse("looker").unwrap(),
        queues: vec![QueueName::default()],
        nonce: ClaimRequest::nonce(),
        held: 0,
        slots: 1,
    };
    let answer = app.state.queue.claim(&request).await.unwrap();
    matches!(answer, ClaimAnswer::Claimed(_))
}

async fn a_job_that_is_suspended_from_the_start_is_fetched_and_waits(database: Database) {
    let (app, files) = (start(database).await, Files::start().await);
    let mut body = body(&files.url("/take.wav"));
    body["suspended"] = true.into();
    assert_eq!(submit(&app, "job-1", &body).await["suspended"], true);
    assert_eq!(wait_for(&app, "job-1", "queued").await["suspended"], true);
    api::loops::reconciler::heal_older_than(&app.state, 0)
        .await
        .unwrap();
    assert!(!claimed(&app).await);
    suspend(&app, "job-1", false).await;
    assert_eq!(FakeWorker::new(&app).claim().await.id.as_str(), "job-1");
}

async fn a_waiting_job_is_parked_and_comes_back(database: Database) {
    let (app, files) = (start(database).await, Files::start().await);
    submit(&app, "job-1", &body(&files.url("/take.wav"))).await;
    wait_for(&app, "job-1", "queued").await;
    for _ in 0..2 {
        let item = suspend(&app, "job-1", true).await;
        assert_eq!(
            (&item["state"], &item["suspended"]),
            (&"queued".into(), &true.into())
        );
        assert!(!claimed(&app).await);
    }
    assert_eq!(pending(&app).await, 0);
    for _ in 0..2 {
        assert_eq!(suspend(&app, "job-1", false).await["suspended"], false);
    }
    FakeWorker::new(&app).finish_one().await;
    wait_for(&app, "job-1", "succeeded").await;
    // What has ended cannot be suspended, and that is no mistake.
    assert_eq!(suspend(&app, "job-1", true).await["suspended"], false);
    let nobody = ask(&app, Method::PUT, &format!("{}/suspended", path("nobody")));
    let nobody = nobody
        .json(&json!({"suspended": true}))
        .send()
        .await
        .unwrap();
    problem(nobody, 404, "transcription_unknown").await;
}

async fn a_running_job_parks_when_it_would_wait_again(database: Database) {
    let (app, files) = (unreaped(database).await, Files::start().await);
    submit(&app, "job-1", &body(&files.url("/take.wav"))).await;
    let claim = FakeWorker::new(&app).claim().await;
    assert_eq!(suspend(&app, "job-1", true).await["state"], "running");
    app.state
        .queue
        .release(&claim.id, &claim.token)
        .await
        .unwrap();
    assert!(!claimed(&app).await);
    assert_eq!(item(&app, "job-1").await["state"], "queued");
    suspend(&app, "job-1", false).await;
    assert!(claimed(&app).await);
}

async fn the_reconciler_tells_the_queue_what_it_has_missed(database: Database) {
    let (app, files) = (start(database).await, Files::start().await);
    submit(&app, "job-1", &body(&files.url("/take.wav"))).await;
    wait_for(&app, "job-1", "queued").await;
    // The process died between the row and the queue.
    let now = api::state::now_ms();
    assert!(
        app.state
            .db
            .set_suspended("job-1", true, now)
            .await
            .unwrap()
    );
    api::loops::reconciler::heal_older_than(&app.state, 0)
        .await
        .unwrap();
    assert!(!claimed(&app).await);
    assert!(
        app.state
            .db
            .set_suspended("job-1", false, now)
            .await
            .unwrap()
    );
    api::loops::reconciler::heal_older_than(&app.state, 0)
        .await
        .unwrap();
    assert!(claimed(&app).await);
}

/// At any moment of the fetch: afterwards the queue holds nothing that may be claimed.
async fn suspended_jobs_reach_no_worker_whenever_it_happens(database: Database) {
    let (app, files) = (start(database).await, Files::start().await);
    let seed: u64 = rand::random();
    let mut uids = Vec::new();
    for at in 0..20_u64 {
        let uid = format!("job-{at}");
        submit(&app, &uid, &body(&files.url("/take.wav"))).await;
        let pause = (seed >> (at % 32)) % 30;
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        suspend(&app, &uid, true).await;
        uids.push(uid);
    }
    for uid in &uids {
        wait_for(&app, uid, "queued").await;
    }
    // The last fetch parks its task just after its row says `queued`.
    let deadline = tokio::time::Instant::now() + crate::app::PATIENCE;
    while pending(&app).await > 0 {
        assert!(tokio::time::Instant::now() < deadline, "seed {seed}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(!claimed(&app).await, "seed {seed}");
}

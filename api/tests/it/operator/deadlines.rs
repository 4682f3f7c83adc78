//! Deadlines of jobs: for the wait, whatever it waits for, and for the run, over all its attempts.

use queue::{Beat, LeaseState, WorkerAbout, WorkerId, WorkerState};
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use super::files::Files;
use super::{ask, body, failure, item, path, start, submit, unreaped, wait_for};
use crate::app::{Database, PATIENCE};
use crate::fake_worker::FakeWorker;
use crate::on_both;

on_both!(
    what_is_not_started_in_time_fails,
    what_runs_too_long_is_stopped,
    what_was_started_in_time_or_is_suspended_has_no_deadline_for_waiting,
);

async fn what_is_not_started_in_time_fails(database: Database) {
    let (app, files) = (start(database).await, Files::start().await);
    for (uid, file) in [("waiting", "/take.wav"), ("fetching", "/never.wav")] {
        let mut body = body(&files.url(file));
        body["limits"] = json!({"queueDeadlineSeconds": 1});
        submit(&app, uid, &body).await;
    }
    for uid in ["waiting", "fetching"] {
        let (code, message) = failure(&app, uid).await;
        assert_eq!(
            (&*code, &*message),
            ("queue_deadline", "it was not started in time")
        );
    }
    assert_eq!(super::pending(&app).await, 0);
}

async fn what_runs_too_long_is_stopped(database: Database) {
    let (app, files) = (unreaped(database).await, Files::start().await);
    let mut body = body(&files.url("/take.wav"));
    body["limits"] = json!({"activeDeadlineSeconds": 2});
    submit(&app, "job-1", &body).await;
    let worker = FakeWorker::new(&app);
    let claim = worker.claim().await;
    let beat = || Beat {
        worker: WorkerId::parse("fake-1").unwrap(),
        state: WorkerState::Busy,
        about: WorkerAbout::default(),
        held: vec![(claim.id.clone(), claim.token.clone())],
        ttl_ms: 30_000,
    };
    let started = Instant::now();
    loop {
        let answer = app.state.queue.heartbeat(&beat()).await.unwrap();
        match answer.leases[0] {
            LeaseState::Kept => {}
            LeaseState::CancelRequested => break,
            ref other => panic!("{other:?}"),
        }
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(
        started.elapsed().as_millis() > 1_000,
        "not at once: {:?}",
        started.elapsed()
    );
    app.state
        .queue
        .release(&claim.id, &claim.token)
        .await
        .unwrap();
    assert_eq!(failure(&app, "job-1").await.0, "deadline");
}

async fn what_was_started_in_time_or_is_suspended_has_no_deadline_for_waiting(database: Database) {
    let (app, files) = (start(database).await, Files::start().await);
    let mut body = body(&files.url("/take.wav"));
    body["limits"] = json!({"queueDeadlineSeconds": 2});
    submit(&app, "started", &body).await;
    let claim = FakeWorker::new(&app).claim().await;
    app.state
        .queue
        .release(&claim.id, &claim.token)
        .await
        .unwrap();
    submit(&app, "suspended", &body).await;
    let request = ask(
        &app,
        Method::PUT,
        &format!("{}/suspended", path("suspended")),
    );
    request
        .json(&json!({"suspended": true}))
        .send()
        .await
        .unwrap();
    // One that does fail, asked for last, tells that the time is over.
    submit(&app, "late", &body).await;
    assert_eq!(failure(&app, "late").await.0, "queue_deadline");
    assert_eq!(item(&app, "started").await["state"], "queued");
    assert_eq!(
        wait_for(&app, "suspended", "queued").await["suspended"],
        true
    );
    // Resumed, it has its whole time again, and no more.
    let request = ask(
        &app,
        Method::PUT,
        &format!("{}/suspended", path("suspended")),
    );
    request
        .json(&json!({"suspended": false}))
        .send()
        .await
        .unwrap();
    assert_eq!(item(&app, "suspended").await["state"], "queued");
    assert_eq!(failure(&app, "suspended").await.0, "queue_deadline");
}

//! Cancel, retry, delete, and how an unchanged job is polled cheaply.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::app::{Database, TestApp, job_path, problem};
use crate::fake_worker::FakeWorker;
use crate::on_both;

on_both!(
    a_waiting_job_is_cancelled_and_retried,
    a_running_job_is_asked_to_end,
    a_failed_job_shows_its_error_and_runs_again,
    deleting_takes_everything_and_answers_gone,
    an_unchanged_job_is_not_sent_again,
);

async fn a_waiting_job_is_cancelled_and_retried(database: Database) {
    let app = TestApp::start(database).await;
    let id = app.submit().await;
    problem(
        app.post(&format!("{}/retry", job_path(&id))).await,
        409,
        "not_retryable",
    )
    .await;
    let cancel = format!("{}/cancel", job_path(&id));
    let asked = app.post(&cancel).await;
    assert_eq!(asked.status(), StatusCode::ACCEPTED);
    // Its end may still be on the way into the row, but it never ran.
    assert_eq!(asked.json::<Value>().await.unwrap()["state"], "queued");
    app.wait_for(&id, "cancelled").await;
    let again = app.post(&cancel).await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(again.json::<Value>().await.unwrap()["state"], "cancelled");
    problem(
        app.get(&format!("{}/files/midi", job_path(&id))).await,
        409,
        "no_result",
    )
    .await;

    let retried = app.post(&format!("{}/retry", job_path(&id))).await;
    assert_eq!(retried.status(), StatusCode::ACCEPTED);
    assert_eq!(retried.json::<Value>().await.unwrap()["state"], "queued");
    let claim = FakeWorker::new(&app).finish_one().await;
    assert_eq!(claim.life, 2);
    let done = app.wait_for(&id, "succeeded").await;
    assert_eq!(done["retries"], 1);
    problem(app.post(&cancel).await, 409, "already_finished").await;
    problem(
        app.post(&format!("{}/retry", job_path(&id))).await,
        409,
        "not_retryable",
    )
    .await;
}

async fn a_running_job_is_asked_to_end(database: Database) {
    let app = TestApp::start(database).await;
    let id = app.submit().await;
    let worker = FakeWorker::new(&app);
    let claim = worker.claim().await;
    assert_eq!(
        app.post(&format!("{}/cancel", job_path(&id)))
            .await
            .status(),
        StatusCode::ACCEPTED
    );
    let asked = app.show(&id).await;
    assert_eq!(
        (&asked["state"], &asked["cancel_requested"]),
        (&"running".into(), &true.into()),
        "{asked}"
    );
    let error = queue::TaskError {
        code: "cancelled".into(),
        kind: "cancelled".into(),
        message: "cancelled".into(),
    };
    let (task, token) = (claim.id.clone(), claim.token.clone());
    let failure = queue::Failure {
        id: task,
        token,
        error,
        retryable: false,
        backoff_ms: 0,
    };
    app.state.queue.fail(&failure).await.unwrap();
    app.wait_for(&id, "cancelled").await;
}

async fn a_failed_job_shows_its_error_and_runs_again(database: Database) {
    let app = TestApp::start(database).await;
    let id = app.submit().await;
    let worker = FakeWorker::new(&app);
    worker.fail_one().await;
    let failed = app.wait_for(&id, "failed").await;
    assert_eq!(failed["error"]["code"], "audio_undecodable");
    assert_eq!(failed["error"]["detail"], "the stream is broken");
    problem(
        app.post(&format!("{}/cancel", job_path(&id))).await,
        409,
        "already_finished",
    )
    .await;

    // Two at once: one new life.
    let retry = format!("{}/retry", job_path(&id));
    let (one, other) = tokio::join!(app.post(&retry), app.post(&retry));
    let mut statuses = [one.status().as_u16(), other.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409]);
    let job = app.show(&id).await;
    assert_eq!(job["state"], "queued");
    assert!(
        job.get("error").is_none() && job.get("finished_at").is_none(),
        "{job}"
    );
    assert_eq!(worker.finish_one().await.life, 2);
    app.wait_for(&id, "succeeded").await;
}

async fn deleting_takes_everything_and_answers_gone(database: Database) {
    let app = TestApp::start(database).await;
    let worker = FakeWorker::new(&app);
    let done = app.submit().await;
    worker.finish_one().await;
    app.wait_for(&done, "succeeded").await;
    assert_eq!(app.stored_files(), 3);
    assert_eq!(
        app.delete(&job_path(&done)).await.status(),
        StatusCode::NO_CONTENT
    );
    app.wait_for_no_objects().await;
    for path in [job_path(&done), format!("{}/files/midi", job_path(&done))] {
        problem(app.get(&path).await, 410, "deleted").await;
    }
    problem(app.delete(&job_path(&done)).await, 410, "deleted").await;

    let waiting = app.submit().await;
    assert_eq!(
        app.delete(&job_path(&waiting)).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        app.state.queue.server_info().await.unwrap().queue_pending,
        0
    );

    let running = app.submit().await;
    let claim = worker.claim().await;
    assert_eq!(
        app.delete(&job_path(&running)).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_ne!(worker.hand_in(&claim).await.status(), StatusCode::OK);
    app.wait_for_no_objects().await;
    assert_eq!(app.rows().await, 0);
    problem(
        app.delete(&job_path("nobody")).await,
        404,
        "transcription_unknown",
    )
    .await;
}

async fn an_unchanged_job_is_not_sent_again(database: Database) {
    let app = TestApp::start(database).await;
    let id = app.submit().await;
    let first = app.get(&job_path(&id)).await;
    assert!(first.headers().contains_key("retry-after"));
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let ask = async |etag: &str| {
        let request = app
            .request(Method::GET, &job_path(&id))
            .header("if-none-match", etag);
        request.send().await.unwrap()
    };
    let second = ask(&etag).await;
    assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(second.headers()["etag"], etag.as_str());
    assert_eq!(second.text().await.unwrap(), "");
    FakeWorker::new(&app).finish_one().await;
    app.wait_for(&id, "succeeded").await;
    assert_eq!(ask(&etag).await.status(), StatusCode::OK);
}

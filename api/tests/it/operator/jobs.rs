//! A job's way from the request to its result, repeated requests, and its end by request.

use queue::{Priority, TaskStatus};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::files::Files;
use super::{
    ask, body, failure, get, item, path, pending, put, start, start_with, submit, unreaped,
    wait_for,
};
use crate::app::{Database, TestApp, job_path, problem};
use crate::fake_worker::FakeWorker;
use crate::on_both;

on_both!(
    a_job_is_fetched_run_and_told,
    a_repeated_request_changes_nothing_and_another_is_refused,
    many_at_once_make_one_job,
    priority_and_retries_are_the_jobs_own,
    a_job_ends_when_its_end_is_asked_for,
    a_deleted_row_is_gone_and_told,
    what_is_not_ready_is_said_so,
    more_jobs_than_may_wait_are_put_off,
);

async fn a_job_is_fetched_run_and_told(database: Database) {
    let (app, files) = (start(database).await, Files::start().await);
    let body = json!({
        "source": {"url": files.url("/take%203.wav?signature=secret")},
        "model": "basic-pitch",
        "options": {"onsetThresholdPercent": 40, "melodia": "false"},
        "queue": "default",
        "priority": 0,
        "limits": {"backoffLimit": 2, "queueDeadlineSeconds": 86400, "ttlSecondsAfterFinished": 600},
        "origin": "wtt/music",
    });
    let first = submit(&app, "job-1", &body).await;
    assert_eq!(
        (
            &first["state"],
            &first["suspended"],
            &first["model"],
            &first["queue"]
        ),
        (
            &"created".into(),
            &false.into(),
            &"basic-pitch".into(),
            &"default".into()
        )
    );
    let queued = wait_for(&app, "job-1", "queued").await;
    assert_eq!(
        (&queued["audio_ms"], &queued["sample_rate"]),
        (&1000.into(), &8000.into())
    );
    assert!(
        queued["seq"].as_u64() > first["seq"].as_u64(),
        "{first} {queued}"
    );

    // The same transcription as users see it, and nothing of the address.
    let shown = app.show("job-1").await;
    assert_eq!(
        (
            &shown["source"]["kind"],
            &shown["source"]["filename"],
            &shown["origin"]
        ),
        (&"url".into(), &"take 3.wav".into(), &"wtt/music".into())
    );
    assert_eq!(
        shown["options"],
        json!({"onset_threshold": 0.4, "melodia": false})
    );
    assert!(!shown.to_string().contains("secret"), "{shown}");

    let worker = FakeWorker::new(&app);
    let claim = worker.claim().await;
    assert_eq!(claim.id.as_str(), "job-1");
    worker.progress(&claim, 1, 4).await;
    let running = item(&app, "job-1").await;
    assert_eq!(
        (&running["state"], &running["attempt"]),
        (&"running".into(), &1.into())
    );
    assert_eq!(
        running["progress"],
        json!({"stage": "inference", "current": 1, "total": 4})
    );
    assert_eq!(
        worker.fetch(&claim).await.bytes().await.unwrap(),
        crate::audio_files::tone(1.0)
    );
    assert_eq!(worker.hand_in(&claim).await.status(), StatusCode::OK);
    let done = wait_for(&app, "job-1", "succeeded").await;
    assert_eq!(
        (&done["result"]["notes"], &done["audio_ms"]),
        (&3.into(), &1234.into())
    );
    assert!(done["finished_at_ms"].as_u64() >= done["started_at_ms"].as_u64());
    assert_eq!(files.asked(), 1);
}

async fn a_repeated_request_changes_nothing_and_another_is_refused(database: Database) {
    let (app, files) = (start(database).await, Files::start().await);
    let first = body(&files.url("/take.wav"));
    submit(&app, "job-1", &first).await;
    let before = wait_for(&app, "job-1", "queued").await;
    let again = put(&app, "job-1", &first).await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(again.json::<Value>().await.unwrap(), before);
    for (name, value) in [
        ("source", json!({"url": files.url("/long.wav")})),
        ("model", json!("basic-pitch")),
        ("options", json!({"melodia": true})),
        ("queue", json!("default")),
        ("priority", json!(1)),
        ("limits", json!({"backoffLimit": 3})),
    ] {
        let mut other = first.clone();
        other[name] = value;
        let refused = problem(put(&app, "job-1", &other).await, 409, "immutable_changed").await;
        let pointer = refused["errors"][0]["pointer"].as_str().unwrap();
        assert!(pointer.starts_with(&format!("/{name}")), "{refused}");
        assert!(!refused.to_string().contains("127.0.0.1"), "{refused}");
    }
    let mut elsewhere = first.clone();
    elsewhere["origin"] = "wtt/other".into();
    problem(put(&app, "job-1", &elsewhere).await, 409, "uid_taken").await;
    assert_eq!(item(&app, "job-1").await, before);
    // How long its result is kept may change.
    let mut longer = first.clone();
    longer["limits"] = json!({"ttlSecondsAfterFinished": 60});
    let changed: Value = put(&app, "job-1", &longer).await.json().await.unwrap();
    assert!(
        changed["seq"].as_u64() > before["seq"].as_u64(),
        "{changed}"
    );
    assert_eq!(
        (&before["ttl_seconds"], &changed["ttl_seconds"]),
        (&Value::Null, &json!(60))
    );
    // An upload is no job.
    let upload = app.submit().await;
    problem(put(&app, &upload, &first).await, 409, "uid_taken").await;
    problem(
        get(&app, &path(&upload)).await,
        404,
        "transcription_unknown",
    )
    .await;
    assert_eq!((files.asked(), pending(&app).await), (1, 2));
}

async fn many_at_once_make_one_job(database: Database) {
    let (app, files) = (start(database).await, Files::start().await);
    let body = body(&files.url("/take.wav"));
    let answers = futures::future::join_all((0..12).map(|_| put(&app, "job-1", &body))).await;
    let made = answers
        .iter()
        .filter(|answer| answer.status() == StatusCode::ACCEPTED);
    assert_eq!(made.count(), 1);
    assert!(answers.iter().all(|answer| answer.status().is_success()));
    wait_for(&app, "job-1", "queued").await;
    assert_eq!(
        (app.rows().await, pending(&app).await, files.asked()),
        (1, 1, 1)
    );
}

async fn priority_and_retries_are_the_jobs_own(database: Database) {
    let (app, files) = (start(database).await, Files::start().await);
    let mut low = body(&files.url("/take.wav"));
    low["priority"] = (-5).into();
    let mut high = low.clone();
    high["priority"] = 5.into();
    high["limits"] = json!({"backoffLimit": 0});
    for (uid, body) in [("low", &low), ("high", &high)] {
        submit(&app, uid, body).await;
        wait_for(&app, uid, "queued").await;
    }
    let observed = app
        .state
        .queue
        .observe(&queue::QueueName::default())
        .await
        .unwrap();
    assert_eq!(observed.parked, 0);
    let task = |row: &str| {
        let app = &app;
        let row = row.to_owned();
        async move { app.state.db.get(&row).await.unwrap().unwrap() }
    };
    assert_eq!(task("high").await.operated.unwrap().asked.backoff_limit, 0);
    let worker = FakeWorker::new(&app);
    let claim = worker.claim().await;
    assert_eq!(
        claim.id.as_str(),
        "high",
        "before what was asked for earlier: {:?}",
        Priority::High
    );
    // No second run was asked for.
    let error = queue::TaskError {
        code: "internal".to_owned(),
        kind: "internal".to_owned(),
        message: "by chance".to_owned(),
    };
    let failed = queue::Failure {
        id: claim.id.clone(),
        token: claim.token.clone(),
        error,
        retryable: true,
        backoff_ms: 0,
    };
    app.state.queue.fail(&failed).await.unwrap();
    assert_eq!(failure(&app, "high").await.0, "internal");
}

async fn delete(app: &TestApp, uid: &str, kind: &str) -> (StatusCode, Value) {
    let request = ask(app, Method::DELETE, &format!("{}?kind={kind}", path(uid)));
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn a_job_ends_when_its_end_is_asked_for(database: Database) {
    let (app, files) = (unreaped(database).await, Files::start().await);
    // While its source is being fetched.
    submit(&app, "fetching", &body(&files.url("/never.wav"))).await;
    let (status, item_) = delete(&app, "fetching", "cancelled").await;
    assert_eq!(
        (status, &item_["state"]),
        (StatusCode::ACCEPTED, &"cancelled".into())
    );
    assert_eq!(item_["error"]["code"], "cancelled");
    // While it waits.
    submit(&app, "waiting", &body(&files.url("/take.wav"))).await;
    wait_for(&app, "waiting", "queued").await;
    assert_eq!(
        delete(&app, "waiting", "queue_deadline").await.0,
        StatusCode::ACCEPTED
    );
    assert_eq!(failure(&app, "waiting").await.0, "queue_deadline");
    // While it runs: its worker has to let go of it.
    submit(&app, "running", &body(&files.url("/take.wav"))).await;
    let worker = FakeWorker::new(&app);
    let claim = worker.claim().await;
    for _ in 0..2 {
        let (status, item) = delete(&app, "running", "cancelled").await;
        assert_eq!(
            (status, &item["state"]),
            (StatusCode::ACCEPTED, &"running".into())
        );
    }
    app.state
        .queue
        .release(&claim.id, &claim.token)
        .await
        .unwrap();
    let ended = wait_for(&app, "running", "cancelled").await;
    assert_eq!(ended["error"]["kind"], "cancelled");
    // What has ended stays as it is, with its result.
    submit(&app, "done", &body(&files.url("/take.wav"))).await;
    worker.finish_one().await;
    let done = wait_for(&app, "done", "succeeded").await;
    assert_eq!(
        delete(&app, "done", "cancelled").await,
        (StatusCode::OK, done)
    );
    assert_eq!(
        app.get(&format!("{}/files/midi", job_path("done")))
            .await
            .status(),
        StatusCode::OK
    );
    let nothing = ask(&app, Method::DELETE, &path("nobody"))
        .send()
        .await
        .unwrap();
    problem(nothing, 404, "transcription_unknown").await;
    assert_eq!(pending(&app).await, 0);
}

async fn a_deleted_row_is_gone_and_told(database: Database) {
    let (app, files) = (start(database).await, Files::start().await);
    submit(&app, "waiting", &body(&files.url("/take.wav"))).await;
    let seq = wait_for(&app, "waiting", "queued").await["seq"]
        .as_u64()
        .unwrap();
    assert_eq!(
        app.delete(&job_path("waiting")).await.status(),
        StatusCode::NO_CONTENT
    );
    problem(get(&app, &path("waiting")).await, 410, "deleted").await;
    problem(
        put(&app, "waiting", &body(&files.url("/take.wav"))).await,
        410,
        "deleted",
    )
    .await;
    let feed = format!("/internal/v1/transcriptions?origin=wtt/music&after={seq}");
    let feed: Value = get(&app, &feed).await.json().await.unwrap();
    assert_eq!(feed["items"][0]["id"], "waiting");
    assert_eq!(feed["items"][0]["error"]["code"], "deleted");
    // A row that is deleted while its source comes in leaves nothing behind.
    submit(&app, "fetching", &body(&files.url("/never.wav"))).await;
    assert_eq!(
        app.delete(&job_path("fetching")).await.status(),
        StatusCode::NO_CONTENT
    );
    app.wait_for_no_objects().await;
    let left = app.state.db.list_leftovers(u64::MAX, 10).await.unwrap();
    assert_eq!(left, ["fetching"], "looked at once more");
}

async fn what_is_not_ready_is_said_so(database: Database) {
    let (app, files) = (start(database).await, Files::start().await);
    submit(&app, "job-1", &body(&files.url("/never.wav"))).await;
    let files = format!("{}/files", job_path("job-1"));
    for name in ["midi", "source"] {
        problem(app.get(&format!("{files}/{name}")).await, 409, "not_ready").await;
    }
    assert_eq!(app.show("job-1").await["source"]["stored"], false);
    // The first version's second step starts uploads only.
    let row = app.state.db.get("job-1").await.unwrap().unwrap();
    let form = [("audio_midi_id", row.seed_id.to_string())];
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let generate = app
        .request(Method::POST, "/transcribe/generate/")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    generate.send().await.unwrap();
    let snapshot = app
        .state
        .queue
        .snapshots(&[queue::TaskId::parse("job-1").unwrap()])
        .await
        .unwrap();
    assert!(
        snapshot[0]
            .as_ref()
            .is_none_or(|task| task.status != TaskStatus::Pending)
    );
    assert_eq!(item(&app, "job-1").await["state"], "created");
}

async fn more_jobs_than_may_wait_are_put_off(database: Database) {
    let app = start_with(database, &["--max-queue-depth=2"]).await;
    let files = Files::start().await;
    for uid in ["a", "b"] {
        submit(&app, uid, &body(&files.url("/take.wav"))).await;
    }
    problem(
        put(&app, "c", &body(&files.url("/take.wav"))).await,
        503,
        "queue_full",
    )
    .await;
    // A repeat is no new job.
    assert_eq!(
        put(&app, "a", &body(&files.url("/take.wav")))
            .await
            .status(),
        StatusCode::OK
    );
}

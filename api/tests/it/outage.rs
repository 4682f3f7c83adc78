//! Redis away, full, or back again; the service's own end.

use reqwest::StatusCode;
use serde_json::Value;

use crate::app::{Database, TestApp, audio_form, job_path, problem};
use crate::audio_files::tone;
use crate::fake_worker::FakeWorker;
use crate::on_both;

on_both!(
    without_redis_the_promise_is_kept_later,
    a_full_queue_refuses_and_leaves_nothing,
    a_redis_that_refuses_writes_leaves_nothing,
    open_event_streams_do_not_hold_up_the_end,
);

async fn without_redis_the_promise_is_kept_later(database: Database) {
    let mut app = TestApp::start_with(database, &["--reconcile-interval-ms=300"]).await;
    app.redis.stop();
    let response = app
        .upload(audio_form(tone(1.0), "a.wav"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let id = response.json::<Value>().await.unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(app.show(&id).await["state"], "queued");
    problem(
        app.post(&format!("{}/cancel", job_path(&id))).await,
        503,
        "queue_unavailable",
    )
    .await;
    problem(app.delete(&job_path(&id)).await, 503, "queue_unavailable").await;
    app.redis.start_again();
    FakeWorker::new(&app).finish_one().await;
    app.wait_for(&id, "succeeded").await;
}

async fn a_full_queue_refuses_and_leaves_nothing(database: Database) {
    let app = TestApp::start_with(database, &["--max-queue-depth=1"]).await;
    app.submit().await;
    let refused = app
        .upload(audio_form(tone(1.0), "a.wav"))
        .header("idempotency-key", "k")
        .send()
        .await
        .unwrap();
    problem(refused, 503, "queue_full").await;
    assert_eq!(app.rows().await, 1);
    assert_eq!(app.stored_files(), 1);
    FakeWorker::new(&app).finish_one().await;
    let again = app
        .upload(audio_form(tone(1.0), "a.wav"))
        .header("idempotency-key", "k")
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::ACCEPTED);
}

async fn a_redis_that_refuses_writes_leaves_nothing(database: Database) {
    let app = TestApp::start(database).await;
    app.submit().await;
    assert_eq!(config_set(&app, "1"), "OK");
    let refused = app
        .upload(audio_form(tone(1.0), "a.wav"))
        .send()
        .await
        .unwrap();
    problem(refused, 503, "queue_unavailable").await;
    assert_eq!(app.rows().await, 1);
    assert_eq!(app.stored_files(), 1);
    assert_eq!(config_set(&app, "0"), "OK");
    app.submit().await;
}

/// Sets `maxmemory`, by hand: this crate does not speak Redis.
fn config_set(app: &TestApp, bytes: &str) -> String {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(app.redis.socket()).unwrap();
    stream
        .write_all(format!("CONFIG SET maxmemory {bytes}\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    answer.trim().trim_start_matches('+').to_owned()
}

async fn open_event_streams_do_not_hold_up_the_end(database: Database) {
    let mut app = TestApp::start(database).await;
    let id = app.submit().await;
    let stream = app.get(&format!("{}/events", job_path(&id))).await;
    assert_eq!(stream.status(), StatusCode::OK);
    let started = std::time::Instant::now();
    app.stop().await.unwrap();
    assert!(
        started.elapsed().as_secs() < 5,
        "the end took {:?}",
        started.elapsed()
    );
}

//! Addresses of results: they open one file, for as long as the job is kept, without a key.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::files::Files;
use super::{body, start_with, submit, wait_for};
use crate::app::{Database, TestApp, problem};
use crate::fake_worker::{FakeWorker, midi};
use crate::on_both;

on_both!(
    a_signed_address_opens_one_file_without_a_key,
    an_address_ends_with_its_job,
    the_result_is_kept_as_long_as_its_address,
    replicas_agree_on_the_key,
);

async fn finished(app: &TestApp, uid: &str, ttl_seconds: u64) -> Value {
    let files = Files::start().await;
    let mut body = body(&files.url("/take.wav"));
    body["limits"] = json!({"ttlSecondsAfterFinished": ttl_seconds});
    submit(app, uid, &body).await;
    FakeWorker::new(app).finish_one().await;
    wait_for(app, uid, "succeeded").await
}

/// Without a key, as whoever was given the address.
async fn open(app: &TestApp, path: &str) -> reqwest::Response {
    app.client
        .get(format!("{}{path}", app.base))
        .send()
        .await
        .unwrap()
}

async fn a_signed_address_opens_one_file_without_a_key(database: Database) {
    let app = start_with(database, &["--api-key=a-key-of-some-length"]).await;
    let item = finished(&app, "job-1", 600).await;
    let url = item["result"]["url"].as_str().unwrap();
    let answer = open(&app, url).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "audio/midi");
    let sha256 = hex::encode(Sha256::digest(midi()));
    assert_eq!(answer.headers()["etag"], format!("\"{sha256}\""));
    assert_eq!(item["result"]["sha256"], sha256);
    assert_eq!(answer.bytes().await.unwrap(), midi());
    // The same address each time, so that nobody writes it anew.
    assert_eq!(super::item(&app, "job-1").await["result"]["url"], url);
    let head = app
        .client
        .head(format!("{}{url}", app.base))
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    // Of another file, another id, another time, and with another signature.
    let (path, signature) = url.split_once("&signature=").unwrap();
    let first = if signature.starts_with('0') { "1" } else { "0" };
    for wrong in [
        url.replace("/midi?", "/source?"),
        url.replace("/midi?", "/notes.json?"),
        url.replace("job-1", "job-2"),
        format!("{path}0&signature={signature}"),
        format!("{path}&signature={first}{}", &signature[1..]),
        format!("{path}&signature={}", &signature[..62]),
        format!("{path}&signature="),
        format!("{path}&signature={signature}00"),
    ] {
        problem(open(&app, &wrong).await, 403, "signature_invalid").await;
    }
    problem(open(&app, path).await, 422, "parameter_invalid").await;
    // Nothing of it is for a key: a key does not make up for a signature.
    let keyed = app.get(&format!("{path}&signature=00")).await;
    problem(keyed, 403, "signature_invalid").await;
    let deleted = app.delete("/api/v1/transcriptions/job-1").await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    problem(open(&app, url).await, 410, "deleted").await;
}

async fn an_address_ends_with_its_job(database: Database) {
    let app = start_with(database, &["--public-url=https://wtt.example.org/base/"]).await;
    let item = finished(&app, "job-1", 0).await;
    let url = item["result"]["url"].as_str().unwrap();
    let path = url.strip_prefix("https://wtt.example.org/base").unwrap();
    assert!(
        path.starts_with("/api/v1/results/job-1/midi?expires="),
        "{url}"
    );
    let deadline = tokio::time::Instant::now() + crate::app::PATIENCE;
    while open(&app, path).await.status() == StatusCode::OK {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    problem(open(&app, path).await, 403, "signature_expired").await;
}

async fn the_result_is_kept_as_long_as_its_address(database: Database) {
    let app = start_with(database, &["--retention-seconds=60"]).await;
    let item = finished(&app, "job-1", 600).await;
    let row = app.state.db.get("job-1").await.unwrap().unwrap();
    let finished_ms = item["finished_at_ms"].as_u64().unwrap();
    assert_eq!(row.expires_at_ms, Some(finished_ms + 600_000));
    // Others go when they always went.
    let upload = app.submit().await;
    FakeWorker::new(&app).finish_one().await;
    app.wait_for(&upload, "succeeded").await;
    let row = app.state.db.get(&upload).await.unwrap().unwrap();
    assert_eq!(row.expires_at_ms, row.finished_at_ms.map(|ms| ms + 60_000));
}

async fn replicas_agree_on_the_key(database: Database) {
    let app = super::start(database).await;
    let (one, other) = tokio::join!(
        app.state.db.setting("signing_key_of_the_test", "one"),
        app.state.db.setting("signing_key_of_the_test", "other"),
    );
    assert_eq!(one.unwrap(), other.unwrap());
    let stored = app
        .state
        .db
        .setting("signing_key", "nothing")
        .await
        .unwrap();
    assert_eq!(stored.len(), 64);
}

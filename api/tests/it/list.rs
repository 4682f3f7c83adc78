//! Listing: order, pages, states.

use reqwest::StatusCode;
use serde_json::Value;

use crate::app::{Database, TestApp, problem};
use crate::fake_worker::FakeWorker;
use crate::on_both;

on_both!(
    pages_follow_each_other_newest_first,
    states_are_told_apart,
    bad_parameters_are_named
);

async fn pages_follow_each_other_newest_first(database: Database) {
    let app = TestApp::start(database).await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(app.submit().await);
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut path = "/api/v1/transcriptions?limit=3".to_owned();
    loop {
        let response = app.get(&path).await;
        assert_eq!(response.status(), StatusCode::OK);
        let link = response
            .headers()
            .get("link")
            .map(|link| link.to_str().unwrap().to_owned());
        let page: Value = response.json().await.unwrap();
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= 3);
        seen.extend(
            data.iter()
                .map(|job| job["id"].as_str().unwrap().to_owned()),
        );
        let Some(link) = link else {
            assert_eq!(page["has_more"], false);
            break;
        };
        assert!(link.ends_with("; rel=\"next\"") && page["has_more"] == true);
        path = link[1..link.find('>').unwrap()].to_owned();
        // What is new appears at the front and disturbs no later page.
        app.submit().await;
    }
    assert_eq!(seen, ids);
}

async fn states_are_told_apart(database: Database) {
    let app = TestApp::start(database).await;
    let worker = FakeWorker::new(&app);
    let done = app.submit().await;
    worker.finish_one().await;
    app.wait_for(&done, "succeeded").await;
    let running = app.submit().await;
    worker.claim().await;
    let queued = app.submit().await;
    for (state, expected) in [
        ("succeeded", vec![&done]),
        ("running", vec![&running]),
        ("queued", vec![&queued]),
        ("failed", vec![]),
        ("created", vec![]),
    ] {
        let page: Value = app
            .get(&format!("/api/v1/transcriptions?state={state}"))
            .await
            .json()
            .await
            .unwrap();
        let ids: Vec<&str> = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expected, "{state}");
    }
}

async fn bad_parameters_are_named(database: Database) {
    let app = TestApp::start(database).await;
    for (query, status, code) in [
        ("limit=0", 422, "parameter_invalid"),
        ("limit=101", 422, "parameter_invalid"),
        ("limit=x", 422, "parameter_invalid"),
        ("state=done", 422, "parameter_invalid"),
        ("cursor=zzz", 400, "cursor_invalid"),
        // `1:` and a NUL.
        ("cursor=MToA", 400, "cursor_invalid"),
        ("colour=red", 422, "parameter_invalid"),
    ] {
        problem(
            app.get(&format!("/api/v1/transcriptions?{query}")).await,
            status,
            code,
        )
        .await;
    }
}

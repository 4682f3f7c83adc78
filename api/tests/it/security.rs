//! Keys, headers, and the addresses that need a key.

use reqwest::StatusCode;

use crate::app::{Database, TestApp, problem};
use crate::on_both;

const KEY: &str = "a-key-of-some-length";

on_both!(
    only_a_key_opens_the_api,
    every_answer_carries_the_same_headers
);

async fn only_a_key_opens_the_api(database: Database) {
    let app = TestApp::start_with(
        database,
        &["--api-key=a-key-of-some-length,another-key-altogether"],
    )
    .await;
    let url = |path: &str| format!("{}{path}", app.base);
    for path in [
        "/api/v1/transcriptions",
        "/api/v1/models",
        "/api/v1/transcriptions/x/events",
        "/transcribe/status/1/",
    ] {
        let bare = app.client.get(url(path)).send().await.unwrap();
        assert_eq!(bare.status(), StatusCode::UNAUTHORIZED, "{path}");
        if path.starts_with("/api") {
            assert!(bare.headers().contains_key("www-authenticate"));
            problem(bare, 401, "key_missing").await;
        }
    }
    let list = url("/api/v1/transcriptions");
    let wrong = app
        .client
        .get(&list)
        .bearer_auth("a-key-of-some-lengtH")
        .send()
        .await
        .unwrap();
    let shown = problem(wrong, 401, "key_invalid").await;
    assert!(!shown.to_string().contains("lengtH"));
    for request in [
        app.client.get(&list).bearer_auth(KEY),
        app.client.get(&list).header("x-api-key", KEY),
        app.client
            .get(&list)
            .header("x-api-key", "another-key-altogether"),
    ] {
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    }
    let query = app
        .client
        .get(format!("{list}?api_key={KEY}"))
        .send()
        .await
        .unwrap();
    problem(query, 401, "key_missing").await;
    for path in ["/", "/version", "/livez", "/readyz", "/startupz"] {
        assert_eq!(
            app.client.get(url(path)).send().await.unwrap().status(),
            StatusCode::OK,
            "{path}"
        );
    }
    // Workers show the token of a claim, not a key.
    let worker = app
        .client
        .get(url("/internal/v1/tasks/x/audio"))
        .send()
        .await
        .unwrap();
    problem(worker, 401, "token_missing").await;
}

async fn every_answer_carries_the_same_headers(database: Database) {
    let app = TestApp::start(database).await;
    for path in ["/", "/nowhere", "/api/v1/transcriptions", "/livez"] {
        let answer = app
            .client
            .get(format!("{}{path}", app.base))
            .header("x-request-id", "mine-1");
        let answer = answer
            .header("origin", "https://example.org")
            .send()
            .await
            .unwrap();
        let headers = answer.headers();
        assert_eq!(headers["x-request-id"], "mine-1");
        for name in [
            "x-content-type-options",
            "referrer-policy",
            "content-security-policy",
            "cache-control",
        ] {
            assert!(headers.contains_key(name), "{path}: {name}");
        }
        assert!(!headers.contains_key("access-control-allow-origin"));
    }
    let insane = "x".repeat(300);
    let answer = app
        .client
        .get(&app.base)
        .header("x-request-id", &insane)
        .send()
        .await
        .unwrap();
    assert_ne!(answer.headers()["x-request-id"], insane.as_str());
}

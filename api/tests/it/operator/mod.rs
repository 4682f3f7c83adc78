//! What an operator asks of the service: jobs by their uid, sources fetched in the background, the feed of changes, deadlines,
//! and addresses of results. The operator is played by requests, its file server by `files`.

mod deadlines;
mod feed;
mod files;
mod jobs;
mod keys;
mod signed;
mod sources;
mod suspend;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::{Database, PATIENCE, TestApp};

pub(crate) const OPERATOR: &str = "operator-key-of-the-tests";
pub(crate) const ORIGIN: &str = "wtt/music";

/// A service with an operator, which may fetch from this machine.
pub(crate) async fn start(database: Database) -> TestApp {
    start_with(database, &[]).await
}

/// One where a claim lasts, however busy the machine is.
pub(crate) async fn unreaped(database: Database) -> TestApp {
    start_with(database, &["--reap=false"]).await
}

pub(crate) async fn start_with(database: Database, flags: &[&str]) -> TestApp {
    let key = format!("--operator-key={OPERATOR}");
    let mut all = vec![
        key.as_str(),
        "--allow-source-cidr=127.0.0.1/32",
        "--fetch-interval-ms=100",
        "--deadline-interval-ms=100",
    ];
    all.extend(flags);
    TestApp::start_with(database, &all).await
}

pub(crate) fn path(uid: &str) -> String {
    format!("/internal/v1/transcriptions/{uid}")
}

pub(crate) fn ask(app: &TestApp, method: Method, path: &str) -> RequestBuilder {
    let request = app.client.request(method, format!("{}{path}", app.base));
    request.bearer_auth(OPERATOR)
}

pub(crate) fn body(url: &str) -> Value {
    json!({"source": {"url": url}, "origin": ORIGIN})
}

pub(crate) async fn put(app: &TestApp, uid: &str, body: &Value) -> Response {
    let request = ask(app, Method::PUT, &path(uid)).json(body);
    request.send().await.unwrap()
}

/// PUTs a job that must be taken, and returns its item.
pub(crate) async fn submit(app: &TestApp, uid: &str, body: &Value) -> Value {
    let answer = put(app, uid, body).await;
    let status = answer.status();
    let item: Value = answer.json().await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED, "{item}");
    item
}

pub(crate) async fn get(app: &TestApp, path: &str) -> Response {
    ask(app, Method::GET, path).send().await.unwrap()
}

pub(crate) async fn item(app: &TestApp, uid: &str) -> Value {
    let answer = get(app, &path(uid)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.unwrap()
}

pub(crate) async fn wait_for(app: &TestApp, uid: &str, state: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let item = item(app, uid).await;
        if item["state"] == state {
            return item;
        }
        assert!(Instant::now() < deadline, "waited for {state}: {item}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Waits for the failed row and returns the code of its error.
pub(crate) async fn failure(app: &TestApp, uid: &str) -> (String, String) {
    let item = wait_for(app, uid, "failed").await;
    let text = |name: &str| item["error"][name].as_str().unwrap().to_owned();
    (text("code"), text("message"))
}

pub(crate) async fn pending(app: &TestApp) -> u64 {
    app.state.queue.server_info().await.unwrap().queue_pending
}

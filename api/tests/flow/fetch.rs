//! Sources that were being fetched when the service ended: the row remembers, and the next process fetches them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::common::{Ground, Kind, TestApp, wait_for, wav};

const FLAGS: [&str; 3] = [
    "--operator-key=operator-key-of-the-tests",
    "--allow-source-cidr=127.0.0.1/32",
    "--fetch-interval-ms=100",
];

#[derive(Clone, Default)]
struct Files {
    /// Until then every request hangs.
    open: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Files {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/take.wav", listener.local_addr().unwrap());
        let routes = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        url
    }
}

async fn answer(State(files): State<Files>) -> Response {
    files.asked.fetch_add(1, Ordering::SeqCst);
    if !files.open.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    wav(1.0, 440.0).into_response()
}

async fn put(app: &TestApp, url: &str) -> u16 {
    let body = json!({"source": {"url": url}, "origin": "wtt/music"});
    let request = app.http.put(app.url("/internal/v1/transcriptions/job-1"));
    let request = request.bearer_auth("operator-key-of-the-tests").json(&body);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_a_restart_interrupts_is_begun_again() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (ground, files) = (Ground::new(kind), Files::default());
        let url = files.start().await;
        let app = ground.serve(&FLAGS).await;
        assert_eq!(put(&app, &url).await, 202);
        wait_for("the source to be asked for", async || {
            (files.asked.load(Ordering::SeqCst) == 1).then_some(())
        })
        .await;
        app.stop().await;
        files.open.store(true, Ordering::SeqCst);
        let app = ground.serve(&FLAGS).await;
        app.reach("job-1", "queued").await;
        assert_eq!(
            (put(&app, &url).await, files.asked.load(Ordering::SeqCst)),
            (200, 2)
        );
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_fetch_a_source_once() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (ground, files) = (Ground::new(kind), Files::default());
        files.open.store(true, Ordering::SeqCst);
        let url = files.start().await;
        let (one, other) = (ground.serve(&FLAGS).await, ground.serve(&FLAGS).await);
        assert_eq!(put(&one, &url).await, 202);
        assert_eq!(put(&other, &url).await, 200);
        other.reach("job-1", "queued").await;
        assert_eq!(files.asked.load(Ordering::SeqCst), 1);
        // The row says so just before the queue has it.
        wait_for("one task", async || {
            let tasks = one.state.queue.server_info().await.unwrap();
            (tasks.queue_pending == 1).then_some(())
        })
        .await;
        one.stop().await;
        other.stop().await;
    }
}

//! `wtt watch`: the event stream, its breaks and its ends.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::server::{Server, job, problem};

/// A transcription whose stream breaks in the middle of an event, is refused once, and then goes on.
#[derive(Default)]
struct Story {
    asked: Vec<Option<String>>,
    ended: bool,
}

type Shared = Arc<Mutex<Story>>;

fn event(id: &str, name: &str, data: &serde_json::Value) -> String {
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
}

fn stream(text: String, breaks: bool) -> Response {
    let body = async_stream::stream! {
        yield Ok(text);
        if breaks {
            // Lets the text go out first: a body that fails at once takes back what it has said.
            tokio::task::yield_now().await;
            yield Err(std::io::Error::other("cable cut"));
        }
    };
    (
        [(header::CONTENT_TYPE, "text/event-stream")],
        Body::from_stream(body),
    )
        .into_response()
}

async fn events(State(story): State<Shared>, headers: HeaderMap) -> Response {
    let last = headers
        .get("last-event-id")
        .map(|value| value.to_str().unwrap().to_owned());
    let mut story = story.lock().unwrap();
    story.asked.push(last);
    let progress = |current: u64| json!({"stage": "inference", "current": current, "total": 90});
    match story.asked.len() {
        1 => stream(
            [
                ": keep-alive\n\n".to_owned(),
                event("1.1", "snapshot", &job("abc", "queued")),
                event("1.2", "progress", &progress(30)),
                "id: 1.3\nevent: progress\ndata: {\"stage\":\"infer".to_owned(),
            ]
            .concat(),
            true,
        ),
        2 => problem(
            503,
            "shutting_down",
            "The server is shutting down",
            "come back",
        ),
        _ => {
            story.ended = true;
            stream(
                event("1.3", "progress", &progress(60))
                    + &event("1.4", "completed", &job("abc", "succeeded")),
                false,
            )
        }
    }
}

async fn resource(State(story): State<Shared>) -> Json<serde_json::Value> {
    let state = if story.lock().unwrap().ended {
        "succeeded"
    } else {
        "queued"
    };
    Json(job("abc", state))
}

#[test]
fn a_broken_stream_is_taken_up_where_it_broke() {
    let story = Shared::default();
    let router = Router::new()
        .route("/api/v1/transcriptions/abc", get(resource))
        .route("/api/v1/transcriptions/abc/events", get(events))
        .with_state(story.clone());
    let output = Server::start(router).wtt(&["watch", "abc"]).expect_code(0);
    let asked = story.lock().unwrap().asked.clone();
    // The half event must not count as seen, and the refused try must not lose the place.
    assert_eq!(
        asked,
        [None, Some("1.2".to_owned()), Some("1.2".to_owned())]
    );
    for line in [
        "abc: queued",
        "abc: inference 33 %",
        "abc: inference 66 %",
        "abc: succeeded",
    ] {
        assert!(
            output.stdout.lines().any(|said| said == line),
            "{line} is missing in\n{}",
            output.stdout
        );
    }
    assert!(
        output.stdout.ends_with("abc: succeeded\n"),
        "{}",
        output.stdout
    );
}

/// A server that knows one transcription in its final state, and says nothing more about it.
fn finished(body: serde_json::Value) -> Server {
    let router = Router::new()
        .route(
            "/api/v1/transcriptions/abc",
            get(async move || Json(body.clone())),
        )
        .route(
            "/api/v1/transcriptions/abc/events",
            get(async || StatusCode::NO_CONTENT),
        );
    Server::start(router)
}

#[test]
fn the_exit_code_is_the_outcome() {
    finished(job("abc", "succeeded"))
        .wtt(&["watch", "abc"])
        .expect_code(0);
    for state in ["cancelled", "expired"] {
        let output = finished(job("abc", state))
            .wtt(&["watch", "abc"])
            .expect_code(1);
        assert_eq!(output.stdout, format!("abc: {state}\n"));
    }
    let mut failed = job("abc", "failed");
    failed["error"] =
        json!({"code": "internal", "kind": "internal", "message": "the network broke"});
    let output = finished(failed).wtt(&["watch", "abc"]).expect_code(1);
    assert_eq!(output.stdout, "abc: failed: the network broke (internal)\n");
}

#[test]
fn a_stream_that_says_nothing_is_no_reason_to_give_up() {
    let asked = Arc::new(Mutex::new(0));
    let resource = get(async |State(asked): State<Arc<Mutex<u32>>>| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        Json(job("abc", if *asked > 2 { "succeeded" } else { "running" }))
    });
    let empty =
        get(async || Body::from_stream(futures::stream::empty::<Result<&str, Infallible>>()));
    let router = Router::new()
        .route("/api/v1/transcriptions/abc", resource)
        .route("/api/v1/transcriptions/abc/events", empty)
        .with_state(asked);
    Server::start(router).wtt(&["watch", "abc"]).expect_code(0);
}

#[test]
fn an_unknown_id_is_said_at_once() {
    let unknown = get(async || {
        problem(
            404,
            "transcription_unknown",
            "No such transcription",
            "there is no nope",
        )
    });
    let router = Router::new().route("/api/v1/transcriptions/{id}", unknown);
    let output = Server::start(router).wtt(&["watch", "nope"]).expect_code(1);
    let expected = "wtt: No such transcription: there is no nope (transcription_unknown)\n\
        hint: `wtt list` shows what the server has\n";
    assert_eq!(output.stderr, expected);
}

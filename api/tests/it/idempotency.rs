//! Idempotency-Key: replay, refusal, a running first request, a failed one.

use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Response, StatusCode};
use serde_json::Value;

use crate::app::{Database, TestApp, audio_form, problem};
use crate::audio_files::{text, tone};
use crate::on_both;

on_both!(
    a_repeated_request_gets_the_first_answer,
    a_running_request_holds_its_key,
    a_key_whose_server_died_is_free_soon,
    a_request_that_was_taken_over_comes_to_nothing,
    a_refused_request_gives_its_key_back
);

async fn send(app: &TestApp, key: &str, form: Form) -> Response {
    app.upload(form)
        .header("idempotency-key", key)
        .send()
        .await
        .unwrap()
}

async fn a_repeated_request_gets_the_first_answer(database: Database) {
    let app = TestApp::start(database).await;
    let form = || audio_form(tone(1.0), "a.wav");
    let first = send(&app, "one", form()).await;
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    let location = first.headers()["location"].clone();
    let first: Value = first.json().await.unwrap();
    let again = send(&app, "\"one\"", form()).await;
    assert_eq!(again.status(), StatusCode::ACCEPTED);
    assert_eq!(again.headers()["location"], location);
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    assert_eq!(app.rows().await, 1);
    assert_eq!(app.stored_files(), 1);

    problem(
        send(&app, "one", audio_form(tone(2.0), "a.wav")).await,
        422,
        "idempotency_key_reused",
    )
    .await;
    let other_options = form().text("options", r#"{"options": {"melodia": false}}"#);
    problem(
        send(&app, "one", other_options).await,
        422,
        "idempotency_key_reused",
    )
    .await;
    assert_eq!(
        send(&app, "two", form()).await.status(),
        StatusCode::ACCEPTED
    );
    assert_eq!(app.rows().await, 2);
    problem(
        send(&app, &"x".repeat(256), form()).await,
        400,
        "idempotency_key_invalid",
    )
    .await;
}

async fn a_running_request_holds_its_key(database: Database) {
    let app = TestApp::start(database).await;
    let (chunks, body) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let body = Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(body));
    let slow = Form::new().part("audio", Part::stream(body).file_name("a.wav"));
    let slow = tokio::spawn(app.upload(slow).header("idempotency-key", "one").send());
    let whole = tone(1.0);
    chunks
        .send(Ok(whole[..1000].to_vec().into()))
        .await
        .unwrap();
    // Until the server has taken the key the others would race with the first for it.
    let deadline = tokio::time::Instant::now() + crate::app::PATIENCE;
    while app.stored_files() == 0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the first request never got through"
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    problem(
        send(&app, "one", audio_form(tone(1.0), "a.wav")).await,
        409,
        "idempotency_in_progress",
    )
    .await;
    chunks
        .send(Ok(whole[1000..].to_vec().into()))
        .await
        .unwrap();
    drop(chunks);
    assert_eq!(slow.await.unwrap().unwrap().status(), StatusCode::ACCEPTED);
    let again = send(&app, "one", audio_form(tone(1.0), "a.wav")).await;
    assert_eq!(again.status(), StatusCode::ACCEPTED);
    assert_eq!(app.rows().await, 1);
}

fn ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis() as u64
}

/// A slow upload with the key `one`, which the server has taken when this returns.
async fn slow_upload(
    app: &TestApp,
) -> (
    tokio::task::JoinHandle<reqwest::Result<Response>>,
    tokio::sync::mpsc::Sender<Result<Bytes, std::io::Error>>,
) {
    let (chunks, body) = tokio::sync::mpsc::channel(1);
    let body = Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(body));
    let slow = Form::new().part("audio", Part::stream(body).file_name("a.wav"));
    let slow = tokio::spawn(app.upload(slow).header("idempotency-key", "one").send());
    chunks
        .send(Ok(tone(1.0)[..1000].to_vec().into()))
        .await
        .unwrap();
    let deadline = tokio::time::Instant::now() + crate::app::PATIENCE;
    while app.stored_files() == 0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    (slow, chunks)
}

/// As a server leaves it that was killed in the middle of an upload, 21 s ago; and, for contrast, one that still runs.
async fn a_key_whose_server_died_is_free_soon(database: Database) {
    let app = TestApp::start(database).await;
    let db = &app.state.db;
    let long_ago = ms() - 21_000;
    let taken = db
        .take_key("anonymous", "dead", long_ago, 0, 0)
        .await
        .unwrap();
    assert_eq!(taken, api::db::Remembered::Ours);
    let answer = send(&app, "dead", audio_form(tone(1.0), "a.wav")).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);

    // A running one says so every 5 s, which only time can show: whoever takes it for dead without a word since `begun` is wrong.
    let (slow, chunks) = slow_upload(&app).await;
    let begun = ms();
    tokio::time::sleep(std::time::Duration::from_secs(9)).await;
    let taken = db.take_key("anonymous", "one", ms(), begun, 0).await;
    assert_eq!(taken.unwrap(), api::db::Remembered::Running);
    chunks
        .send(Ok(tone(1.0)[1000..].to_vec().into()))
        .await
        .unwrap();
    drop(chunks);
    assert_eq!(slow.await.unwrap().unwrap().status(), StatusCode::ACCEPTED);
}

async fn a_request_that_was_taken_over_comes_to_nothing(database: Database) {
    let app = TestApp::start(database).await;
    let (slow, chunks) = slow_upload(&app).await;
    // Another server believes the first one dead, and answers the same request.
    let future = ms() + 60_000;
    let db = &app.state.db;
    let taken = db.take_key("anonymous", "one", 1, future, 0).await.unwrap();
    assert_eq!(taken, api::db::Remembered::Ours);
    let other = send(&app, "one", audio_form(tone(1.0), "a.wav")).await;
    assert_eq!(other.status(), StatusCode::ACCEPTED);
    chunks
        .send(Ok(tone(1.0)[1000..].to_vec().into()))
        .await
        .unwrap();
    drop(chunks);
    let late = slow.await.unwrap().unwrap();
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(app.rows().await, 1);
    let again = send(&app, "one", audio_form(tone(1.0), "a.wav")).await;
    assert_eq!(again.headers()["idempotent-replayed"], "true");
}

async fn a_refused_request_gives_its_key_back(database: Database) {
    let app = TestApp::start(database).await;
    problem(
        send(&app, "one", audio_form(text(), "a.mp3")).await,
        415,
        "audio_undecodable",
    )
    .await;
    let deadline = tokio::time::Instant::now() + crate::app::PATIENCE;
    loop {
        let again = send(&app, "one", audio_form(tone(1.0), "a.wav")).await;
        if again.status() == StatusCode::ACCEPTED {
            break;
        }
        // The key is given back just after the answer.
        problem(again, 409, "idempotency_in_progress").await;
        assert!(tokio::time::Instant::now() < deadline);
    }
    assert_eq!(app.rows().await, 1);
}

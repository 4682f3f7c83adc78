//! Creating: the happy path, what the answer holds, and what an upload may leave behind (nothing).

use std::time::Duration;

use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{Database, TestApp, audio_form, job_path, problem};
use crate::audio_files::{fast, text, tone};
use crate::fake_worker::FakeWorker;
use crate::on_both;

on_both!(
    a_recording_goes_in_and_its_notes_come_out,
    every_bad_upload_has_its_code_and_leaves_nothing,
    a_client_that_hangs_up_leaves_nothing,
    prefer_wait_answers_with_the_finished_job,
    options_and_labels_are_kept,
);

async fn a_recording_goes_in_and_its_notes_come_out(database: Database) {
    let app = TestApp::start(database).await;
    let response = app
        .upload(audio_form(tone(1.0), "take 3.wav"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    assert!(response.headers().contains_key("retry-after"));
    let job: Value = response.json().await.unwrap();
    let id = job["id"].as_str().unwrap();
    assert_eq!(location, job_path(id));
    assert_eq!(job["state"], "queued");
    assert_eq!(job["source"]["filename"], "take 3.wav");
    assert_eq!(job["source"]["media_type"], "audio/wav");
    assert_eq!(job["source"]["duration_seconds"], 1.0);
    assert_eq!(job["source"]["sample_rate"], 8000);
    assert_eq!(job["source"]["bytes"], tone(1.0).len());
    assert!(
        job.get("outputs").is_none() && job.get("error").is_none() && job.get("progress").is_none()
    );

    let worker = FakeWorker::new(&app);
    let claim = worker.claim().await;
    assert_eq!(claim.id.as_str(), id);
    assert_eq!(claim.audio_ms, 1000);
    worker.progress(&claim, 3, 12).await;
    let running = app.show(id).await;
    assert_eq!(running["state"], "running");
    assert_eq!(running["progress"]["fraction"], 0.25);
    assert_eq!(running["attempt"], 1);
    assert_eq!(running["worker"], "fake-1");
    let recording = worker.fetch(&claim).await.bytes().await.unwrap();
    assert!(recording == tone(1.0));
    assert_eq!(worker.hand_in(&claim).await.status(), StatusCode::OK);

    let done = app.wait_for(id, "succeeded").await;
    assert_eq!(done["notes"], 3);
    assert_eq!(done["source"]["duration_seconds"], 1.234);
    assert_eq!(done["warnings"], json!(["quiet"]));
    assert!(done["finished_at"].is_string() && done["expires_at"].is_string());
    assert_eq!(done["provenance"]["device"], "cpu");
    let midi = app
        .get(done["outputs"]["midi"]["href"].as_str().unwrap())
        .await;
    assert_eq!(midi.headers()["content-type"], "audio/midi");
    assert!(midi.bytes().await.unwrap() == crate::fake_worker::midi());
}

async fn every_bad_upload_has_its_code_and_leaves_nothing(database: Database) {
    let app = TestApp::start_with(
        database,
        &["--max-upload-bytes=100000", "--max-decoded-seconds=5"],
    )
    .await;
    let wav = || tone(0.5);
    let options = |text: &str| audio_form(wav(), "a.wav").text("options", text.to_owned());
    let mut many_labels = serde_json::Map::new();
    (0..17).for_each(|n| drop(many_labels.insert(n.to_string(), json!("x"))));
    let cases: Vec<(Form, u16, &str)> = vec![
        (audio_form(text(), "a.mp3"), 415, "audio_undecodable"),
        (audio_form(Vec::new(), "a.wav"), 422, "audio_empty"),
        (audio_form(tone(0.0), "a.wav"), 422, "audio_empty"),
        (audio_form(fast(), "a.wav"), 422, "audio_limits"),
        (
            audio_form(vec![0; 100_001], "a.wav"),
            413,
            "upload_too_large",
        ),
        (
            audio_form(vec![0; 3_000_000], "a.wav"),
            413,
            "upload_too_large",
        ),
        (
            audio_form(vec![0; 30_000_000], "a.wav"),
            413,
            "upload_too_large",
        ),
        (audio_form(tone(6.0), "a.wav"), 422, "audio_too_long"),
        (Form::new(), 400, "multipart_malformed"),
        (Form::new().text("options", "{}"), 400, "audio_missing"),
        (
            audio_form(wav(), "a.wav").text("other", "x"),
            422,
            "part_unknown",
        ),
        (
            audio_form(wav(), "a.wav").part("audio", Part::bytes(wav())),
            400,
            "multipart_malformed",
        ),
        (options("{"), 400, "json_malformed"),
        (options("[]"), 422, "options_invalid"),
        (options(r#"{"speed": 1}"#), 422, "options_invalid"),
        (options(r#"{"model": "nope"}"#), 422, "model_unknown"),
        (
            options(r#"{"options": {"onset_threshold": 7}}"#),
            422,
            "options_invalid",
        ),
        (
            options(&json!({"labels": many_labels}).to_string()),
            422,
            "labels_invalid",
        ),
        (options(&" ".repeat(70_000)), 413, "body_too_large"),
    ];
    for (form, status, code) in cases {
        let body = problem(app.upload(form).send().await.unwrap(), status, code).await;
        match code {
            "upload_too_large" => assert_eq!(body["limit_bytes"], 100_000),
            "audio_too_long" => assert_eq!(body["limit_seconds"], 5),
            _ => {}
        }
    }
    // Options that come first are refused before the recording is read.
    let early = Form::new()
        .text("options", r#"{"model": "nope"}"#)
        .part("audio", Part::bytes(wav()));
    problem(
        app.upload(early).send().await.unwrap(),
        422,
        "model_unknown",
    )
    .await;
    let plain = app
        .request(Method::POST, "/api/v1/transcriptions")
        .body("x")
        .send()
        .await
        .unwrap();
    problem(plain, 415, "media_type_unsupported").await;
    let broken = app.request(Method::POST, "/api/v1/transcriptions");
    let broken = broken
        .header("content-type", "multipart/form-data; boundary=x")
        .body("nonsense")
        .send()
        .await
        .unwrap();
    problem(broken, 400, "multipart_malformed").await;

    app.wait_for_no_objects().await;
    assert_eq!(app.rows().await, 0);
    assert_eq!(
        app.state.queue.server_info().await.unwrap().queue_pending,
        0
    );
}

async fn a_client_that_hangs_up_leaves_nothing(database: Database) {
    let app = TestApp::start(database).await;
    let (chunks, body) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    let body = Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(body));
    let form = Form::new().part("audio", Part::stream(body).file_name("a.wav"));
    let sending = tokio::spawn(app.upload(form).send());
    // Enough that a part of it has been written to the store.
    for _ in 0..12 {
        chunks.send(Ok(vec![7; 1 << 20].into())).await.unwrap();
    }
    let deadline = tokio::time::Instant::now() + crate::app::PATIENCE;
    while app.stored_files() == 0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the upload never reached the store"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sending.abort();
    drop(chunks);
    app.wait_for_no_objects().await;
    assert_eq!(app.rows().await, 0);
}

async fn prefer_wait_answers_with_the_finished_job(database: Database) {
    let app = TestApp::start(database).await;
    let form = audio_form(tone(1.0), "a.wav");
    let asked = app
        .upload(form)
        .header("prefer", "respond-async, wait=20")
        .send();
    let worker = FakeWorker::new(&app);
    let (answer, _) = tokio::join!(asked, worker.finish_one());
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["preference-applied"], "wait=20");
    assert_eq!(answer.json::<Value>().await.unwrap()["state"], "succeeded");

    let answer = app
        .upload(audio_form(tone(1.0), "a.wav"))
        .header("prefer", "wait=1")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert!(answer.headers().contains_key("location"));
}

async fn options_and_labels_are_kept(database: Database) {
    let app = TestApp::start(database).await;
    let wanted = json!({
        "model": "basic-pitch", "options": {"onset_threshold": 0.4, "melodia": false}, "labels": {"album": "é"},
    });
    let form = audio_form(tone(1.0), "../x/Täke.wav").text("options", wanted.to_string());
    let job: Value = app.upload(form).send().await.unwrap().json().await.unwrap();
    assert_eq!(job["source"]["filename"], "Täke.wav");
    assert_eq!(job["options"], wanted["options"]);
    assert_eq!(job["labels"], wanted["labels"]);
    let claim = FakeWorker::new(&app).claim().await;
    assert_eq!(json!(claim.payload.options), wanted["options"]);
    assert_eq!(claim.payload.filename, "Täke.wav");
    assert_eq!(claim.payload.max_seconds, 3600);
}

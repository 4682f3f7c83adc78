//! `wtt submit` against a server: what is sent, what is said, and that a lost answer makes no second transcription.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Multipart, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;

use crate::server::{Server, job, problem};

#[derive(Clone, Debug)]
struct Received {
    key: String,
    authorization: Option<String>,
    filename: String,
    bytes: usize,
    options: Value,
}

type Log = Arc<Mutex<Vec<Received>>>;

/// Reads a whole upload; `None` when it has not the shape that the service asks for.
async fn receive(headers: &HeaderMap, mut form: Multipart) -> Option<Received> {
    let header = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let options = form
        .next_field()
        .await
        .ok()?
        .filter(|field| field.name() == Some("options"))?;
    let options = serde_json::from_str(&options.text().await.ok()?).ok()?;
    let audio = form
        .next_field()
        .await
        .ok()?
        .filter(|field| field.name() == Some("audio"))?;
    let filename = audio.file_name()?.to_owned();
    let bytes = audio.bytes().await.ok()?.len();
    let (key, authorization) = (header("idempotency-key")?, header("authorization"));
    Some(Received {
        key,
        authorization,
        filename,
        bytes,
        options,
    })
}

/// Takes every upload; the answers to the first `lost` of them never arrive.
fn taking(lost: usize) -> (Server, Log) {
    let log = Log::default();
    let create = post(
        async move |State(log): State<Log>, headers: HeaderMap, form: Multipart| -> Response {
            let Some(received) = receive(&headers, form).await else {
                return problem(
                    400,
                    "multipart_malformed",
                    "The multipart body cannot be read",
                    "no",
                );
            };
            let filename = received.filename.clone();
            let count = {
                let mut log = log.lock().unwrap();
                log.push(received);
                log.len()
            };
            if count <= lost {
                let breaks = futures::stream::once(async {
                    Err::<&str, _>(std::io::Error::other("cable cut"))
                });
                return (StatusCode::ACCEPTED, Body::from_stream(breaks)).into_response();
            }
            let mut answer = job(&format!("id-{count}"), "queued");
            answer["source"]["filename"] = filename.into();
            (StatusCode::ACCEPTED, Json(answer)).into_response()
        },
    );
    let done =
        async |axum::extract::Path(id): axum::extract::Path<String>| Json(job(&id, "succeeded"));
    let router = Router::new()
        .route("/api/v1/transcriptions", create)
        .route("/api/v1/transcriptions/{id}", get(done))
        .route(
            "/api/v1/transcriptions/{id}/files/midi",
            get(async || "MThd-bytes"),
        )
        .route(
            "/api/v1/transcriptions/{id}/files/notes.json",
            get(async || r#"{"notes":[]}"#),
        )
        .layer(DefaultBodyLimit::disable())
        .with_state(log.clone());
    (Server::start(router), log)
}

fn recording(folder: &tempfile::TempDir, name: &str, bytes: usize) -> PathBuf {
    let path = folder.path().join(name);
    fs_err::write(&path, vec![7; bytes]).unwrap();
    path
}

#[test]
fn a_file_is_streamed_with_its_name_options_and_a_key() {
    let (server, log) = taking(0);
    let folder = tempfile::tempdir().unwrap();
    recording(&folder, "take 3.flac", 3_000_000);
    let arguments = [
        "submit",
        "take 3.flac",
        "--model",
        "basic-pitch",
        "--option",
        "onset_threshold=0.6",
    ];
    let output = server.wtt_in(folder.path(), &arguments).expect_code(0);
    assert_eq!(output.stdout, "id-1  queued  take 3.flac\n");
    assert_eq!(output.stderr, "");
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 1);
    assert_eq!(
        (log[0].filename.as_str(), log[0].bytes),
        ("take 3.flac", 3_000_000)
    );
    assert_eq!(
        log[0].options,
        serde_json::json!({"model": "basic-pitch", "options": {"onset_threshold": 0.6}})
    );
    assert!(log[0].key.len() >= 32, "{:?}", log[0].key);
}

#[test]
fn a_lost_answer_is_asked_for_again_under_the_same_key() {
    let (server, log) = taking(2);
    let folder = tempfile::tempdir().unwrap();
    recording(&folder, "a.wav", 100_000);
    let output = server
        .wtt_in(folder.path(), &["submit", "a.wav"])
        .expect_code(0);
    assert_eq!(output.stdout, "id-3  queued  a.wav\n");
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 3);
    assert!(
        log.iter()
            .all(|received| received.key == log[0].key && received.bytes == 100_000),
        "{log:?}"
    );
}

#[test]
fn two_submissions_have_two_keys_unless_one_is_given() {
    let (server, log) = taking(0);
    let folder = tempfile::tempdir().unwrap();
    recording(&folder, "a.wav", 10);
    for _ in 0..2 {
        server
            .wtt_in(folder.path(), &["submit", "a.wav"])
            .expect_code(0);
    }
    server
        .wtt_in(
            folder.path(),
            &["submit", "a.wav", "--idempotency-key", "mine"],
        )
        .expect_code(0);
    let log = log.lock().unwrap();
    assert_ne!(log[0].key, log[1].key);
    assert_eq!(log[2].key, "mine");
}

#[test]
fn the_key_of_the_server_is_sent_from_a_file() {
    let (server, log) = taking(0);
    let folder = tempfile::tempdir().unwrap();
    recording(&folder, "a.wav", 10);
    fs_err::write(folder.path().join("key"), "sesame\n").unwrap();
    server
        .wtt_in(folder.path(), &["submit", "a.wav", "--api-key-file", "key"])
        .expect_code(0);
    assert_eq!(
        log.lock().unwrap()[0].authorization.as_deref(),
        Some("Bearer sesame")
    );
}

#[test]
fn with_an_output_it_waits_and_saves() {
    let (server, _) = taking(0);
    let folder = tempfile::tempdir().unwrap();
    recording(&folder, "a.wav", 10);
    let arguments = ["submit", "a.wav", "-o", "a.mid", "--notes", "a.json"];
    let output = server.wtt_in(folder.path(), &arguments).expect_code(0);
    assert_eq!(output.stdout, "a.wav  succeeded  a.mid  a.json\n");
    assert_eq!(
        fs_err::read_to_string(folder.path().join("a.mid")).unwrap(),
        "MThd-bytes"
    );
    assert_eq!(
        fs_err::read_to_string(folder.path().join("a.json")).unwrap(),
        r#"{"notes":[]}"#
    );
}

#[test]
fn several_files_go_into_a_folder_and_a_bad_one_does_not_stop_the_rest() {
    let (server, log) = taking(0);
    let folder = tempfile::tempdir().unwrap();
    recording(&folder, "a.wav", 10);
    recording(&folder, "b.wav", 20);
    let output = server.wtt_in(
        folder.path(),
        &["submit", "a.wav", "missing.wav", "b.wav", "-o", "notes"],
    );
    let output = output.expect_code(1);
    assert!(output.stderr.contains("missing.wav"), "{}", output.stderr);
    assert!(
        folder.path().join("notes/a.mid").is_file() && folder.path().join("notes/b.mid").is_file()
    );
    assert_eq!(log.lock().unwrap().len(), 2);
}

#[test]
fn nothing_is_sent_when_the_output_is_taken() {
    let (server, log) = taking(0);
    let folder = tempfile::tempdir().unwrap();
    recording(&folder, "a.wav", 10);
    fs_err::write(folder.path().join("a.mid"), "mine").unwrap();
    let output = server
        .wtt_in(folder.path(), &["submit", "a.wav", "-o", "a.mid"])
        .expect_code(1);
    assert!(output.stderr.contains("--force"), "{}", output.stderr);
    assert_eq!(log.lock().unwrap().len(), 0);
    assert_eq!(
        fs_err::read_to_string(folder.path().join("a.mid")).unwrap(),
        "mine"
    );
    server
        .wtt_in(
            folder.path(),
            &["submit", "a.wav", "-o", "a.mid", "--force"],
        )
        .expect_code(0);
    assert_eq!(
        fs_err::read_to_string(folder.path().join("a.mid")).unwrap(),
        "MThd-bytes"
    );
}

#[test]
fn a_refusal_is_said_with_its_code_and_a_hint_and_not_repeated() {
    let tries = Arc::new(Mutex::new(0));
    let create = post(
        async |State(tries): State<Arc<Mutex<u32>>>, headers: HeaderMap, form: Multipart| {
            receive(&headers, form).await.unwrap();
            *tries.lock().unwrap() += 1;
            let detail = "talk.mp3 is text";
            problem(
                415,
                "audio_undecodable",
                "The file is not a recording that can be decoded",
                detail,
            )
        },
    );
    let router = Router::new()
        .route("/api/v1/transcriptions", create)
        .with_state(tries.clone());
    let server = Server::start(router);
    let folder = tempfile::tempdir().unwrap();
    recording(&folder, "talk.mp3", 10);
    let output = server
        .wtt_in(folder.path(), &["submit", "talk.mp3"])
        .expect_code(1);
    let expected = "wtt: talk.mp3: The file is not a recording that can be decoded: talk.mp3 is text (audio_undecodable)\n\
        hint: `ffmpeg -i IN OUT.wav` turns most recordings into one that can be read\n";
    assert_eq!(output.stderr, expected);
    assert_eq!(*tries.lock().unwrap(), 1);
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let create = post(async |headers: HeaderMap, form: Multipart| {
        receive(&headers, form).await.unwrap();
        let mut answer = problem(
            503,
            "queue_full",
            "The queue is full",
            "1000 tasks are waiting",
        );
        answer.headers_mut().insert(header::RETRY_AFTER, 30.into());
        answer
    });
    let server = Server::start(Router::new().route("/api/v1/transcriptions", create));
    let folder = tempfile::tempdir().unwrap();
    recording(&folder, "a.wav", 10);
    let output = server
        .wtt_in(folder.path(), &["submit", "a.wav"])
        .expect_code(1);
    assert!(
        output.stderr.contains("(queue_full)") && output.stderr.contains("30 s"),
        "{}",
        output.stderr
    );
}

#[test]
fn wrong_options_are_a_usage_error() {
    let (server, log) = taking(0);
    let folder = tempfile::tempdir().unwrap();
    recording(&folder, "a.wav", 10);
    for arguments in [
        &["submit", "a.wav", "--option", "novalue"][..],
        &["submit", "a.wav", "--notes", "a.txt"],
        &["submit"],
        &["submit", "a.wav", "a.wav", "--idempotency-key", "k"],
        &["--nonsense"],
    ] {
        server.wtt_in(folder.path(), arguments).expect_code(2);
    }
    assert_eq!(log.lock().unwrap().len(), 0);
}

//! Senders that are slow, silent, endless or gone, and bodies whose length is a lie: each is told in time, or leaves nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::row::{Form, request};
use super::wire::{Answer, exchange, read_answer};
use crate::app::{Database, PATIENCE, TestApp};
use crate::audio_files::tone;

const FORM: &str = "multipart/form-data; boundary=edge";
/// What may be out when the answer comes, of a sender that never pauses: its own buffer and the receiver's (4 and 32 MiB at most,
/// where kernels are set as they come), and what one turn of the sending task writes (128 pieces of 64 KiB).
const ON_THE_WAY_BYTES: usize = (4 + 32 + 8 + 1) << 20;
/// Over the limit of a recording by so much, but not over that of the whole body, which has a code of its own.
const TOO_MUCH_BYTES: usize = 256 << 10;

fn address(app: &TestApp) -> SocketAddr {
    app.base.trim_start_matches("http://").parse().unwrap()
}

async fn app(flags: &[&str]) -> TestApp {
    TestApp::start_with(Database::Sqlite, flags).await
}

fn head(length: &str) -> Vec<u8> {
    format!("POST /api/v1/transcriptions HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\n{length}\r\n\r\n").into_bytes()
}

fn recording() -> Vec<u8> {
    Form::new().file("audio", "a.wav", &tone(1.0)).end()
}

fn code(answer: &Answer) -> (u16, String) {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body["code"].as_str().unwrap_or_default();
    (answer.status, code.to_owned())
}

/// Never silent, and never done.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_cut_off_at_the_deadline_of_the_whole() {
    let app = app(&["--body-deadline-seconds=1"]).await;
    let stream = TcpStream::connect(address(&app)).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let started = Instant::now();
    let body = recording();
    writer
        .write_all(&head(&format!("content-length: {}", body.len())))
        .await
        .unwrap();
    let mut dripped = 0;
    let drip = async {
        for byte in body.chunks(1) {
            if writer.write_all(byte).await.is_err() {
                break;
            }
            dripped += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::future::pending::<()>().await
    };
    let answer = tokio::select! {
        answer = read_answer(&mut reader, false) => answer.unwrap(),
        () = drip => unreachable!("dripping never ends"),
    };
    assert_eq!(code(&answer), (408, "body_timeout".to_owned()));
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
    assert!(dripped < body.len() / 4, "{dripped} bytes went out");
    app.wait_for_no_objects().await;
    assert_eq!(app.rows().await, 0);
}

/// Announces more than it sends, then waits: told after the silence, long before the deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_shorter_than_it_says_is_told_after_a_silence() {
    let app = app(&["--body-silence-seconds=1"]).await;
    let mut cut = recording();
    cut.truncate(5_000);
    let request = request("POST", "/api/v1/transcriptions")
        .header("content-length", "50000")
        .body(FORM, cut);
    let answer = exchange(address(&app), &request.bytes()).await.unwrap();
    assert_eq!(code(&answer), (408, "body_timeout".to_owned()));
    app.wait_for_no_objects().await;
    assert_eq!(app.rows().await, 0);
}

/// All parts are there, so there is nothing to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_form_with_too_great_a_length_is_answered_at_once() {
    let app = app(&[]).await;
    let request = request("POST", "/api/v1/transcriptions")
        .header("content-length", "100000")
        .body(FORM, recording());
    let answer = exchange(address(&app), &request.bytes()).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
}

/// The answer is there while the body is not: told by bodies that never end, and by the count of bytes that the connection took.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_over_the_limit_is_refused_while_it_streams() {
    const LIMIT_BYTES: usize = 1_000_000;
    let app = app(&["--max-upload-bytes=1000000"]).await;
    // Chunked, so that nothing is announced.
    let chunk = vec![b'x'; 64 << 20];
    let mut body = Vec::new();
    let first = b"--edge\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"a\"\r\n\r\n";
    body.extend(format!("{:x}\r\n", first.len()).into_bytes());
    body.extend(first);
    body.extend(b"\r\n");
    let mut request = head("transfer-encoding: chunked");
    request.extend(body);
    // A chunk of 64 MiB, of which a little more than the limit comes, and then nothing: that has to be enough.
    let mut begun = request.clone();
    begun.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
    begun.extend(&chunk[..LIMIT_BYTES + TOO_MUCH_BYTES]);
    let answer = exchange(address(&app), &begun).await.unwrap();
    assert_eq!(code(&answer), (413, "upload_too_large".to_owned()));
    // Four of them, 256 MiB in all, by a client that sends on: it reads its answer all the same, and long before the end.
    for _ in 0..4 {
        request.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        request.extend(&chunk);
        request.extend(b"\r\n");
    }
    let answer = exchange(address(&app), &request).await.unwrap();
    assert_eq!(code(&answer), (413, "upload_too_large".to_owned()));
    assert!(
        answer.sent_bytes < ON_THE_WAY_BYTES,
        "{} of {} bytes were taken before the answer",
        answer.sent_bytes,
        request.len()
    );
    // Announced, it is refused before a byte of it is there.
    let announced = head("content-length: 268435456");
    let answer = exchange(address(&app), &announced).await.unwrap();
    assert_eq!(code(&answer), (413, "upload_too_large".to_owned()));
    app.wait_for_no_objects().await;
    assert_eq!(app.rows().await, 0);
}

/// The connection breaks at each place of an upload: all of it is there afterwards, or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_drops_anywhere_leaves_all_or_nothing() {
    let app = app(&[]).await;
    let body = recording();
    let request = [
        head(&format!("content-length: {}", body.len())),
        body.clone(),
    ]
    .concat();
    let (head_bytes, whole) = (request.len() - body.len(), request.len());
    let places = [
        3,
        head_bytes - 2,
        head_bytes,
        head_bytes + 30,
        head_bytes + 200,
        whole / 2,
        whole - 12,
        whole - 1,
    ];
    for place in places {
        let mut stream = TcpStream::connect(address(&app)).await.unwrap();
        stream.write_all(&request[..place]).await.unwrap();
        drop(stream);
    }
    app.wait_for_no_objects().await;
    assert_eq!(app.rows().await, 0);
    // The last byte is out and nobody waits for the answer: it may count, and then it is whole.
    let mut stream = TcpStream::connect(address(&app)).await.unwrap();
    stream.write_all(&request).await.unwrap();
    drop(stream);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (rows, files) = (app.rows().await, app.stored_files());
        let waiting = app.state.queue.server_info().await.unwrap().queue_pending;
        if (rows, files, waiting) == (1, 1, 1) {
            break;
        }
        // Nothing would do as well, but only for good.
        if (rows, files, waiting) == (0, 0, 0) {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if (app.rows().await, app.stored_files()) == (0, 0) {
                break;
            }
        }
        assert!(
            Instant::now() < deadline,
            "{rows} rows, {files} files, {waiting} waiting"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What follows a refused body on the same connection is the next request, never a part of the body.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_is_no_request() {
    let app = app(&[]).await;
    let inner = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut bytes = format!(
        "POST /version HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        inner.len()
    )
    .into_bytes();
    bytes.extend(inner);
    bytes.extend(b"GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(address(&app)).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut got = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut got))
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&got);
    let statuses: Vec<&str> = text
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &text[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["405", "200"], "{text}");
}

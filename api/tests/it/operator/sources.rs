//! Where recordings come from, and what becomes of those that cannot be had.

use std::time::Duration;

use serde_json::json;

use super::files::Files;
use super::{ORIGIN, body, failure, item, put, start_with, submit, wait_for};
use crate::app::{Database, TestApp, problem};
use crate::audio_files;
use crate::fake_worker::FakeWorker;
use crate::on_both;

on_both!(
    every_source_that_cannot_be_had_has_its_code,
    a_server_that_fails_is_asked_again,
    what_is_not_public_is_not_asked,
    an_object_of_the_namespace_is_taken,
    the_recording_of_another_transcription_is_taken,
);

async fn limited(database: Database) -> TestApp {
    let flags = [
        "--max-upload-bytes=300000",
        "--max-decoded-seconds=10",
        "--fetch-timeout-seconds=2",
        "--fetch-tries=1",
        "--max-fetches=8",
    ];
    start_with(database, &flags).await
}

async fn every_source_that_cannot_be_had_has_its_code(database: Database) {
    let (app, files) = (limited(database).await, Files::start().await);
    let table = [
        ("/gone.wav", "source_not_found"),
        ("/secret.wav", "source_refused"),
        ("/teapot.wav", "source_refused"),
        ("/nothing.wav", "source_refused"),
        ("/down.wav", "source_unreachable"),
        ("/cut.wav", "source_unreachable"),
        ("/text.mp3", "audio_undecodable"),
        ("/empty.wav", "audio_empty"),
        ("/large.wav", "source_too_large"),
        ("/endless.wav", "source_too_large"),
        ("/never.wav", "source_timeout"),
        ("/metadata.wav", "source_forbidden_address"),
        ("/loopback.wav", "source_forbidden_address"),
        ("/round.wav", "source_invalid"),
    ];
    let uid = |at: usize| format!("job-{at}");
    for (at, (file, _)) in table.iter().enumerate() {
        submit(
            &app,
            &uid(at),
            &body(&files.url(&format!("{file}?signature=secret"))),
        )
        .await;
    }
    // 80 kB a second: 40 s are too long, and too large; 12 s are only too long.
    for (at, (file, wanted)) in table.iter().enumerate() {
        let (code, message) = failure(&app, &uid(at)).await;
        assert_eq!(code, *wanted, "{file}: {message}");
        assert!(
            !message.contains("secret") && !message.is_empty(),
            "{file}: {message}"
        );
    }
    app.wait_for_no_objects().await;
    assert_eq!(
        app.state.queue.server_info().await.unwrap().queue_pending,
        0
    );
    // A recording that is longer than allowed, by its header.
    let long = start_with(database, &["--max-decoded-seconds=10"]).await;
    submit(&long, "long", &body(&files.url("/long.wav"))).await;
    assert_eq!(failure(&long, "long").await.0, "audio_too_long");
}

async fn a_server_that_fails_is_asked_again(database: Database) {
    let files = Files::start().await;
    let app = start_with(database, &["--fetch-tries=2"]).await;
    submit(&app, "job-1", &body(&files.url("/flaky.wav"))).await;
    wait_for(&app, "job-1", "queued").await;
    assert_eq!(files.asked(), 2);
    submit(&app, "job-2", &body(&files.url("/down.wav"))).await;
    assert_eq!(failure(&app, "job-2").await.0, "source_unreachable");
    assert_eq!(files.asked(), 4);
}

async fn what_is_not_public_is_not_asked(database: Database) {
    let files = Files::start().await;
    // Without the leave that the other tests have.
    let key = format!("--operator-key={}", super::OPERATOR);
    let app = TestApp::start_with(database, &[&key, "--fetch-interval-ms=100"]).await;
    let port = files.base.rsplit_once(':').unwrap().1;
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "169.254.169.254",
        "10.0.0.1",
    ] {
        let answer = put(
            &app,
            "job-1",
            &body(&format!("http://{host}:{port}/take.wav")),
        )
        .await;
        problem(answer, 422, "source_forbidden_address").await;
    }
    assert_eq!(app.rows().await, 0);
    // Only its resolver knows where a name leads.
    submit(
        &app,
        "job-1",
        &body(&format!("http://localhost:{port}/take.wav")),
    )
    .await;
    assert_eq!(failure(&app, "job-1").await.0, "source_forbidden_address");
    assert_eq!(files.asked(), 0);
}

async fn an_object_of_the_namespace_is_taken(database: Database) {
    let app = limited(database).await;
    let object = |key: &str| json!({"source": {"object": key}, "origin": ORIGIN});
    let key = "imports/music/album/take 3.wav";
    let wav = audio_files::tone(1.0);
    let stored = api::objects::ObjectKey::Import(key);
    app.state
        .objects
        .put(stored, wav.clone().into())
        .await
        .unwrap();
    submit(&app, "job-1", &object(key)).await;
    wait_for(&app, "job-1", "queued").await;
    assert_eq!(app.show("job-1").await["source"]["filename"], "take 3.wav");
    let worker = FakeWorker::new(&app);
    let claim = worker.claim().await;
    assert_eq!(worker.fetch(&claim).await.bytes().await.unwrap(), wav);
    submit(&app, "job-2", &object("imports/music/missing.wav")).await;
    assert_eq!(failure(&app, "job-2").await.0, "source_not_found");
    for bad in [
        "imports/other/take.wav",
        "imports/music/../other/take.wav",
        "audio/job-1",
        "../x",
        "",
    ] {
        problem(
            put(&app, "job-3", &object(bad)).await,
            422,
            "source_invalid",
        )
        .await;
    }
    // What was put there for us is not ours to delete.
    app.delete("/api/v1/transcriptions/job-1").await;
    assert_eq!(
        app.state.objects.size(stored).await.unwrap(),
        Some(wav.len() as u64)
    );
}

async fn the_recording_of_another_transcription_is_taken(database: Database) {
    let app = limited(database).await;
    let again = |id: &str, origin: &str| json!({"source": {"transcription": id}, "origin": origin});
    let upload = app.submit().await;
    submit(&app, "job-1", &again(&upload, ORIGIN)).await;
    let queued = wait_for(&app, "job-1", "queued").await;
    assert_eq!(queued["audio_ms"], 1000);
    let [first, second] = [app.show(&upload).await, app.show("job-1").await];
    assert_eq!(first["source"]["sha256"], second["source"]["sha256"]);
    // The copy outlives what it was made from.
    app.delete(&format!("/api/v1/transcriptions/{upload}"))
        .await;
    let worker = FakeWorker::new(&app);
    let claim = worker.claim().await;
    assert_eq!(
        worker.fetch(&claim).await.bytes().await.unwrap(),
        audio_files::tone(1.0)
    );
    // A job's recording is for its own namespace.
    submit(&app, "job-2", &again("job-1", ORIGIN)).await;
    wait_for(&app, "job-2", "queued").await;
    let foreign = problem(
        put(&app, "job-3", &again("job-1", "wtt/other")).await,
        422,
        "source_not_found",
    )
    .await;
    let missing = problem(
        put(&app, "job-3", &again("job-9", "wtt/other")).await,
        422,
        "source_not_found",
    )
    .await;
    let said = |problem: &serde_json::Value| {
        problem["detail"]
            .as_str()
            .unwrap()
            .replace("job-9", "job-1")
    };
    assert_eq!(said(&foreign), said(&missing), "they read alike");
    problem(
        put(&app, "job-3", &again(&upload, ORIGIN)).await,
        422,
        "source_not_found",
    )
    .await;
    // One whose own source is still on its way is waited for.
    let files = Files::start().await;
    submit(&app, "slow", &body(&files.url("/never.wav"))).await;
    submit(&app, "job-4", &again("slow", ORIGIN)).await;
    failure(&app, "slow").await;
    tokio::time::timeout(Duration::from_secs(30), async {
        while item(&app, "job-4").await["state"] != "failed" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
}

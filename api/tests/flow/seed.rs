//! The first system's routes as its clients know them: paths, fields, words and errors, recorded from its behaviour.

use crate::common::{FakeWorker, Ground, Kind, TestApp, file, wait_for, wav};
use reqwest::multipart::Form;
use serde_json::{Value, json};

async fn upload(app: &TestApp, bytes: &[u8], name: &str) -> (u16, Value) {
    let form = Form::new().part("audio", file(bytes, name));
    let response = app
        .http
        .post(app.url("/transcribe/upload/"))
        .multipart(form)
        .send()
        .await
        .unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn generate(app: &TestApp, id: &Value) -> (u16, Value) {
    let request = app.http.post(app.url("/transcribe/generate/"));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let response = request
        .body(format!("audio_midi_id={id}"))
        .send()
        .await
        .unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn status_of(app: &TestApp, id: &Value) -> Value {
    let (status, body) = app.get(&format!("/transcribe/status/{id}/")).await;
    assert_eq!(status, 200, "{body}");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_table() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;

    for path in ["/transcribe/", "/transcribe"] {
        assert_eq!(app.get(path).await, (200, json!({ "status": "ok" })));
    }
    // Upload.
    assert_eq!(
        app.get("/transcribe/upload/").await,
        (400, json!({ "error": "Failed to upload file" }))
    );
    let form = Form::new().text("other", "x");
    let response = app
        .http
        .post(app.url("/transcribe/upload"))
        .multipart(form)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 400);
    let (status, body) = upload(
        &app,
        b"this is text, not music, whatever its name says",
        "a.mp3",
    )
    .await;
    assert_eq!(status, 415);
    assert_eq!(
        body.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["error"]
    );
    let (status, body) = upload(&app, &wav(1.0, 440.0), "take.wav").await;
    assert_eq!(status, 200);
    assert_eq!(body["message"], "File uploaded successfully!");
    assert_eq!(body["audio_filename"], "take.wav");
    let id = body["audio_midi_id"].clone();
    assert!(id.as_i64().is_some_and(|id| id > 0 && id < 1 << 53), "{id}");

    // Before generate: stored, not queued.
    let before = status_of(&app, &id).await;
    let keys = [
        "audio_filename",
        "audio_midi_id",
        "created_at",
        "current_chunk",
        "error_message",
        "has_midi",
        "status",
        "total_chunks",
        "updated_at",
    ];
    assert_eq!(before.as_object().unwrap().keys().collect::<Vec<_>>(), keys);
    assert_eq!(before["status"], "pending");
    assert_eq!(before["has_midi"], false);
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    assert!(worker.try_claim().await.is_none());
    let (status, body) = app.get(&format!("/transcribe/midi/{id}/")).await;
    assert_eq!(status, 404);
    assert!(body["error"].is_string());

    // Generate: twice is once.
    for _ in 0..2 {
        let (status, body) = generate(&app, &id).await;
        assert_eq!(status, 200);
        let message = "Transcription queued. Check status endpoint for updates.";
        assert_eq!(
            body,
            json!({ "message": message, "audio_midi_id": id.to_string() })
        );
    }
    let claim = worker.claim().await;
    assert!(worker.try_claim().await.is_none());
    worker.progress(&claim, 3, 15).await;
    let running = status_of(&app, &id).await;
    assert_eq!(
        (
            &running["status"],
            &running["current_chunk"],
            &running["total_chunks"]
        ),
        (&json!("processing"), &json!(3), &json!(15))
    );

    // Media: only with the token of the claim, never a folder.
    for path in [
        "/media/",
        "/media/audios/",
        "/media/audios/1.wav",
        "/media/../etc/passwd",
        "/media/manage.py",
    ] {
        let (status, _) = app.get(path).await;
        assert!(status == 401 || status == 404, "{path}: {status}");
    }
    let media = |path: String| {
        app.http
            .get(app.url(&path))
            .bearer_auth(claim.token.as_str())
            .send()
    };
    let response = media(format!("/media/audios/{id}.wav")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.unwrap() == wav(1.0, 440.0));
    for path in ["/media/audios", "/media/audios/", "/media/audios/17.wav"] {
        assert_eq!(
            media(path.to_owned()).await.unwrap().status(),
            404,
            "{path}"
        );
    }

    // _result as the first system's workers sent it, MIDI alone: refused without the token; with it, once.
    let result = || {
        Form::new()
            .text("audio_midi_id", id.to_string())
            .text("task_type", "completed")
            .part(
                "result_file",
                file(&crate::common::worker::midi(60), "a.mid"),
            )
    };
    let post = || {
        app.http
            .post(app.url("/transcribe/_result/"))
            .multipart(result())
    };
    let response = post().send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.json::<Value>().await.unwrap()["error"].is_string());
    assert_eq!(
        post().bearer_auth("wrong").send().await.unwrap().status(),
        409
    );
    for message in ["Result received", "Already processed"] {
        let response = post()
            .bearer_auth(claim.token.as_str())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.json::<Value>().await.unwrap(),
            json!({ "message": message })
        );
    }
    let done = wait_for("completed", async || {
        let status = status_of(&app, &id).await;
        (status["status"] == "completed").then_some(status)
    })
    .await;
    assert_eq!(
        (&done["has_midi"], &done["error_message"]),
        (&json!(true), &Value::Null)
    );
    for (path, disposition) in [("midi", "inline"), ("download_midi", "attachment")] {
        let response = app
            .http
            .get(app.url(&format!("/transcribe/{path}/{id}/")))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "audio/midi");
        assert!(
            response.headers()["content-disposition"]
                .to_str()
                .unwrap()
                .starts_with(disposition)
        );
        assert!(response.bytes().await.unwrap() == crate::common::worker::midi(60));
    }

    // What is not there.
    assert_eq!(
        app.get("/transcribe/status/12345/").await,
        (404, json!({ "error": "AudioMIDI object not found" }))
    );
    assert_eq!(generate(&app, &json!(12345)).await.0, 404);
    assert_eq!(app.get("/transcribe/generate/").await.0, 405);
    let response = app
        .http
        .post(app.url("/transcribe/generate"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 400);
    let response = app
        .http
        .post(app.url("/transcribe/upload_from_yt/"))
        .body("youtube_url=x")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 501);
    assert!(response.json::<Value>().await.unwrap()["error"].is_string());

    let (status, metrics) = app.get("/transcribe/metrics/").await;
    assert_eq!(status, 200);
    let keys = [
        "processing_timed",
        "queue_failed",
        "queue_pending",
        "queue_processing",
        "redis_connected_clients",
        "redis_uptime_seconds",
        "redis_used_memory_human",
        "subscribers_task_new",
    ];
    assert_eq!(
        metrics.as_object().unwrap().keys().collect::<Vec<_>>(),
        keys
    );
    app.stop().await;
}

/// The first system was last in, first out, and stored one user's MIDI under another's id.
#[tokio::test(flavor = "multi_thread")]
async fn three_uploads_one_worker_and_every_result_belongs_to_its_input() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let ground = Ground::new(kind);
        let app = ground.serve(&[]).await;
        let lengths = [1.0, 1.5, 2.0];
        let mut ids = Vec::new();
        for seconds in lengths {
            let (_, body) = upload(&app, &wav(seconds, 440.0), &format!("{seconds}.wav")).await;
            ids.push(body["audio_midi_id"].clone());
        }
        for id in &ids {
            assert_eq!(generate(&app, id).await.0, 200);
        }
        let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
        // The pitch says how long the recording was that the worker really got.
        let pitch_of = |recording: &[u8]| (recording.len() / 1000) as u8;
        let mut order = Vec::new();
        for _ in &ids {
            order.push(worker.work(pitch_of).await.payload.filename);
        }
        assert_eq!(
            order,
            lengths.map(|seconds| format!("{seconds}.wav")),
            "first in, first out"
        );
        for (id, seconds) in ids.iter().zip(lengths) {
            wait_for("completed", async || {
                (status_of(&app, id).await["status"] == "completed").then_some(())
            })
            .await;
            let response = app
                .http
                .get(app.url(&format!("/transcribe/midi/{id}/")))
                .send()
                .await
                .unwrap();
            let expected = crate::common::worker::midi(pitch_of(&wav(seconds, 440.0)));
            assert!(
                response.bytes().await.unwrap() == expected,
                "{seconds} s has another recording's notes"
            );
        }
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_over_the_limit_leaves_nothing() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&["--max-upload-bytes", "1000"]).await;
    let (status, body) = upload(&app, &wav(1.0, 440.0), "take.wav").await;
    assert_eq!(status, 413);
    assert!(body["error"].as_str().unwrap().contains("1000"), "{body}");
    wait_for("the object to go", async || {
        (app.objects().await == 0).then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_a_result_is_kept_for_somebody_without_the_claim() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let (_, body) = upload(&app, &wav(1.0, 440.0), "take.wav").await;
    let id = body["audio_midi_id"].clone();
    assert_eq!(generate(&app, &id).await.0, 200);
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    let post = async |token: &str, form: Form| {
        let request = app.http.post(app.url("/transcribe/_result/"));
        let request = request.bearer_auth(token).multipart(form);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap())
    };
    let midi = || file(&crate::common::worker::midi(60), "a.mid");
    let named = |form: Form| {
        form.text("audio_midi_id", id.to_string())
            .text("task_type", "completed")
    };

    // Whoever shows any token, and whoever holds the claim: files before the id are not read.
    for token in ["anything", claim.token.as_str()] {
        let early = named(Form::new().part("result_file", midi()));
        let (status, body) = post(token, early).await;
        assert_eq!(status, 422, "{body}");
        assert!(
            body["error"].as_str().unwrap().contains("audio_midi_id"),
            "{body}"
        );
    }
    // An id is short, and so is a word.
    let long = Form::new().text("audio_midi_id", "1".repeat(1025));
    let (status, body) = post(claim.token.as_str(), long).await;
    assert_eq!(status, 422, "{body}");
    let long = Form::new()
        .text("audio_midi_id", id.to_string())
        .text("task_type", "x".repeat(1025));
    let (status, body) = post(claim.token.as_str(), long).await;
    assert_eq!(status, 422, "{body}");
    assert!(body["error"].as_str().unwrap().contains("1024"), "{body}");

    // The wrong token is told while its body is still on the way.
    let (chunks, body) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(8);
    let endless = reqwest::Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(body));
    chunks.send(Ok(vec![0; 100].into())).await.unwrap();
    let form = named(Form::new()).part(
        "result_file",
        reqwest::multipart::Part::stream(endless).file_name("a.mid"),
    );
    let answer = tokio::time::timeout(crate::common::PATIENCE, post("anything", form)).await;
    assert_eq!(answer.expect("an answer before the end of the body").0, 409);
    drop(chunks);

    let form = named(Form::new()).part("result_file", midi());
    let (status, body) = post(claim.token.as_str(), form).await;
    assert_eq!((status, &body["message"]), (200, &"Result received".into()));
    app.stop().await;
}

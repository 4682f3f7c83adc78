//! Files: every kind, ranges, tags, names.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::app::{Database, TestApp, audio_form, job_path, problem};
use crate::audio_files::tone;
use crate::fake_worker::{FakeWorker, midi, transcript};
use crate::on_both;

on_both!(every_file_is_served, ranges_and_tags_work);

async fn every_file_is_served(database: Database) {
    let app = TestApp::start(database).await;
    let form = audio_form(tone(1.0), "evil\"; x=é.wav");
    let job: Value = app.upload(form).send().await.unwrap().json().await.unwrap();
    let id = job["id"].as_str().unwrap();
    let files = format!("{}/files", job_path(id));
    let early = app.get(&format!("{files}/midi")).await;
    assert!(early.headers().contains_key("retry-after"));
    problem(early, 409, "not_ready").await;
    problem(
        app.get(&format!("{files}/score.pdf")).await,
        404,
        "file_unknown",
    )
    .await;
    assert_eq!(
        app.get(&format!("{files}/source"))
            .await
            .bytes()
            .await
            .unwrap(),
        tone(1.0)
    );
    let listed: Value = app.get(&files).await.json().await.unwrap();
    assert_eq!(listed["data"].as_object().unwrap().len(), 1);

    FakeWorker::new(&app).finish_one().await;
    app.wait_for(id, "succeeded").await;
    let listed: Value = app.get(&files).await.json().await.unwrap();
    assert_eq!(listed["data"].as_object().unwrap().len(), 5);
    for (name, media_type, content) in [
        ("midi", "audio/midi", Some(midi())),
        (
            "notes.json",
            "application/json",
            Some(transcript().to_json().unwrap().into_bytes()),
        ),
        (
            "notes.csv",
            "text/csv; charset=utf-8",
            Some(music::csv::write(&transcript().notes).into_bytes()),
        ),
        ("roll.svg", "image/svg+xml", None),
        ("source", "audio/wav", Some(tone(1.0))),
    ] {
        let path = format!("{files}/{name}");
        let got = app.get(&path).await;
        assert_eq!(got.status(), StatusCode::OK, "{name}");
        let headers = got.headers().clone();
        assert_eq!(headers["content-type"], media_type);
        assert_eq!(headers["accept-ranges"], "bytes");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let disposition = headers["content-disposition"].to_str().unwrap();
        assert_eq!(disposition.matches('"').count(), 2, "{disposition}");
        assert!(disposition.starts_with(if name == "roll.svg" {
            "inline"
        } else {
            "attachment"
        }));
        let body = got.bytes().await.unwrap();
        assert_eq!(headers["content-length"], body.len().to_string().as_str());
        match content {
            Some(content) => assert!(body == content, "{name}"),
            None => assert!(std::str::from_utf8(&body).unwrap().contains("<svg")),
        }
        let head = app.request(Method::HEAD, &path).send().await.unwrap();
        assert_eq!(
            head.headers()["content-length"],
            body.len().to_string().as_str()
        );
        assert_eq!(head.headers()["etag"], headers["etag"]);
        assert_eq!(head.bytes().await.unwrap().len(), 0);
    }
}

async fn ranges_and_tags_work(database: Database) {
    let app = TestApp::start(database).await;
    let id = app.submit().await;
    let source = format!("{}/files/source", job_path(&id));
    let content = tone(1.0);
    let etag = app.get(&source).await.headers()["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    let ask = async |name: &str, value: &str| {
        app.request(Method::GET, &source)
            .header(name, value)
            .send()
            .await
            .unwrap()
    };
    for (range, from, to) in [
        ("bytes=0-9", 0, 10),
        ("bytes=16000-", 16000, content.len()),
        ("bytes=-5", content.len() - 5, content.len()),
    ] {
        let part = ask("range", range).await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let shown = format!("bytes {from}-{}/{}", to - 1, content.len());
        assert_eq!(part.headers()["content-range"], shown.as_str());
        assert!(part.bytes().await.unwrap() == content[from..to], "{range}");
    }
    let outside = ask("range", "bytes=999999-").await;
    assert_eq!(
        outside.headers()["content-range"],
        format!("bytes */{}", content.len()).as_str()
    );
    problem(outside, 416, "range_unsatisfiable").await;
    assert_eq!(ask("range", "bytes=0-1,3-4").await.status(), StatusCode::OK);
    assert_eq!(
        ask("if-none-match", &etag).await.status(),
        StatusCode::NOT_MODIFIED
    );
    let held = app
        .request(Method::GET, &source)
        .header("range", "bytes=0-1");
    assert_eq!(
        held.header("if-range", "\"other\"")
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );

    FakeWorker::new(&app).finish_one().await;
    app.wait_for(&id, "succeeded").await;
    let csv = format!("{}/files/notes.csv", job_path(&id));
    let whole = app.get(&csv).await.bytes().await.unwrap();
    let part = app
        .request(Method::GET, &csv)
        .header("range", "bytes=3-8")
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.unwrap(), whole[3..9]);
}

//! Errors of the layers around the handlers: routes, methods, slow bodies. And the catalogue, the listing, the document.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::app::{Database, TestApp, problem};
use crate::on_both;

on_both!(
    layers_answer_problems,
    slow_bodies_are_cut_off,
    the_service_describes_itself
);

async fn layers_answer_problems(database: Database) {
    let app = TestApp::start(database).await;
    problem(app.get("/nowhere").await, 404, "not_found").await;
    problem(
        app.get("/api/v1/transcriptions/%ff").await,
        404,
        "not_found",
    )
    .await;
    // What no id can be is unknown, too, and is no question for the database.
    for id in ["unknown", "a%00b", "%22", "1;2", &"x".repeat(100)] {
        let path = format!("/api/v1/transcriptions/{id}");
        problem(app.get(&path).await, 404, "transcription_unknown").await;
        problem(app.delete(&path).await, 404, "transcription_unknown").await;
    }
    problem(
        app.get("/api/v1/transcriptions/unknown/files/midi").await,
        404,
        "transcription_unknown",
    )
    .await;
    let wrong = app
        .request(Method::PATCH, "/api/v1/transcriptions")
        .send()
        .await
        .unwrap();
    assert!(wrong.headers().contains_key("allow"));
    problem(wrong, 405, "method_not_allowed").await;
    problem(
        app.delete("/api/v1/models").await,
        405,
        "method_not_allowed",
    )
    .await;
}

async fn slow_bodies_are_cut_off(database: Database) {
    let app = TestApp::start_with(database, &["--body-deadline-seconds=1"]).await;
    let (chunks, body) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(1);
    let body = reqwest::Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(body));
    let part = reqwest::multipart::Part::stream(body).file_name("a.wav");
    let form = reqwest::multipart::Form::new().part("audio", part);
    chunks.send(Ok(vec![0; 100].into())).await.unwrap();
    let answer = app.upload(form).send().await.unwrap();
    problem(answer, 408, "body_timeout").await;
    drop(chunks);
    app.wait_for_no_objects().await;
}

async fn the_service_describes_itself(database: Database) {
    let app = TestApp::start(database).await;
    let models: Value = app.get("/api/v1/models").await.json().await.unwrap();
    let model = &models["data"][0];
    assert_eq!(
        (&model["name"], &model["queue"]),
        (&"basic-pitch".into(), &"default".into())
    );
    assert_eq!(
        model["options"]["properties"]["onset_threshold"]["default"],
        0.5
    );
    assert_eq!(model["licence"], "Apache-2.0");
    let version: Value = app.get("/version").await.json().await.unwrap();
    assert!(version["version"].is_string());
    let page = app
        .request(Method::GET, "/")
        .header("accept", "text/html")
        .send()
        .await
        .unwrap();
    assert!(
        page.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let listing: Value = app.get("/").await.json().await.unwrap();
    for route in listing["routes"].as_array().unwrap() {
        // Every route that is named is there: another method on it is not "nothing here".
        let path = route["path"]
            .as_str()
            .unwrap()
            .replace("{id}", "x")
            .replace("{name}", "midi")
            .replace("{code}", "internal");
        let answer = app.request(Method::TRACE, &path).send().await.unwrap();
        assert_ne!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let document = include_str!("../../../docs/api.md");
    for (method, path, _) in api::ROUTES {
        assert!(
            document.contains(&format!("{method} {path}")),
            "docs/api.md does not name {method} {path}"
        );
    }
    for code in api::error::Code::ALL {
        assert!(
            document.contains(&format!("`{}`", code.as_str())),
            "docs/api.md does not name {}",
            code.as_str()
        );
    }
}

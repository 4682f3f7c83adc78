//! The small client commands against a server, and what all of them say when there is none.

use std::collections::HashMap;
use std::path::Path as FilePath;

use axum::extract::{Path, Query};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::server::{Server, job, problem, wtt};

/// Everything the small commands ask for, of a service with 250 transcriptions.
fn server() -> Server {
    let known = async |Path(id): Path<String>| match id.as_str() {
        "nope" => problem(
            404,
            "transcription_unknown",
            "No such transcription",
            "there is no nope",
        ),
        _ => Json(job(&id, "succeeded")).into_response(),
    };
    let cancel = async |Path(id): Path<String>| match id.as_str() {
        "done" => problem(
            409,
            "already_finished",
            "The transcription has already finished",
            "done has succeeded",
        ),
        _ => (StatusCode::ACCEPTED, Json(job(&id, "cancelled"))).into_response(),
    };
    let retry = async |Path(id): Path<String>| (StatusCode::ACCEPTED, Json(job(&id, "queued")));
    let file = async |Path((id, kind)): Path<(String, String)>| match (id.as_str(), kind.as_str()) {
        ("running", _) => problem(
            409,
            "not_ready",
            "The result is not there yet",
            "it is at 12 of 90",
        ),
        (_, "midi" | "notes.json" | "notes.csv") => format!("the {kind} of {id}").into_response(),
        _ => problem(404, "file_unknown", "No such file", "no"),
    };
    let router = Router::new()
        .route("/api/v1/transcriptions", get(list))
        .route(
            "/api/v1/transcriptions/{id}",
            get(known).delete(async || StatusCode::NO_CONTENT),
        )
        .route("/api/v1/transcriptions/{id}/cancel", post(cancel))
        .route("/api/v1/transcriptions/{id}/retry", post(retry))
        .route("/api/v1/transcriptions/{id}/files/{kind}", get(file));
    Server::start(router)
}

async fn list(Query(query): Query<HashMap<String, String>>) -> Json<Value> {
    let from: usize = query
        .get("cursor")
        .map_or(0, |cursor| cursor.parse().unwrap());
    let limit: usize = query["limit"].parse().unwrap();
    assert!(limit <= 100, "the service gives at most 100 a page");
    let to = (from + limit).min(250);
    let state = query.get("state").map_or("running", String::as_str);
    let items: Vec<Value> = (from..to)
        .map(|number| job(&format!("id-{number}"), state))
        .collect();
    Json(
        json!({"object": "list", "data": items, "next_cursor": (to < 250).then(|| to.to_string())}),
    )
}

#[test]
fn status_reads_well_and_speaks_json() {
    let output = server().wtt(&["status", "abc"]).expect_code(0);
    let expected = "\
abc  succeeded
  file       take3.flac
  audio      183.2 s, 44100 Hz, 2 channels, 7.75 MiB
  model      basic-pitch
  attempt    1
  created    2026-11-23T20:00:00Z
";
    assert_eq!(output.stdout, expected);
    let output = server().wtt(&["status", "abc", "--json"]).expect_code(0);
    assert_eq!(
        serde_json::from_str::<Value>(&output.stdout).unwrap(),
        job("abc", "succeeded")
    );
}

#[test]
fn get_saves_under_the_name_of_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let server = server();
    server.wtt_in(folder.path(), &["get", "abc"]).expect_code(0);
    assert_eq!(
        fs_err::read_to_string(folder.path().join("take3.mid")).unwrap(),
        "the midi of abc"
    );
    let output = server.wtt_in(folder.path(), &["get", "abc"]).expect_code(1);
    assert!(output.stderr.contains("--force"), "{}", output.stderr);
    server
        .wtt_in(folder.path(), &["get", "other", "--force"])
        .expect_code(0);
    assert_eq!(
        fs_err::read_to_string(folder.path().join("take3.mid")).unwrap(),
        "the midi of other"
    );
}

#[test]
fn get_saves_what_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = server();
    let arguments = ["get", "abc", "--midi", "x.mid", "--notes", "x.csv"];
    server.wtt_in(folder.path(), &arguments).expect_code(0);
    assert_eq!(
        fs_err::read_to_string(folder.path().join("x.mid")).unwrap(),
        "the midi of abc"
    );
    assert_eq!(
        fs_err::read_to_string(folder.path().join("x.csv")).unwrap(),
        "the notes.csv of abc"
    );
    let output = server.wtt(&["get", "abc", "--notes", "-"]).expect_code(0);
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("the notes.json of abc", "")
    );
    server
        .wtt(&["get", "abc", "--notes", "x.txt"])
        .expect_code(2);
    let output = server.wtt(&["get", "abc", "--json"]).expect_code(0);
    assert_eq!(
        serde_json::from_str::<Value>(&output.stdout).unwrap()["id"],
        "abc"
    );
}

#[test]
fn get_leaves_nothing_when_there_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = server()
        .wtt_in(folder.path(), &["get", "running", "--midi", "x.mid"])
        .expect_code(1);
    assert!(
        output.stderr.contains("(not_ready)") && output.stderr.contains("wtt watch"),
        "{}",
        output.stderr
    );
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn cancel_retry_and_delete_say_what_became_of_each() {
    let server = server();
    assert_eq!(
        server.wtt(&["retry", "a", "b"]).expect_code(0).stdout,
        "a  queued\nb  queued\n"
    );
    assert_eq!(
        server.wtt(&["delete", "a"]).expect_code(0).stdout,
        "a  deleted\n"
    );
    let output = server.wtt(&["cancel", "done", "b"]).expect_code(1);
    assert_eq!(output.stdout, "b  cancelled\n");
    assert!(
        output.stderr.contains("(already_finished)"),
        "{}",
        output.stderr
    );
}

#[test]
fn list_is_a_table_and_follows_the_pages() {
    let server = server();
    let output = server
        .wtt(&["list", "--limit", "2", "--state", "failed"])
        .expect_code(0);
    let expected = "\
ID    STATE   MODEL        SECONDS  CREATED               FILE
id-0  failed  basic-pitch  183.2    2026-11-23T20:00:00Z  take3.flac
id-1  failed  basic-pitch  183.2    2026-11-23T20:00:00Z  take3.flac
";
    assert_eq!(output.stdout, expected);
    let output = server
        .wtt(&["list", "--limit", "230", "--json"])
        .expect_code(0);
    let ids: Vec<Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids.len(), 230);
    assert_eq!((&ids[0], &ids[229]), (&json!("id-0"), &json!("id-229")));
    assert_eq!(
        server
            .wtt(&["list", "--limit", "1000", "--json"])
            .expect_code(0)
            .stdout
            .lines()
            .count(),
        250
    );
    server.wtt(&["list", "--state", "sleeping"]).expect_code(2);
}

const CALLS: &[&[&str]] = &[
    &["status", "nope"],
    &["get", "nope"],
    &["watch", "nope"],
    &["cancel", "nope"],
    &["retry", "nope"],
    &["delete", "nope"],
    &["list"],
    &["submit", "Cargo.toml"],
];

#[test]
fn without_a_server_every_command_says_how_to_start_one() {
    // A port that was free a moment ago: nobody listens there now.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for call in CALLS {
        let output = wtt(&format!("http://{address}"), FilePath::new("."), call).expect_code(1);
        let said = &output.stderr;
        assert!(
            said.starts_with(&format!("wtt: cannot reach http://{address}: ")),
            "{call:?}: {said}"
        );
        assert!(
            said.contains("connection refused") && said.contains("wtt up"),
            "{call:?}: {said}"
        );
    }
}

#[test]
fn something_else_behind_the_address_is_recognized() {
    let html = async || {
        (
            StatusCode::NOT_FOUND,
            [(header::CONTENT_TYPE, "text/html")],
            "<h1>not here</h1>",
        )
    };
    let server = Server::start(Router::new().fallback(html));
    for call in CALLS {
        let output = server.wtt(call).expect_code(1);
        let said = &output.stderr;
        assert!(
            said.contains("answered 404") && said.contains("--server"),
            "{call:?}: {said}"
        );
    }
}

#[test]
fn a_missing_key_is_asked_for() {
    let refuse = async || {
        problem(
            401,
            "key_missing",
            "An API key is needed",
            "this server asks for a key",
        )
    };
    let server = Server::start(Router::new().fallback(refuse));
    for call in CALLS {
        let output = server.wtt(call).expect_code(1);
        assert!(
            output.stderr.contains("(key_missing)"),
            "{call:?}: {}",
            output.stderr
        );
        assert!(
            output.stderr.contains("WTT_API_KEY"),
            "{call:?}: {}",
            output.stderr
        );
    }
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let help = wtt("http://127.0.0.1:1", FilePath::new("."), &["--help"])
        .expect_code(0)
        .stdout;
    for command in [
        "demo",
        "transcribe",
        "up",
        "submit",
        "get",
        "status",
        "watch",
        "cancel",
        "retry",
        "list",
        "delete",
        "models",
    ] {
        let named = |line: &str| line.trim_start().starts_with(&format!("{command} "));
        assert!(help.lines().any(named), "{command} is missing in\n{help}");
        let own = wtt(
            "http://127.0.0.1:1",
            FilePath::new("."),
            &[command, "--help"],
        )
        .expect_code(0)
        .stdout;
        assert!(
            own.contains("Usage: wtt ") && own.contains("--help"),
            "{own}"
        );
    }
    // The command that `wtt up` starts its children with is nobody else's.
    let internal = |line: &str| line.trim_start().starts_with("worker ");
    assert!(
        help.contains("Exit codes:") && !help.lines().any(internal),
        "{help}"
    );
}

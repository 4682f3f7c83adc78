//! What a newcomer sees: `GET /` names the routes (JSON for programs, a plain page for browsers), `GET /version`.
//! The list is written by hand and held against docs/api.md by a test.

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::extract::Json;
use crate::state::AppState;

/// Method, path, and what it does.
pub const ROUTES: &[(&str, &str, &str)] = &[
    (
        "POST",
        "/api/v1/transcriptions",
        "upload a recording (multipart: audio, options)",
    ),
    (
        "GET",
        "/api/v1/transcriptions",
        "list, newest first (state, limit, cursor)",
    ),
    (
        "GET",
        "/api/v1/transcriptions/{id}",
        "one transcription with its progress",
    ),
    (
        "GET",
        "/api/v1/transcriptions/{id}/events",
        "its progress as server-sent events",
    ),
    (
        "POST",
        "/api/v1/transcriptions/{id}/cancel",
        "ask for its end",
    ),
    (
        "POST",
        "/api/v1/transcriptions/{id}/retry",
        "run a failed or cancelled one again",
    ),
    (
        "DELETE",
        "/api/v1/transcriptions/{id}",
        "delete it with everything stored for it",
    ),
    ("GET", "/api/v1/transcriptions/{id}/files", "its files"),
    (
        "GET",
        "/api/v1/transcriptions/{id}/files/{name}",
        "midi, notes.json, notes.csv, roll.svg or source",
    ),
    (
        "GET",
        "/api/v1/results/{id}/{name}",
        "a file of a job by the signed address that its status names",
    ),
    ("GET", "/api/v1/models", "models and their options"),
    (
        "GET",
        "/problems/{code}",
        "what the code of a problem means",
    ),
    ("GET", "/version", "the server's version"),
    ("GET", "/livez", "is it alive"),
    ("GET", "/readyz", "can it serve"),
    ("GET", "/startupz", "has it started"),
    (
        "POST",
        "/transcribe/upload/",
        "the first version's upload; /transcribe/ has the rest of its routes",
    ),
];

pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/", get(show_routes))
        .route("/version", get(show_version))
}

async fn show_routes(headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let vary = [(header::VARY, "accept")];
    if accept.contains("text/html") {
        (vary, Html(page())).into_response()
    } else {
        (vary, Json(listing())).into_response()
    }
}

async fn show_version() -> Json<Value> {
    Json(json!({
        "name": "whatsthetab",
        "version": env!("CARGO_PKG_VERSION"),
        "revision": option_env!("GIT_SHA").unwrap_or("unknown"),
    }))
}

fn listing() -> Value {
    let routes: Vec<Value> = ROUTES
        .iter()
        .map(|(method, path, about)| json!({"method": method, "path": path, "about": about}))
        .collect();
    json!({
        "name": "What's The Tab",
        "version": env!("CARGO_PKG_VERSION"),
        "about": "Upload a recording, get its notes back.",
        "try": "curl -F audio=@recording.mp3 http://HOST:PORT/api/v1/transcriptions",
        "routes": routes,
    })
}

fn page() -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>What's The Tab</title>\
         <h1>What's The Tab</h1><p>Upload a recording, get its notes back:</p>\
         <pre>curl -F audio=@recording.mp3 http://HOST:PORT/api/v1/transcriptions</pre><table>",
    );
    for (method, path, about) in ROUTES {
        page.push_str(&format!(
            "<tr><td>{method}<td><code>{path}</code><td>{about}</tr>"
        ));
    }
    page.push_str("</table></html>\n");
    page
}

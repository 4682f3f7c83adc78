//! Any body as a form, to each route that takes one: taken or refused with a code.
#![no_main]

mod service;

use arbitrary::Arbitrary;
use axum::body::Body;
use axum::http::Request;
use libfuzzer_sys::fuzz_target;

const ROUTES: &[(&str, &str)] = &[
    ("POST", "/api/v1/transcriptions"),
    ("POST", "/transcribe/upload/"),
    ("POST", "/transcribe/42/_result/"),
    ("PUT", "/internal/v1/tasks/0190/result"),
];
const NAMES: &[&str] = &["audio", "file", "model", "options", "labels", "priority", "midi", "notes", "report", "queue"];

#[derive(Debug, Arbitrary)]
enum Piece<'a> {
    Part { name: u8, filename: Option<&'a str>, kind: Option<&'a str>, body: &'a [u8] },
    Named { name: &'a str, body: &'a [u8] },
    Raw(&'a [u8]),
}

#[derive(Debug, Arbitrary)]
struct Form<'a> {
    route: u8,
    cut: bool,
    pieces: Vec<Piece<'a>>,
}

fuzz_target!(|form: Form<'_>| {
    let (method, path) = ROUTES[usize::from(form.route) % ROUTES.len()];
    let mut body = Vec::new();
    for piece in &form.pieces {
        match piece {
            Piece::Part { name, filename, kind, body: bytes } => {
                let name = NAMES[usize::from(*name) % NAMES.len()];
                body.extend_from_slice(format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"").as_bytes());
                if let Some(filename) = filename {
                    body.extend_from_slice(format!("; filename=\"{filename}\"").as_bytes());
                }
                if let Some(kind) = kind {
                    body.extend_from_slice(format!("\r\nContent-Type: {kind}").as_bytes());
                }
                body.extend_from_slice(b"\r\n\r\n");
                body.extend_from_slice(bytes);
                body.extend_from_slice(b"\r\n");
            }
            Piece::Named { name, body: bytes } => {
                body.extend_from_slice(format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes());
                body.extend_from_slice(bytes);
                body.extend_from_slice(b"\r\n");
            }
            Piece::Raw(bytes) => body.extend_from_slice(bytes),
        }
    }
    if !form.cut {
        body.extend_from_slice(b"--X--\r\n");
    }
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "multipart/form-data; boundary=X")
        .header("authorization", "Bearer 1-abc")
        .body(Body::from(body));
    if let Ok(request) = request {
        service::ask(request);
    }
});

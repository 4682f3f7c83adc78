//! Any request to any route: method, path, query, headers and body, with the ids of transcriptions in every state and the credentials
//! that open them. Never a fault of ours, and every refusal in the shape of its route. Each route must have taken a good request
//! before the first input.
#![no_main]

mod good;
mod ground;
mod service;

use arbitrary::Arbitrary;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use ground::{ROLES, Role, escaped};
use libfuzzer_sys::fuzz_target;
use service::Answer;

const METHODS: &[Method] = &[
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::HEAD,
    Method::OPTIONS,
];
const HEADERS: &[&str] = &[
    "accept",
    "authorization",
    "content-length",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "last-event-id",
    "range",
    "if-range",
    "x-request-id",
    "accept-encoding",
    "transfer-encoding",
    "expect",
];
const KINDS: &[&str] = &[
    good::JSON,
    good::MULTIPART,
    "application/x-www-form-urlencoded",
];

/// Method, path without its last slash, the transcription that is named, and the query of a request that is taken.
const GOOD: &[(Method, &str, Role, Option<&str>)] = &[
    (Method::GET, "/", Role::Queued, None),
    (Method::GET, "/version", Role::Queued, None),
    (Method::GET, "/livez", Role::Queued, None),
    (Method::GET, "/readyz", Role::Queued, None),
    (Method::GET, "/startupz", Role::Queued, None),
    (Method::GET, "/problems", Role::Queued, None),
    (Method::GET, "/problems/{code}", Role::Queued, None),
    (Method::GET, "/api/v1/models", Role::Queued, None),
    (
        Method::GET,
        "/api/v1/transcriptions",
        Role::Queued,
        Some("state=succeeded&limit=5"),
    ),
    (Method::POST, "/api/v1/transcriptions", Role::Queued, None),
    (Method::GET, "/api/v1/transcriptions/{id}", Role::Live, None),
    (
        Method::DELETE,
        "/api/v1/transcriptions/{id}",
        Role::Queued,
        None,
    ),
    (
        Method::POST,
        "/api/v1/transcriptions/{id}/cancel",
        Role::Queued,
        None,
    ),
    (
        Method::POST,
        "/api/v1/transcriptions/{id}/retry",
        Role::Failed,
        None,
    ),
    (
        Method::GET,
        "/api/v1/transcriptions/{id}/files",
        Role::Succeeded,
        None,
    ),
    (
        Method::GET,
        "/api/v1/transcriptions/{id}/files/{name}",
        Role::Succeeded,
        None,
    ),
    (
        Method::GET,
        "/api/v1/transcriptions/{id}/events",
        Role::Live,
        None,
    ),
    (
        Method::GET,
        "/api/v1/results/{id}/{name}",
        Role::Succeeded,
        None,
    ),
    (
        Method::GET,
        "/internal/v1/tasks/{id}/audio",
        Role::Live,
        None,
    ),
    (
        Method::PUT,
        "/internal/v1/tasks/{id}/result",
        Role::Live,
        None,
    ),
    (
        Method::GET,
        "/internal/v1/transcriptions",
        Role::Job,
        Some("origin=wtt/music"),
    ),
    (
        Method::PUT,
        "/internal/v1/transcriptions/{id}",
        Role::Job,
        None,
    ),
    (
        Method::GET,
        "/internal/v1/transcriptions/{id}",
        Role::Job,
        None,
    ),
    (
        Method::DELETE,
        "/internal/v1/transcriptions/{id}",
        Role::Job,
        None,
    ),
    (
        Method::PUT,
        "/internal/v1/transcriptions/{id}/suspended",
        Role::Job,
        None,
    ),
    (Method::GET, "/transcribe", Role::Created, None),
    (Method::POST, "/transcribe/upload", Role::Created, None),
    (Method::POST, "/transcribe/generate", Role::Created, None),
    (Method::GET, "/transcribe/status/{id}", Role::Live, None),
    (Method::GET, "/transcribe/midi/{id}", Role::Succeeded, None),
    (
        Method::GET,
        "/transcribe/download_midi/{id}",
        Role::Succeeded,
        None,
    ),
    (Method::GET, "/transcribe/metrics", Role::Created, None),
    (Method::POST, "/transcribe/_result", Role::Live, None),
    (Method::GET, "/media/{*path}", Role::Live, None),
    // Takes nothing, by design.
    (
        Method::POST,
        "/transcribe/upload_from_yt",
        Role::Created,
        None,
    ),
];

#[derive(Debug, Arbitrary)]
enum Content<'a> {
    Raw {
        kind: u8,
        bytes: &'a [u8],
    },
    /// What the route takes.
    Good,
    /// The same with other bytes in one place.
    Bent {
        at: u16,
        bytes: &'a [u8],
    },
}

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    method: u8,
    route: u8,
    /// Which transcription the path names: half of all numbers mean the one with a live claim.
    known: u8,
    name: u8,
    /// Without the credential that the route needs.
    bare: bool,
    /// For one of the `{..}` of the route.
    odd: Option<(u8, &'a str)>,
    /// Instead of a route's.
    path: Option<&'a str>,
    query: Option<&'a str>,
    headers: Vec<(u8, &'a [u8])>,
    content: Content<'a>,
}

fuzz_target!(init: prove(), |input: Input<'_>| {
    send(&input);
});

/// The target is not dead: every path of the router takes a request that an input can make.
fn prove() {
    let paths = service::get().paths.clone();
    assert!(paths.len() > 30, "the router shows only {paths:?}");
    for (route, path) in (0_u8..).zip(&paths) {
        let plain = match path.trim_end_matches('/') {
            "" => "/",
            plain => plain,
        };
        let mut any = false;
        for (method, _, role, query) in GOOD.iter().filter(|good| good.1 == plain) {
            any = true;
            let at = METHODS.iter().position(|known| known == method);
            let input = Input {
                method: at.expect("a method of the table") as u8,
                route,
                known: *role as u8,
                name: 0,
                bare: false,
                odd: None,
                path: None,
                query: *query,
                headers: Vec::new(),
                content: Content::Good,
            };
            let answer = send(&input).expect("a good request can be sent");
            let taken = match plain {
                "/transcribe/upload_from_yt" => answer.status == StatusCode::NOT_IMPLEMENTED,
                _ => answer.status.is_success(),
            };
            assert!(taken, "{method} {path}: {}", answer.text());
        }
        assert!(any, "{path} has no good request in the table");
    }
}

fn send(input: &Input<'_>) -> Option<Answer> {
    let method = METHODS[usize::from(input.method) % METHODS.len()].clone();
    let mut service = service::get();
    let template = service.paths[usize::from(input.route) % service.paths.len()].clone();
    let role = ROLES.get(usize::from(input.known) % (2 * ROLES.len()));
    let known = service.ready().of(*role.unwrap_or(&Role::Live)).clone();
    let mut path = match input.path {
        Some(path) => format!("/{path}"),
        None => known.path(&template, input.name, input.odd),
    };
    if let Some(query) = input.query {
        path = format!("{path}?{}", escaped(query));
    }
    let template = template.trim_end_matches('/');
    let good = || good::content(&method, template, known.number);
    let content = match &input.content {
        Content::Raw { kind, bytes } => {
            let kind = KINDS.get(usize::from(*kind) % (KINDS.len() + 1));
            Some((*kind.unwrap_or(&""), bytes.to_vec()))
        }
        Content::Good => good(),
        Content::Bent { at, bytes } => {
            good().map(|(kind, whole)| (kind, good::bent(whole, *at, bytes)))
        }
    };
    let credential = known.credential(&path).filter(|_| !input.bare);
    let mut request = service::request(method.clone(), &path, credential, content)?;
    if !request.uri().path().starts_with('/') {
        return None;
    }
    for (name, value) in input.headers.iter().take(8) {
        let name = HeaderName::from_static(HEADERS[usize::from(*name) % HEADERS.len()]);
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request.headers_mut().append(name, value);
        }
    }
    Some(service.ask(request))
}

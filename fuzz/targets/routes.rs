//! Any request to any route: method, path, query, headers and body. Never a 500, and every refusal has a code.
#![no_main]

mod service;

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use libfuzzer_sys::fuzz_target;

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
    "accept", "authorization", "content-length", "content-type", "idempotency-key", "if-match", "if-modified-since", "if-none-match", "last-event-id", "range",
    "if-range", "x-request-id", "accept-encoding", "transfer-encoding", "expect",
];

/// Every path of the router.
static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| service::SERVICE._bound.paths());

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    method: u8,
    route: u8,
    /// For the `{..}` of the route.
    parameter: &'a str,
    path: Option<&'a str>,
    query: Option<&'a str>,
    headers: Vec<(u8, &'a [u8])>,
    body: &'a [u8],
}

/// A text as one segment of a path, or what follows `?`.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'=' | b'&' => char::from(byte).to_string(),
            _ => format!("%{byte:02x}"),
        })
        .collect()
}

fuzz_target!(|input: Input<'_>| {
    let path = match input.path {
        Some(path) => format!("/{path}"),
        None => {
            let routes = &*PATHS;
            let route = &routes[usize::from(input.route) % routes.len()];
            let segments = route.split('/').map(|segment| {
                if segment.starts_with('{') { escaped(input.parameter) } else { segment.to_owned() }
            });
            segments.collect::<Vec<_>>().join("/")
        }
    };
    let uri = match input.query {
        Some(query) => format!("{path}?{}", escaped(query)),
        None => path,
    };
    let Ok(uri) = uri.parse::<Uri>() else {
        return;
    };
    if !uri.path().starts_with('/') {
        return;
    }
    let mut request = Request::new(Body::from(input.body.to_vec()));
    *request.method_mut() = METHODS[usize::from(input.method) % METHODS.len()].clone();
    *request.uri_mut() = uri;
    for (name, value) in input.headers.iter().take(8) {
        let name = HeaderName::from_static(HEADERS[usize::from(*name) % HEADERS.len()]);
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request.headers_mut().append(name, value);
        }
    }
    service::ask(request);
});

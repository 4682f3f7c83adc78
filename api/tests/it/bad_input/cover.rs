//! Whether the table knows every route: the router itself is asked for its paths, and the service for the methods of each, so
//! that a new route without rows fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::row::{Row, Wrong, request};
use super::wire::exchange;

/// Needs no credential: nothing can be wrong with it.
const OPEN: &[&str] = &[
    "/",
    "/version",
    "/livez",
    "/readyz",
    "/startupz",
    "/transcribe",
    "/transcribe/",
    "/problems",
    "/problems/{code}",
];

/// What of the table is missing, in words.
pub(crate) async fn missing(address: SocketAddr, paths: &[String], rows: &[Row]) -> Vec<String> {
    let mut have: BTreeMap<&str, BTreeSet<Wrong>> = BTreeMap::new();
    for row in rows {
        have.entry(row.route).or_default().insert(row.wrong);
    }
    let mut missing = Vec::new();
    let mut routes = BTreeSet::new();
    for path in paths {
        // The same handler with and without its last slash: the one without stands for both.
        let path = match path.trim_end_matches('/') {
            "" => "/",
            trimmed => trimmed,
        };
        for method in methods(address, path).await {
            routes.insert(format!("{method} {path}"));
        }
    }
    for route in &routes {
        let (method, path) = route.split_once(' ').unwrap();
        let mut needed = vec![Wrong::Method, Wrong::Query, Wrong::Header];
        if !OPEN.contains(&path) {
            needed.push(Wrong::Auth);
        }
        if path.contains('{') {
            needed.push(Wrong::Id);
        }
        if matches!(method, "POST" | "PUT") {
            needed.push(Wrong::Body);
        }
        let none = BTreeSet::new();
        let kinds = have.get(route.as_str()).unwrap_or(&none);
        let lacks: Vec<_> = needed.iter().filter(|kind| !kinds.contains(kind)).collect();
        if !lacks.is_empty() {
            missing.push(format!("{route}: no row for {lacks:?}"));
        }
    }
    for route in have.keys().filter(|route| !routes.contains(**route)) {
        missing.push(format!("{route}: the service has no such route"));
    }
    missing
}

/// The methods of a path, from the `Allow` that a nonsensical one is answered with. HEAD comes with GET.
async fn methods(address: SocketAddr, path: &str) -> Vec<String> {
    let target = path
        .replace("{*path}", "x")
        .replace("{id}", "1")
        .replace("{name}", "midi")
        .replace("{code}", "internal");
    // Only then the router is asked.
    let key = match path.starts_with("/internal/v1/transcriptions") {
        true => super::ground::OPERATOR,
        false => super::ground::KEY,
    };
    let request = request("BREW", &target).bearer(key);
    let answer = exchange(address, &request.bytes()).await.unwrap();
    let allowed = answer
        .header("allow")
        .unwrap_or_else(|| panic!("{path}: no Allow in a {}: {}", answer.status, answer.text()));
    allowed
        .split(',')
        .map(|method| method.trim().to_owned())
        .filter(|method| method != "HEAD")
        .collect()
}

//! Rows for what only an operator asks, and for signed addresses: whatever is wrong is told at once, and nothing is fetched.

use serde_json::{Value, json};

use super::ground::{Ground, KEY, OPERATOR, ORIGIN};
use super::row::{Request, Route, Table, Wrong, request};

const FEED: Route = "GET /internal/v1/transcriptions";
const PUT: Route = "PUT /internal/v1/transcriptions/{id}";
const SHOW: Route = "GET /internal/v1/transcriptions/{id}";
const DELETE: Route = "DELETE /internal/v1/transcriptions/{id}";
const SUSPEND: Route = "PUT /internal/v1/transcriptions/{id}/suspended";
const RESULT: Route = "GET /api/v1/results/{id}/{name}";

/// Neither ids nor anything else.
const EVIL_IDS: &[&str] = &[
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "a%00b",
    "%22%3b%20DROP%20TABLE%20transcriptions",
    "%F0%9F%8E%B8",
    "%0d%0aSet-Cookie:%20a=b",
    "*",
    "a_b",
];

fn op(method: &'static str, target: impl Into<String>) -> Request {
    request(method, target).bearer(OPERATOR)
}

fn at(id: &str) -> String {
    format!("/internal/v1/transcriptions/{id}")
}

fn put(id: &str, body: &Value) -> Request {
    op("PUT", at(id)).body("application/json", body.to_string())
}

fn with(name: &str, value: Value) -> Value {
    let mut body = json!({"source": {"url": "https://example.org/a.wav"}, "origin": ORIGIN});
    body[name] = value;
    body
}

#[rustfmt::skip] // One row a line.
pub(crate) fn rows(table: &mut Table, ground: &Ground) {
    credentials(table, ground);
    ids(table, ground);
    feed(table);
    bodies(table);
    repeats(table, ground);
    signed(table, ground);
    for (route, method, target, body) in [(FEED, "GET", format!("/internal/v1/transcriptions?origin={ORIGIN}"), None), (SHOW, "GET", at(&ground.job), None), (DELETE, "DELETE", at(&ground.failed_job), None), (PUT, "PUT", at(&ground.job), Some(ground.asked.clone())), (SUSPEND, "PUT", format!("{}/suspended", at(&ground.job)), Some(json!({"suspended": true})))] {
        let odd = op(method, target).header("accept", "application/xml").header("cookie", "session=x").header("x-http-method-override", "POST");
        let odd = match body { Some(body) => odd.body("application/json", body.to_string()), None => odd };
        table.row(route, Wrong::Header, "headers that mean nothing here", odd, 200, "");
    }
}

#[rustfmt::skip] // One row a line.
fn credentials(table: &mut Table, ground: &Ground) {
    for (route, target) in [(FEED, format!("/internal/v1/transcriptions?origin={ORIGIN}")), (PUT, at("new-1")), (SHOW, at(&ground.job)), (DELETE, at(&ground.job)), (SUSPEND, format!("{}/suspended", at(&ground.job)))] {
        let (method, _) = route.split_once(' ').unwrap();
        for wrong in ["PATCH", "BREW", "OPTIONS"] {
            table.row(route, Wrong::Method, format!("{wrong} instead of {method}"), op(wrong, target.as_str()), 405, "method_not_allowed").with("allow", method);
        }
        table.row(route, Wrong::Auth, "no key", request(method, target.as_str()), 401, "key_missing").with("www-authenticate", "Bearer");
        table.row(route, Wrong::Auth, "a wrong key", request(method, target.as_str()).bearer("wrong-key-0123456789"), 401, "key_invalid").with("www-authenticate", "Bearer");
        table.row(route, Wrong::Auth, "a user's key", request(method, target.as_str()).bearer(KEY), 403, "scope_missing");
        table.row(route, Wrong::Auth, "a claim's token instead of a key", request(method, target.as_str()).bearer(ground.live.token.as_str()), 401, "key_invalid");
    }
    table.row("GET /api/v1/transcriptions", Wrong::Auth, "an operator's key", op("GET", "/api/v1/transcriptions"), 403, "scope_missing");
    for wrong in ["PATCH", "BREW", "OPTIONS"] {
        table.row(RESULT, Wrong::Method, format!("{wrong} instead of GET"), op(wrong, "/api/v1/results/x/midi"), 405, "method_not_allowed").with("allow", "GET");
    }
}

#[rustfmt::skip] // One row a line.
fn ids(table: &mut Table, ground: &Ground) {
    let suspend = json!({"suspended": true}).to_string();
    for id in EVIL_IDS.iter().copied().chain(["nobody", ground.queued.as_str()]) {
        let name = format!("id {id}");
        table.row(SHOW, Wrong::Id, name.as_str(), op("GET", at(id)), 404, "transcription_unknown");
        table.row(DELETE, Wrong::Id, name.as_str(), op("DELETE", at(id)), 404, "transcription_unknown");
        table.row(SUSPEND, Wrong::Id, name, op("PUT", format!("{}/suspended", at(id))).body("application/json", suspend.as_str()), 404, "transcription_unknown");
    }
    for id in EVIL_IDS {
        table.row(PUT, Wrong::Id, format!("id {id}"), put(id, &with("priority", json!(0))), 422, "parameter_invalid");
    }
    let long = "a".repeat(5_000);
    table.row(PUT, Wrong::Id, "an id of 5,000 characters", put(&long, &with("priority", json!(0))), 422, "parameter_invalid");
    table.row(SHOW, Wrong::Id, "an id that is not text", op("GET", at("%ff%fe")), 404, "not_found");
    for (route, method) in [(SHOW, "GET"), (DELETE, "DELETE")] {
        table.row(route, Wrong::Id, "deleted", op(method, at(&ground.deleted)), 410, "deleted");
    }
    table.row(PUT, Wrong::Id, "deleted", put(&ground.deleted, &with("priority", json!(0))), 410, "deleted");
    table.row(PUT, Wrong::Id, "an upload's", put(&ground.queued, &with("priority", json!(0))), 409, "uid_taken");
    for query in ["kind=", "kind=CANCELLED", "kind=poison", "kind=a&kind=b", "colour=red", "kind=%00"] {
        table.row(DELETE, Wrong::Query, query, op("DELETE", format!("{}?{query}", at(&ground.job))), 422, "parameter_invalid");
    }
    table.row(SHOW, Wrong::Query, "a query that is not known", op("GET", format!("{}?fields=id", at(&ground.job))), 200, "");
    table.row(PUT, Wrong::Query, "a query that is not known", op("PUT", format!("{}?force=1", at("new-1"))).body("application/json", "{}"), 422, "parameter_invalid");
    table.row(SUSPEND, Wrong::Query, "a query that is not known", op("PUT", format!("{}/suspended?suspended=true", at(&ground.job))).body("application/json", "{}"), 422, "parameter_invalid");
}

#[rustfmt::skip] // One row a line.
fn feed(table: &mut Table) {
    for query in ["", "origin=", "origin=wtt", "origin=/", "origin=/music", "origin=wtt/a/b", "origin=wtt/a/", "origin=WTT/music", "origin=wtt/%00", "origin=wtt/%25", "origin=wtt/music&after=-1", "origin=wtt/music&after=x", "origin=wtt/music&after=99999999999999999999999", "origin=wtt/music&limit=-1", "origin=wtt/music&limit=ten", "origin=wtt/music&active=yes", "origin=wtt/music&colour=red", "origin=wtt/music&origin=wtt/b"] {
        table.row(FEED, Wrong::Query, query, op("GET", format!("/internal/v1/transcriptions?{query}")), 422, "parameter_invalid");
    }
    let far = "/internal/v1/transcriptions?origin=wtt/music&limit=99999999&after=18446744073709551615";
    table.row(FEED, Wrong::Query, "the end of time, and more than a page", op("GET", far), 200, "");
}

#[rustfmt::skip] // One row a line.
fn bodies(table: &mut Table) {
    use Wrong::Body;
    let raw = |body: &str| op("PUT", at("new-1")).body("application/json", body);
    table.row(PUT, Body, "no body", op("PUT", at("new-1")), 415, "media_type_unsupported");
    table.row(PUT, Body, "a form", op("PUT", at("new-1")).body("application/x-www-form-urlencoded", "source=x"), 415, "media_type_unsupported");
    for text in ["", "{", "{\"source\":", "nonsense", "{\"a\":1}}"] {
        table.row(PUT, Body, format!("JSON cut or bent: {text}"), raw(text), 400, "json_malformed");
    }
    table.row(PUT, Body, "bytes that are no text", op("PUT", at("new-1")).body("application/json", b"{\"origin\":\"\xff\xfe\"}".to_vec()), 400, "json_malformed");
    table.row(PUT, Body, "deep JSON", raw(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))), 400, "json_malformed");
    table.row(PUT, Body, "JSON of 100,000 bytes", raw(&with("options", json!({"a": "x".repeat(100_000)})).to_string()), 413, "body_too_large");
    for text in ["[]", "1", "null", "\"a\"", "{}", "[{\"url\":\"https://example.org/\"}]"] {
        table.row(PUT, Body, format!("other JSON: {text}"), raw(text), 422, "parameter_invalid");
    }
    for (name, value, code) in [
        ("source", json!(null), "source_invalid"),
        ("source", json!({}), "source_invalid"),
        ("source", json!({"url": null}), "source_invalid"),
        ("source", json!({"url": "https://example.org/", "object": "imports/music/a"}), "source_invalid"),
        ("source", json!({"url": "https://example.org/", "object": "imports/music/a", "transcription": "a"}), "source_invalid"),
        ("source", json!([]), "parameter_invalid"),
        ("source", json!({"uri": "https://example.org/"}), "parameter_invalid"),
        ("source", json!({"url": 1}), "parameter_invalid"),
        ("source", json!({"url": ""}), "source_invalid"),
        ("source", json!({"url": "file:///etc/passwd"}), "source_invalid"),
        ("source", json!({"url": "ftp://example.org/a"}), "source_invalid"),
        ("source", json!({"url": "http://user:pass@example.org/"}), "source_invalid"),
        ("source", json!({"url": "http://example.org:22/"}), "source_invalid"),
        ("source", json!({"url": "http://[::1"}), "source_invalid"),
        ("source", json!({"url": "http://exa\u{0}mple.org/"}), "source_invalid"),
        ("source", json!({"url": format!("https://example.org/{}", "a".repeat(3_000))}), "source_invalid"),
        ("source", json!({"url": "http://127.0.0.1/"}), "source_forbidden_address"),
        ("source", json!({"url": "http://127.1/"}), "source_forbidden_address"),
        ("source", json!({"url": "http://0/"}), "source_forbidden_address"),
        ("source", json!({"url": "http://2852039166/latest/meta-data/"}), "source_forbidden_address"),
        ("source", json!({"url": "http://169.254.169.254/latest/meta-data/"}), "source_forbidden_address"),
        ("source", json!({"url": "http://[fd00:ec2::254]/"}), "source_forbidden_address"),
        ("source", json!({"url": "http://[::ffff:169.254.169.254]/"}), "source_forbidden_address"),
        ("source", json!({"url": "http://[64:ff9b::a9fe:a9fe]/"}), "source_forbidden_address"),
        ("source", json!({"url": "https://10.0.0.1:8443/"}), "source_forbidden_address"),
        ("source", json!({"object": ""}), "source_invalid"),
        ("source", json!({"object": "imports/other/a.wav"}), "source_invalid"),
        ("source", json!({"object": "imports/music/../other/a.wav"}), "source_invalid"),
        ("source", json!({"object": "imports/music/%2e%2e/../../a"}), "source_invalid"),
        ("source", json!({"object": "/imports/music/a.wav"}), "source_invalid"),
        ("source", json!({"object": "imports/music/a\u{0}.wav"}), "source_invalid"),
        ("source", json!({"object": format!("imports/music/{}", "a".repeat(2_000))}), "source_invalid"),
        ("source", json!({"transcription": ""}), "source_not_found"),
        ("source", json!({"transcription": "nobody"}), "source_not_found"),
        ("source", json!({"transcription": "../a\u{0}"}), "source_not_found"),
        ("model", json!("nope"), "model_unknown"),
        ("model", json!(""), "model_unknown"),
        ("model", json!({}), "parameter_invalid"),
        ("queue", json!("nope"), "queue_unknown"),
        ("queue", json!("default; DROP"), "queue_unknown"),
        ("queue", json!("high"), "queue_unknown"),
        ("queue", json!(["default"]), "parameter_invalid"),
        ("options", json!({"speed": 1}), "options_invalid"),
        ("options", json!({"onsetThresholdPercent": 101}), "options_invalid"),
        ("options", json!({"onsetThresholdPercent": -1}), "options_invalid"),
        ("options", json!({"melodia": 1}), "options_invalid"),
        ("options", json!({"minimumFrequency": 500, "maximumFrequency": "100"}), "options_invalid"),
        ("options", json!({"onset_threshold": 0.5, "onsetThresholdPercent": 50}), "options_invalid"),
        ("options", json!("fast"), "parameter_invalid"),
        ("priority", json!(1001), "parameter_invalid"),
        ("priority", json!(-1001), "parameter_invalid"),
        ("priority", json!(0.5), "parameter_invalid"),
        ("priority", json!("high"), "parameter_invalid"),
        ("limits", json!({"backoffLimit": -1}), "parameter_invalid"),
        ("limits", json!({"backoffLimit": 11}), "parameter_invalid"),
        ("limits", json!({"activeDeadlineSeconds": 0}), "parameter_invalid"),
        ("limits", json!({"activeDeadlineSeconds": -3600}), "parameter_invalid"),
        ("limits", json!({"queueDeadlineSeconds": 0}), "parameter_invalid"),
        ("limits", json!({"queueDeadlineSeconds": 1e30}), "parameter_invalid"),
        ("limits", json!({"ttlSecondsAfterFinished": -1}), "parameter_invalid"),
        ("limits", json!({"ttl": 1}), "parameter_invalid"),
        ("limits", json!([1]), "parameter_invalid"),
        ("origin", json!(null), "parameter_invalid"),
        ("origin", json!("music"), "parameter_invalid"),
        ("origin", json!("../.."), "parameter_invalid"),
        ("origin", json!("wtt/music/x"), "parameter_invalid"),
        ("suspended", json!("yes"), "parameter_invalid"),
        ("colour", json!("red"), "parameter_invalid"),
    ] {
        let shown: String = value.to_string().chars().take(80).collect();
        let (status, body) = (422, with(name, value));
        table.row(PUT, Body, format!("{name}: {shown}"), put("new-1", &body), status, code);
    }
    for body in ["{}", "[]", "true", "{\"suspended\":1}", "{\"suspended\":\"true\"}", "{\"suspended\":true,\"a\":1}", "null"] {
        table.row(SUSPEND, Body, format!("other JSON: {body}"), op("PUT", format!("{}/suspended", at("nobody"))).body("application/json", body), 422, "parameter_invalid");
    }
    table.row(SUSPEND, Body, "no body", op("PUT", format!("{}/suspended", at("nobody"))), 415, "media_type_unsupported");
    table.row(SUSPEND, Body, "JSON cut", op("PUT", format!("{}/suspended", at("nobody"))).body("application/json", "{\"suspended\":tr"), 400, "json_malformed");
}

/// Of jobs that are there.
#[rustfmt::skip] // One row a line.
fn repeats(table: &mut Table, ground: &Ground) {
    table.row(PUT, Wrong::Body, "the same again is no mistake", put(&ground.job, &ground.asked), 200, "");
    for (name, value) in [("source", json!({"url": "https://example.org/other.wav"})), ("priority", json!(7)), ("model", json!("basic-pitch")), ("options", json!({"melodia": true})), ("limits", json!({"backoffLimit": 9}))] {
        let mut other = ground.asked.clone();
        other[name] = value;
        table.row(PUT, Wrong::Body, format!("another {name} than before"), put(&ground.job, &other), 409, "immutable_changed");
    }
    let mut other = ground.asked.clone();
    other["origin"] = "wtt/other".into();
    table.row(PUT, Wrong::Body, "another origin than before", put(&ground.job, &other), 409, "uid_taken");
    let mut foreign = json!({"source": {"transcription": ground.job}, "origin": "wtt/other"});
    table.row(PUT, Wrong::Body, "another namespace's recording", put("new-1", &foreign), 422, "source_not_found");
    foreign["source"] = json!({"transcription": ground.deleted});
    table.row(PUT, Wrong::Body, "a deleted recording", put("new-1", &foreign), 422, "source_not_found");
    table.row(DELETE, Wrong::Id, "one that has ended", op("DELETE", at(&ground.failed_job)), 200, "");
    table.row(SUSPEND, Wrong::Id, "one that has ended", op("PUT", format!("{}/suspended", at(&ground.failed_job))).body("application/json", "{\"suspended\":true}"), 200, "");
}

#[rustfmt::skip] // One row a line.
fn signed(table: &mut Table, ground: &Ground) {
    let result = |id: &str, name: &str, query: &str| request("GET", format!("/api/v1/results/{id}/{name}{query}"));
    let done = ground.succeeded.as_str();
    for query in ["", "?", "?expires=99999999999", "?signature=00", "?expires=-1&signature=00", "?expires=x&signature=00", "?expires=99999999999&signature=00&colour=red"] {
        table.row(RESULT, Wrong::Query, format!("no proper signature: {query}"), result(done, "midi", query), 422, "parameter_invalid");
    }
    let long = "0".repeat(20_000);
    for signature in ["", "00", "zz", &"0".repeat(64), &long, "%00", "%F0%9F%8E%B8"] {
        let name: String = signature.chars().take(70).collect();
        table.row(RESULT, Wrong::Auth, format!("a forged signature: {name}"), result(done, "midi", &format!("?expires=99999999999&signature={signature}")), 403, "signature_invalid");
    }
    // Whether there is such an id or file is not told without a signature.
    let forged = format!("?expires=99999999999&signature={}", "0".repeat(64));
    for (id, name) in [("nobody", "midi"), (done, "source"), (done, "nothing"), (ground.deleted.as_str(), "midi"), ("..%2f..", "midi"), ("a%00b", "midi"), (done, "..%2fsource")] {
        table.row(RESULT, Wrong::Id, format!("{id}/{name} without a signature"), result(id, name, &forged), 403, "signature_invalid");
    }
    table.row(RESULT, Wrong::Id, "an id that is not text", result("%ff", "midi", &forged), 404, "not_found");
    table.row(RESULT, Wrong::Header, "a key does not make up for a signature", result(done, "midi", &forged).bearer(KEY), 403, "signature_invalid");
}

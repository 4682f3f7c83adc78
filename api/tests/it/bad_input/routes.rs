//! Rows for every route: credentials, methods, ids, queries and headers. Bodies have files of their own.

use super::ground::{Ground, KEY};
use super::row::{Request, Route, Table, Wrong, request};

/// Ids that lead elsewhere, or nowhere: percent-encoded as in a request line, and what they decode to is no id.
const EVIL_IDS: &[&str] = &[
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "..",
    "a%00b",
    "%22%3b%20DROP%20TABLE%20transcriptions",
    "%F0%9F%8E%B8",
    "%0d%0aSet-Cookie:%20a=b",
    "{id}",
    "*",
    "019a0000-0000-7000-8000-000000000000",
];

#[rustfmt::skip] // One row a line.
pub(crate) fn rows(table: &mut Table, ground: &Ground) {
    open(table);
    transcriptions(table, ground);
    ids(table, ground);
    list(table);
    headers(table, ground);
    table.row("GET /api/v1/models", Wrong::Query, "a query that is not known is not looked at", keyed("GET", "/api/v1/models?colour=red&%00"), 200, "");
    table.row("GET /api/v1/models", Wrong::Header, "Accept of something else", keyed("GET", "/api/v1/models").header("accept", "application/xml"), 200, "");
    everywhere(table, ground);
    transport(table);
}

pub(crate) fn keyed(method: &'static str, target: impl Into<String>) -> Request {
    request(method, target).bearer(KEY)
}

fn job(id: &str, rest: &str) -> String {
    format!("/api/v1/transcriptions/{id}{rest}")
}

/// Method and credential, for every route: the method is nonsense, the credential is missing, wrong, or in the wrong place.
#[rustfmt::skip] // One row a line.
fn everywhere(table: &mut Table, ground: &Ground) {
    let (id, name) = (&ground.succeeded, &ground.succeeded_number);
    let v1: [(Route, &'static str, String); 10] = [
        ("POST /api/v1/transcriptions", "POST", "/api/v1/transcriptions".into()),
        ("GET /api/v1/transcriptions", "GET", "/api/v1/transcriptions".into()),
        ("GET /api/v1/transcriptions/{id}", "GET", job(id, "")),
        ("DELETE /api/v1/transcriptions/{id}", "DELETE", job(id, "")),
        ("POST /api/v1/transcriptions/{id}/cancel", "POST", job(id, "/cancel")),
        ("POST /api/v1/transcriptions/{id}/retry", "POST", job(&ground.failed, "/retry")),
        ("GET /api/v1/transcriptions/{id}/files", "GET", job(id, "/files")),
        ("GET /api/v1/transcriptions/{id}/files/{name}", "GET", job(id, "/files/midi")),
        ("GET /api/v1/transcriptions/{id}/events", "GET", job(id, "/events")),
        ("GET /api/v1/models", "GET", "/api/v1/models".into()),
    ];
    for (route, method, target) in &v1 {
        refused_method(table, route, target, 405, "method_not_allowed");
        table.row(route, Wrong::Auth, "no key", request(method, target.as_str()), 401, "key_missing").with("www-authenticate", "Bearer");
        table.row(route, Wrong::Auth, "a wrong key", request(method, target.as_str()).bearer("wrong-key-0123456789"), 401, "key_invalid").with("www-authenticate", "Bearer");
        // A worker's claim opens the workers' routes and nothing else.
        table.row(route, Wrong::Auth, "a claim's token instead of a key", request(method, target.as_str()).bearer(ground.live.token.as_str()), 401, "key_invalid");
    }
    let list = "/api/v1/transcriptions";
    for (name, request) in [
        ("a key in the address", request("GET", format!("{list}?api_key={KEY}"))),
        ("a key as Basic", request("GET", list).header("authorization", format!("Basic {KEY}"))),
        ("a key without its scheme", request("GET", list).header("authorization", KEY)),
        ("an empty Bearer", request("GET", list).header("authorization", "Bearer ")),
        ("a key that is not ASCII", request("GET", list).header("authorization", b"Bearer \xff\xfe\xfd")),
    ] {
        table.row("GET /api/v1/transcriptions", Wrong::Auth, name, request, 401, "key_missing");
    }
    for (name, request) in [
        ("a key twice over", request("GET", list).bearer(&format!("{KEY},{KEY}"))),
        ("a key and more", request("GET", list).bearer(&format!("{KEY}x"))),
        ("a very long key", request("GET", list).bearer(&"k".repeat(10_000))),
        ("a wrong X-Api-Key", request("GET", list).header("x-api-key", "wrong-key-0123456789")),
        ("an empty X-Api-Key", request("GET", list).header("x-api-key", "")),
        // The first credential counts: a good second one does not make up for it.
        ("a wrong Bearer beside a good X-Api-Key", request("GET", list).bearer("wrong-key-0123456789").header("x-api-key", KEY)),
    ] {
        table.row("GET /api/v1/transcriptions", Wrong::Auth, name, request, 401, "key_invalid");
    }

    let seed: [(Route, &'static str, String); 7] = [
        ("POST /transcribe/upload", "POST", "/transcribe/upload/".into()),
        ("POST /transcribe/upload_from_yt", "POST", "/transcribe/upload_from_yt/".into()),
        ("POST /transcribe/generate", "POST", "/transcribe/generate/".into()),
        ("GET /transcribe/status/{id}", "GET", format!("/transcribe/status/{name}/")),
        ("GET /transcribe/midi/{id}", "GET", format!("/transcribe/midi/{name}/")),
        ("GET /transcribe/download_midi/{id}", "GET", format!("/transcribe/download_midi/{name}/")),
        ("GET /transcribe/metrics", "GET", "/transcribe/metrics/".into()),
    ];
    for (route, method, target) in &seed {
        // Its runbook asks with GET and looks for a 400.
        let status = if route.ends_with("/upload") { 400 } else { 405 };
        refused_method(table, route, target, status, "");
        table.row(route, Wrong::Auth, "no key", request(method, target.as_str()), 401, "").with("www-authenticate", "Bearer");
        table.row(route, Wrong::Auth, "a wrong key", request(method, target.as_str()).bearer("wrong-key-0123456789"), 401, "");
    }
    refused_method(table, "GET /internal/v1/tasks/{id}/audio", "/internal/v1/tasks/x/audio", 405, "method_not_allowed");
    refused_method(table, "PUT /internal/v1/tasks/{id}/result", "/internal/v1/tasks/x/result", 405, "method_not_allowed");
    refused_method(table, "POST /transcribe/_result", "/transcribe/_result/", 405, "");
    refused_method(table, "GET /media/{*path}", "/media/audios/1.wav", 405, "");
    refused_method(table, "GET /transcribe", "/transcribe/", 405, "");
}

#[rustfmt::skip] // One row a line.
fn refused_method(table: &mut Table, route: Route, target: &str, status: u16, code: &'static str) {
    let (right, _) = route.split_once(' ').unwrap_or_default();
    for wrong in ["PATCH", "BREW", "OPTIONS"] {
        table.row(route, Wrong::Method, format!("{wrong} instead of {right}"), keyed(wrong, target), status, code).with("allow", right);
    }
}

/// Routes without a credential.
#[rustfmt::skip] // One row a line.
fn open(table: &mut Table) {
    for (route, path) in [("GET /", "/"), ("GET /version", "/version"), ("GET /livez", "/livez"), ("GET /readyz", "/readyz"), ("GET /startupz", "/startupz"), ("GET /problems", "/problems"), ("GET /problems/{code}", "/problems/internal")] {
        refused_method(table, route, path, 405, "method_not_allowed");
        table.row(route, Wrong::Query, "a query that is not known", request("GET", format!("{path}?a=b&a=%ff&&=")), 200, "");
        table.row(route, Wrong::Header, "a key that is not known", request("GET", path).bearer("wrong-key-0123456789"), 200, "");
    }
    table.row("GET /transcribe", Wrong::Query, "a query that is not known", request("GET", "/transcribe/?x=1"), 200, "");
    table.row("GET /transcribe", Wrong::Header, "a key that is not known", request("GET", "/transcribe").bearer("wrong-key-0123456789"), 200, "");
    for code in ["nope", "..%2f..%2fetc%2fpasswd", "INTERNAL", "internal%00"] {
        table.row("GET /problems/{code}", Wrong::Id, format!("a code that there is not: {code}"), request("GET", format!("/problems/{code}")), 404, "not_found");
    }
    // Everything else is nowhere, in the shape of whoever asks.
    for (target, code) in [
        ("/nowhere", "not_found"),
        ("//", "not_found"),
        ("/api/v1/transcriptions/", "not_found"),
        ("/api/v1/transcriptions/../../etc/passwd", "not_found"),
        ("/api/v1/../../etc/passwd", "not_found"),
        ("/%2e%2e/%2e%2e/etc/passwd", "not_found"),
        ("/api/v2/transcriptions", "not_found"),
        ("/internal/v1/tasks", "not_found"),
        ("/metrics", "not_found"),
        ("/transcribe/nowhere/", ""),
        ("/transcribe/status/", ""),
        ("/transcribe/status/1/2/", ""),
        ("/transcribe/../../etc/passwd", ""),
        ("/media", ""),
        ("/media/", ""),
    ] {
        table.row("GET /", Wrong::Id, format!("nothing is at {target}"), keyed("GET", target), 404, code);
    }
}

#[rustfmt::skip] // One row a line.
fn transcriptions(table: &mut Table, ground: &Ground) {
    use Wrong::{Body, Id, Query};
    let (show, delete, cancel, retry) = ("GET /api/v1/transcriptions/{id}", "DELETE /api/v1/transcriptions/{id}", "POST /api/v1/transcriptions/{id}/cancel", "POST /api/v1/transcriptions/{id}/retry");
    let (files, file, events) = ("GET /api/v1/transcriptions/{id}/files", "GET /api/v1/transcriptions/{id}/files/{name}", "GET /api/v1/transcriptions/{id}/events");
    let (done, live) = (&ground.succeeded, ground.live.id.as_str());
    // Right ids in the wrong state.
    for (route, target, status, code) in [
        (cancel, job(done, "/cancel"), 409, "already_finished"),
        (cancel, job(&ground.failed, "/cancel"), 409, "already_finished"),
        (retry, job(done, "/retry"), 409, "not_retryable"),
        (retry, job(&ground.queued, "/retry"), 409, "not_retryable"),
        (retry, job(live, "/retry"), 409, "not_retryable"),
    ] {
        table.row(route, Id, format!("{target} in the wrong state"), keyed("POST", target), status, code);
    }
    table.row(file, Id, "a result that is not there yet", keyed("GET", job(live, "/files/midi")), 409, "not_ready").with("retry-after", "");
    table.row(file, Id, "a result that is not there yet, waiting", keyed("GET", job(&ground.queued, "/files/notes.json")), 409, "not_ready").with("retry-after", "");
    table.row(file, Id, "a result that never will be", keyed("GET", job(&ground.failed, "/files/notes.csv")), 409, "no_result");
    table.row(file, Id, "the same of a cancelled one", keyed("GET", job(&ground.cancelled, "/files/roll.svg")), 409, "no_result");
    for name in ["score.pdf", "MIDI", "midi%00", "..%2fsource", "%2e%2e", "midi%2f", "%F0%9F%8E%B8", "midi%20"] {
        table.row(file, Id, format!("no file {name}"), keyed("GET", job(done, &format!("/files/{name}"))), 404, "file_unknown");
    }
    table.row(file, Id, "a file that is not text", keyed("GET", job(done, "/files/%ff%fe")), 404, "not_found");
    // What was deleted is gone, whatever is asked of it.
    for (route, method, rest) in [(show, "GET", ""), (delete, "DELETE", ""), (cancel, "POST", "/cancel"), (retry, "POST", "/retry"), (files, "GET", "/files"), (file, "GET", "/files/midi"), (events, "GET", "/events")] {
        table.row(route, Id, "deleted", keyed(method, job(&ground.deleted, rest)), 410, "deleted");
    }
    // A query or a body where none is known is not looked at.
    for (route, method, id, rest, status, code) in [
        (show, "GET", done.as_str(), "?fields=id", 200, ""),
        (delete, "DELETE", ground.deleted.as_str(), "?force=1", 410, "deleted"),
        (cancel, "POST", ground.cancelled.as_str(), "/cancel?force=1", 200, ""),
        (retry, "POST", done.as_str(), "/retry?life=9", 409, "not_retryable"),
        (files, "GET", done.as_str(), "/files?limit=-1", 200, ""),
        (file, "GET", done.as_str(), "/files/midi?name=../../etc/passwd", 200, ""),
        (events, "GET", done.as_str(), "/events?last-event-id=x", 200, ""),
    ] {
        table.row(route, Query, format!("a query that is not known: {rest}"), keyed(method, job(id, rest)), status, code);
    }
    for (route, id, rest, status, code) in [(cancel, &ground.cancelled, "/cancel", 200, ""), (retry, done, "/retry", 409, "not_retryable")] {
        table.row(route, Body, "a body that nobody asked for", keyed("POST", job(id, rest)).body("application/json", "{\"kind\":"), status, code);
        table.row(route, Body, "a large body that nobody asked for", keyed("POST", job(id, rest)).body("text/plain", vec![b'x'; 200_000]), status, code);
    }
}

#[rustfmt::skip] // One row a line.
fn ids(table: &mut Table, ground: &Ground) {
    let routes: [(Route, &'static str, &str); 7] = [
        ("GET /api/v1/transcriptions/{id}", "GET", ""),
        ("DELETE /api/v1/transcriptions/{id}", "DELETE", ""),
        ("POST /api/v1/transcriptions/{id}/cancel", "POST", "/cancel"),
        ("POST /api/v1/transcriptions/{id}/retry", "POST", "/retry"),
        ("GET /api/v1/transcriptions/{id}/files", "GET", "/files"),
        ("GET /api/v1/transcriptions/{id}/files/{name}", "GET", "/files/source"),
        ("GET /api/v1/transcriptions/{id}/events", "GET", "/events"),
    ];
    for (route, method, rest) in routes {
        for id in EVIL_IDS {
            table.row(route, Wrong::Id, format!("id {id}"), keyed(method, job(id, rest)), 404, "transcription_unknown");
        }
        table.row(route, Wrong::Id, "an id of 5,000 characters", keyed(method, job(&"a".repeat(5_000), rest)), 404, "transcription_unknown");
        table.row(route, Wrong::Id, "an id that is not text", keyed(method, job("%ff%fe", rest)), 404, "not_found");
        table.row(route, Wrong::Id, "another's integer", keyed(method, job(&ground.created.to_string(), rest)), 404, "transcription_unknown");
    }
    table.row("GET /api/v1/transcriptions/{id}", Wrong::Id, "the same id in capitals", keyed("GET", job(&ground.succeeded.to_uppercase(), "")), 404, "transcription_unknown");
}

#[rustfmt::skip] // One row a line.
fn list(table: &mut Table) {
    for (query, status, code) in [
        ("limit=0", 422, "parameter_invalid"),
        ("limit=101", 422, "parameter_invalid"),
        ("limit=-1", 422, "parameter_invalid"),
        ("limit=ten", 422, "parameter_invalid"),
        ("limit=99999999999999999999999", 422, "parameter_invalid"),
        ("limit=", 422, "parameter_invalid"),
        ("limit=1&limit=2", 422, "parameter_invalid"),
        ("limit=1%00", 422, "parameter_invalid"),
        ("state=done", 422, "parameter_invalid"),
        ("state=QUEUED", 422, "parameter_invalid"),
        ("state=", 422, "parameter_invalid"),
        ("state=%ff", 422, "parameter_invalid"),
        ("colour=red", 422, "parameter_invalid"),
        ("=", 422, "parameter_invalid"),
        ("cursor=", 400, "cursor_invalid"),
        ("cursor=zzz", 400, "cursor_invalid"),
        ("cursor=MToA", 400, "cursor_invalid"),
        ("cursor=..%2f..%2fetc", 400, "cursor_invalid"),
        // -1:a and 99999999999999999999:a
        ("cursor=LTE6YQ", 400, "cursor_invalid"),
        ("cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk6YQ", 400, "cursor_invalid"),
    ] {
        table.row("GET /api/v1/transcriptions", Wrong::Query, query, keyed("GET", format!("/api/v1/transcriptions?{query}")), status, code);
    }
    let long = format!("/api/v1/transcriptions?cursor={}", "A".repeat(20_000));
    table.row("GET /api/v1/transcriptions", Wrong::Query, "a cursor of 20,000 characters", keyed("GET", long), 400, "cursor_invalid");
    // 18446744073709551615:a, the last moment there is: the list from its very start.
    table.row("GET /api/v1/transcriptions", Wrong::Query, "a cursor from the end of time", keyed("GET", "/api/v1/transcriptions?cursor=MTg0NDY3NDQwNzM3MDk1NTE2MTU6YQ"), 200, "");
}

#[rustfmt::skip] // One row a line.
fn headers(table: &mut Table, ground: &Ground) {
    use Wrong::Header;
    let (show, file, events) = ("GET /api/v1/transcriptions/{id}", "GET /api/v1/transcriptions/{id}/files/{name}", "GET /api/v1/transcriptions/{id}/events");
    let done = &ground.succeeded;
    let source = job(done, "/files/source");
    for (value, status, code) in [
        ("bytes=999999-", 416, "range_unsatisfiable"),
        ("bytes=-0", 416, "range_unsatisfiable"),
        ("bytes=99999999999999999999999999-", 416, "range_unsatisfiable"),
        // Not a range, or several: ignored, the whole is sent.
        ("bytes=9-1", 200, ""),
        ("bytes=a-b", 200, ""),
        ("bytes=0-1,3-4", 200, ""),
        ("lines=0-1", 200, ""),
        ("bytes", 200, ""),
        ("", 200, ""),
    ] {
        let row = table.row(file, Header, format!("Range: {value}"), keyed("GET", source.as_str()).header("range", value), status, code);
        row.with(if status == 416 { "content-range" } else { "accept-ranges" }, "bytes");
    }
    // Ranges are for GET alone (RFC 9110, 14.2).
    for value in ["bytes=0-9", "bytes=999999-"] {
        table.row(file, Header, format!("HEAD with Range: {value}"), keyed("HEAD", source.as_str()).header("range", value), 200, "").with("accept-ranges", "bytes").with("content-length", "16044");
    }
    table.row(file, Header, "Range with an If-Range of another version", keyed("GET", source.as_str()).header("range", "bytes=0-1").header("if-range", "\"other\""), 200, "");
    table.row(file, Header, "Range with a weak If-Range", keyed("GET", source.as_str()).header("range", "bytes=0-1").header("if-range", "W/\"x\""), 200, "");
    table.row(file, Header, "If-None-Match: *", keyed("GET", source.as_str()).header("if-none-match", "*"), 304, "");
    for value in ["nonsense", "\"", "W/", "", "\"a\",,,\"b\""] {
        table.row(show, Header, format!("If-None-Match: {value}"), keyed("GET", job(done, "")).header("if-none-match", value), 200, "").with("etag", "\"");
    }
    table.row(show, Header, "If-None-Match of 20,000 tags", keyed("GET", job(done, "")).header("if-none-match", "\"a\",".repeat(20_000)), 200, "");
    for value in ["nonsense", "1.", "99.99", "-1.5", "1.99999999999999999999999", "%00", "1.2.3"] {
        table.row(events, Header, format!("Last-Event-ID: {value}"), keyed("GET", job(done, "/events")).header("last-event-id", value), 200, "").with("content-type", "text/event-stream");
    }
    table.row(events, Header, "the Last-Event-ID of the end", keyed("GET", job(done, "/events")).header("last-event-id", "1.9007199254740991"), 204, "");
    for (route, method, target, status, code) in [
        ("GET /api/v1/transcriptions", "GET", "/api/v1/transcriptions".to_owned(), 200, ""),
        ("GET /api/v1/transcriptions/{id}/files", "GET", job(done, "/files"), 200, ""),
        ("DELETE /api/v1/transcriptions/{id}", "DELETE", job(&ground.deleted, ""), 410, "deleted"),
        ("POST /api/v1/transcriptions/{id}/cancel", "POST", job(&ground.cancelled, "/cancel"), 200, ""),
        ("POST /api/v1/transcriptions/{id}/retry", "POST", job(done, "/retry"), 409, "not_retryable"),
    ] {
        let odd = keyed(method, target).header("accept", "application/xml;q=7, */*;q=0").header("content-type", "nonsense").header("content-encoding", "br").header("cookie", "session=x").header("x-forwarded-for", "127.0.0.1").header("x-http-method-override", "DELETE");
        table.row(route, Header, "headers that mean nothing here", odd, status, code);
    }
    for (name, value) in [("a request id of 300 characters", "x".repeat(300)), ("a request id with spaces", "a b".to_owned()), ("an empty request id", String::new())] {
        table.row("GET /api/v1/transcriptions", Header, name, keyed("GET", "/api/v1/transcriptions").header("x-request-id", value), 200, "").with("x-request-id", "-");
    }
}

/// What is no proper HTTP: the answer is bare, because no handler ever sees it.
#[rustfmt::skip] // One row a line.
fn transport(table: &mut Table) {
    use Wrong::Header;
    const BARE: &str = "(bare)";
    let mut bare = |name: &str, request: Request, status: u16| {
        table.row("GET /version", Header, name, request, status, BARE);
    };
    bare("a NUL in a header", request("GET", "/version").header("x-a", b"a\0b"), 400);
    bare("a control character in a header", request("GET", "/version").header("x-a", b"a\x07b"), 400);
    bare("a header name with a space", request("GET", "/version").header("x a", "b"), 400);
    bare("a target with a space", request("GET", "/ver sion"), 400);
    bare("a target with a NUL", request("GET", "/version\0"), 400);
    bare("a method with a NUL", request("GE\0T", "/version"), 400);
    bare("two lengths that differ", request("POST", "/version").header("content-length", "3").header("content-length", "4").body("text/plain", "abcd"), 400);
    bare("a length that is no number", request("POST", "/version").header("content-length", "four").body("text/plain", "abcd"), 400);
    bare("a negative length", request("POST", "/version").header("content-length", "-1").body("text/plain", "abcd"), 400);
    bare("200 headers", (0..200).fold(request("GET", "/version"), |request, number| request.header(&format!("x-{number}"), "a")), 431);
    bare("a header of a megabyte", request("GET", "/version").header("x-a", "a".repeat(1 << 20)), 431);
    bare("a target of 70,000 characters", request("GET", format!("/{}", "a".repeat(70_000))), 414);
}

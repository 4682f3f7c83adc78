//! Rows for the upload of a recording: the multipart body, its parts, names and options, and the headers that go with it.

use super::ground::{Ground, LIMIT_BYTES, LIMIT_SECONDS};
use super::routes::keyed;
use super::row::{Form, Request, Route, Table, Wrong};
use super::sounds;
use crate::audio_files::{fast, text, tone};

const CREATE: Route = "POST /api/v1/transcriptions";

pub(crate) fn create() -> Request {
    keyed("POST", "/api/v1/transcriptions")
}

fn wav() -> Vec<u8> {
    tone(0.2)
}

fn audio() -> Form {
    Form::new().file("audio", "a.wav", &wav())
}

#[rustfmt::skip] // One row a line.
pub(crate) fn rows(table: &mut Table, _: &Ground) {
    shapes(table);
    recordings(table);
    options(table);
    labels(table);
    headers(table);
    table.row(CREATE, Wrong::Query, "a query that is not known, and a bad recording", keyed("POST", "/api/v1/transcriptions?model=nope").form(Form::new().file("audio", "a.wav", &text())), 415, "audio_undecodable");
}

#[rustfmt::skip] // One row a line.
fn shapes(table: &mut Table) {
    let mut row = |name: &str, request: Request, status: u16, code: &'static str| {
        table.row(CREATE, Wrong::Body, name, request, status, code);
    };
    row("no body and no type", create(), 415, "media_type_unsupported");
    row("no body, a boundary", create().header("content-type", "multipart/form-data; boundary=edge"), 400, "multipart_malformed");
    row("an empty form", create().form(Form::new()), 400, "audio_missing");
    row("a body that is the file itself", create().body("audio/wav", wav()), 415, "media_type_unsupported");
    row("JSON instead of a form", create().body("application/json", "{\"source\":{\"url\":\"file:///etc/passwd\"}}"), 415, "media_type_unsupported");
    row("a form of the other kind", create().body("application/x-www-form-urlencoded", "audio=x"), 415, "media_type_unsupported");
    row("multipart without a boundary", create().body("multipart/form-data", audio().end()), 415, "media_type_unsupported");
    row("multipart with an empty boundary", create().body("multipart/form-data; boundary=", audio().end()), 400, "multipart_malformed");
    row("a boundary of 200 characters that is not in the body", create().body(&format!("multipart/form-data; boundary={}", "b".repeat(200)), audio().end()), 400, "multipart_malformed");
    row("another boundary than the body's", create().body("multipart/form-data; boundary=other", audio().end()), 400, "multipart_malformed");
    row("multipart/mixed", create().body("multipart/mixed; boundary=edge", audio().end()), 415, "media_type_unsupported");
    row("nonsense in the body", create().body("multipart/form-data; boundary=edge", "nonsense"), 400, "multipart_malformed");
    row("a body cut in its last boundary", create().body("multipart/form-data; boundary=edge", { let mut body = audio().end(); body.truncate(body.len() - 6); body }), 400, "multipart_malformed");
    row("a body cut in the recording", create().body("multipart/form-data; boundary=edge", audio().cut(1_000)), 400, "multipart_malformed");
    row("a body cut in a part's headers", create().body("multipart/form-data; boundary=edge", "--edge\r\nContent-Dispo"), 400, "multipart_malformed");
    row("a part without headers", create().body("multipart/form-data; boundary=edge", "--edge\r\n\r\nx\r\n--edge--\r\n"), 400, "multipart_malformed");
    row("a part without a name", create().form(Form::new().part(b"form-data", &wav())), 422, "part_unknown");
    row("a part with an empty name", create().form(Form::new().file("", "a.wav", &wav())), 422, "part_unknown");
    row("a part that is not form-data is read as if it were", create().form(Form::new().part(b"attachment; name=\"audio\"", &text())), 415, "audio_undecodable");
    row("a part header that is not text", create().form(Form::new().part(b"form-data; name=\"au\xff\xfedio\"", &wav())), 422, "part_unknown");
    row("a part header with a NUL", create().form(Form::new().part(b"form-data; name=\"au\0dio\"", &wav())), 400, "multipart_malformed");
    row("a part name in capitals", create().form(Form::new().file("AUDIO", "a.wav", &wav())), 422, "part_unknown");
    row("a part name of 10,000 characters", create().form(Form::new().text(&"n".repeat(10_000), "x")), 422, "part_unknown");
    row("a part that is not known, after the recording", create().form(audio().text("webhook", "http://169.254.169.254/")), 422, "part_unknown");
    row("the recording twice", create().form(audio().file("audio", "b.wav", &wav())), 400, "multipart_malformed");
    row("the options twice", create().form(Form::new().text("options", "{}").text("options", "{}")), 400, "multipart_malformed");
    row("more parts than allowed", create().form((0..5).fold(Form::new(), |form, _| form.text("options", "{}"))), 400, "multipart_malformed");
    row("options alone", create().form(Form::new().text("options", "{}")), 400, "audio_missing");
    row("a recording without a file name, and no recording", create().form(Form::new().text("audio", "x")), 415, "audio_undecodable");
    row("40 headers in a part", create().body("multipart/form-data; boundary=edge", format!("--edge\r\n{}Content-Disposition: form-data; name=\"audio\"\r\n\r\nx\r\n--edge--\r\n", "X-A: b\r\n".repeat(40))), 400, "multipart_malformed");
    row("a part header of 250,000 bytes", create().form(Form::new().part(format!("form-data; name=\"{}\"", "n".repeat(250_000)).as_bytes(), b"x")), 400, "multipart_malformed");
    row("250,000 bytes in front of the first boundary", create().body("multipart/form-data; boundary=edge", [vec![b'x'; 250_000], audio().end()].concat()), 400, "multipart_malformed");
}

#[rustfmt::skip] // One row a line.
fn recordings(table: &mut Table) {
    let evil = ["../../../etc/passwd", "..\\\\..\\\\windows", "a\u{202e}gpj.exe", "é\u{0}", "%0d%0aX: y", &"n".repeat(5_000), "CON", ".", ""];
    for name in evil {
        table.row(CREATE, Wrong::Body, format!("text named {:.40}", name.escape_debug()), create().form(Form::new().file("audio", name, &text())), if name.contains('\u{0}') { 400 } else { 415 }, if name.contains('\u{0}') { "multipart_malformed" } else { "audio_undecodable" });
    }
    // Small enough to be taken: 4 kHz, the lowest rate that there is.
    let a_second_more = vec![0; 2 * 4_000 * (LIMIT_SECONDS as usize + 1)];
    for (name, bytes, status, code) in [
        ("no bytes", Vec::new(), 422, "audio_empty"),
        ("one byte", vec![b'R'], 415, "audio_undecodable"),
        ("a header without samples", tone(0.0), 422, "audio_empty"),
        ("a rate of 2 MHz", fast(), 422, "audio_limits"),
        ("text", text(), 415, "audio_undecodable"),
        ("zeros", vec![0; 50_000], 415, "audio_undecodable"),
        ("a second more than the limit", sounds::wav(4_000, 1, 16, 1, &a_second_more), 422, "audio_too_long"),
        ("a byte over the limit", vec![0; LIMIT_BYTES + 1], 413, "upload_too_large"),
        ("three times the limit", vec![0; 3 * LIMIT_BYTES], 413, "upload_too_large"),
        ("far over the limit", vec![0; 40 * LIMIT_BYTES], 413, "upload_too_large"),
    ] {
        table.row(CREATE, Wrong::Body, format!("a recording of {name}"), create().form(Form::new().file("audio", "a.wav", &bytes)), status, code);
    }
}

#[rustfmt::skip] // One row a line.
fn options(table: &mut Table) {
    let mut row = |name: String, options: &[u8], status: u16, code: &'static str| {
        // First, so that a mistake is told before the recording is read; and last, so that the recording has to be taken back.
        table.row(CREATE, Wrong::Body, format!("options first: {name}"), create().form(Form::new().text("options", options).file("audio", "a.wav", &wav())), status, code);
        table.row(CREATE, Wrong::Body, format!("options last: {name}"), create().form(audio().text("options", options)), status, code);
    };
    for (options, status, code) in [
        ("", 400, "json_malformed"),
        ("{", 400, "json_malformed"),
        ("{} {}", 400, "json_malformed"),
        ("nope", 400, "json_malformed"),
        ("{\"model\":\"a\0b\"}", 400, "json_malformed"),
        ("[]", 422, "options_invalid"),
        ("null", 422, "options_invalid"),
        ("\"basic-pitch\"", 422, "options_invalid"),
        (r#"{"speed":1}"#, 422, "options_invalid"),
        (r#"{"model":"a","model":"b"}"#, 422, "model_unknown"),
        (r#"{"model":1}"#, 422, "options_invalid"),
        (r#"{"model":"nope"}"#, 422, "model_unknown"),
        (r#"{"model":"../../etc/passwd"}"#, 422, "model_unknown"),
        (r#"{"model":""}"#, 422, "model_unknown"),
        (r#"{"options":[]}"#, 422, "options_invalid"),
        (r#"{"options":{"onset_threshold":7}}"#, 422, "options_invalid"),
        (r#"{"options":{"onset_threshold":1e999}}"#, 400, "json_malformed"),
        (r#"{"options":{"onset_threshold":-0.0001}}"#, 422, "options_invalid"),
        (r#"{"options":{"onset_threshold":"0.5"}}"#, 422, "options_invalid"),
        (r#"{"options":{"onset_threshold":null}}"#, 422, "options_invalid"),
        (r#"{"options":{"melodia":1}}"#, 422, "options_invalid"),
        (r#"{"options":{"minimum_frequency":500,"maximum_frequency":100}}"#, 422, "options_invalid"),
        (r#"{"options":{"__proto__":{}}}"#, 422, "options_invalid"),
    ] {
        row(options.to_owned(), options.as_bytes(), status, code);
    }
    row("bytes that are not text".to_owned(), b"{\"model\":\"\xff\"}", 400, "json_malformed");
    row("100,000 brackets".to_owned(), "[".repeat(60_000).as_bytes(), 400, "json_malformed");
    row("deep objects".to_owned(), "{\"options\":".repeat(5_000).as_bytes(), 400, "json_malformed");
    row("70,000 spaces".to_owned(), " ".repeat(70_000).as_bytes(), 413, "body_too_large");
    row("6,000 options".to_owned(), format!("{{\"options\":{{{}}}}}", (0..6_000).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(",")).as_bytes(), 422, "options_invalid");
}

#[rustfmt::skip] // One row a line.
fn labels(table: &mut Table) {
    let many = serde_json::Map::from_iter((0..17).map(|n| (n.to_string(), "x".into())));
    for (name, labels) in [
        ("17 labels", serde_json::Value::Object(many)),
        ("a label without a name", serde_json::json!({"": "x"})),
        ("a name of 65 bytes", serde_json::json!({"n".repeat(65): "x"})),
        ("a value of 65 bytes in 33 characters", serde_json::json!({"a": "é".repeat(33)})),
        ("a control character", serde_json::json!({"a": "b\nc"})),
        ("a NUL", serde_json::json!({"a\0": "b"})),
    ] {
        table.row(CREATE, Wrong::Body, name, create().form(audio().text("options", serde_json::json!({"labels": labels}).to_string())), 422, "labels_invalid");
    }
    for (name, labels) in [("a number", serde_json::json!({"a": 1})), ("a list", serde_json::json!(["a"])), ("null", serde_json::json!(null))] {
        table.row(CREATE, Wrong::Body, format!("{name} for labels"), create().form(audio().text("options", serde_json::json!({"labels": labels}).to_string())), 422, "options_invalid");
    }
}

#[rustfmt::skip] // One row a line.
fn headers(table: &mut Table) {
    let bad = || Form::new().file("audio", "a.wav", &text());
    for (name, value) in [("empty", b"".to_vec()), ("empty in quotes", b"\"\"".to_vec()), ("with half a quote", b"a\"b".to_vec()), ("of 256 characters", vec![b'x'; 256]), ("that is not ASCII", b"\xc3\xa9".to_vec()), ("with a tab", b"a\tb".to_vec())] {
        table.row(CREATE, Wrong::Header, format!("an Idempotency-Key {name}"), create().header("idempotency-key", value).form(audio()), 400, "idempotency_key_invalid");
    }
    table.row(CREATE, Wrong::Header, "two Idempotency-Keys", create().header("idempotency-key", "a").header("idempotency-key", "b").form(audio()), 400, "idempotency_key_invalid");
    table.row(CREATE, Wrong::Header, "an Idempotency-Key for what is refused", create().header("idempotency-key", "given-back").form(bad()), 415, "audio_undecodable");
    for value in ["wait=forever", "wait=-1", "wait=99999999999999999999", "wait", "=;,=", "respond-async; wait=\"\""] {
        table.row(CREATE, Wrong::Header, format!("Prefer: {value}"), create().header("prefer", value).form(bad()), 415, "audio_undecodable");
    }
    table.row(CREATE, Wrong::Header, "Content-Encoding: gzip", create().header("content-encoding", "gzip").form(audio()), 415, "media_type_unsupported");
    table.row(CREATE, Wrong::Header, "a Content-Type that is not ASCII", create().body("multipart/form-data; boundary=\u{e9}", audio().end()), 415, "media_type_unsupported");
    table.row(CREATE, Wrong::Header, "two Content-Types", create().header("content-type", "text/plain").form(bad()), 415, "media_type_unsupported");
    table.row(CREATE, Wrong::Header, "Accept of something else", create().header("accept", "text/html").form(bad()), 415, "audio_undecodable");
    table.row(CREATE, Wrong::Header, "a length over the limit that is announced first", create().header("expect", "100-continue").header("content-length", "999999999999").body("multipart/form-data; boundary=edge", ""), 413, "upload_too_large");
    table.row(CREATE, Wrong::Header, "a false length far over the limit", create().header("content-length", "999999999999").body("multipart/form-data; boundary=edge", audio().end()), 413, "upload_too_large");
    table.row(CREATE, Wrong::Header, "a false length that is too short", create().header("content-length", "100").body("multipart/form-data; boundary=edge", audio().end()), 400, "multipart_malformed");
    table.row(CREATE, Wrong::Header, "a length of nothing", create().header("content-length", "0").body("multipart/form-data; boundary=edge", audio().end()), 400, "multipart_malformed");
    table.row(CREATE, Wrong::Header, "chunks of a size that is no number", create().header("transfer-encoding", "chunked").body("multipart/form-data; boundary=edge", "zz\r\nx\r\n0\r\n\r\n"), 400, "multipart_malformed");
    table.row(CREATE, Wrong::Header, "a chunk of more bytes than there are numbers", create().header("transfer-encoding", "chunked").body("multipart/form-data; boundary=edge", "fffffffffffffffff\r\nx\r\n0\r\n\r\n"), 400, "multipart_malformed");
}

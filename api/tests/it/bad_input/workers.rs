//! Rows for what only workers ask: recordings and results, with tokens that are forged, ended or another's.

use serde_json::json;

use super::ground::{Ground, KEY, RESULT_BYTES};
use super::row::{Form, Request, Route, Table, Wrong, request};
use crate::fake_worker::{midi, transcript};

const AUDIO: Route = "GET /internal/v1/tasks/{id}/audio";
const RESULT: Route = "PUT /internal/v1/tasks/{id}/result";

fn audio(id: &str) -> Request {
    request("GET", format!("/internal/v1/tasks/{id}/audio"))
}

fn result(id: &str) -> Request {
    request("PUT", format!("/internal/v1/tasks/{id}/result"))
}

fn report() -> String {
    json!({"audio_ms": 1000, "busy_ms": 1, "wall_ms": 1, "device": "cpu", "model": "basic-pitch", "model_digest": "x", "warnings": []}).to_string()
}

fn notes() -> String {
    transcript().to_json().unwrap()
}

fn whole() -> Form {
    Form::new()
        .file("midi", "a.mid", &midi())
        .text("notes", notes())
        .text("report", report())
}

#[rustfmt::skip] // One row a line.
pub(crate) fn rows(table: &mut Table, ground: &Ground) {
    credentials(table, ground);
    bodies(table, ground);
    let (live, token) = (ground.live.id.as_str(), ground.live.token.as_str());
    table.row(AUDIO, Wrong::Query, "a token in the address", audio(&format!("{live}?token={token}")).header("x-a", "b"), 404, "not_found");
    table.row(AUDIO, Wrong::Query, "a query that is not known", request("GET", format!("/internal/v1/tasks/{live}/audio?token={token}")), 401, "token_missing");
    table.row(RESULT, Wrong::Query, "a token in the address", request("PUT", format!("/internal/v1/tasks/{live}/result?token={token}")).form(whole()), 401, "token_missing");
    for (name, value) in [("Range", "bytes=0-1"), ("If-None-Match", "*"), ("Accept", "text/plain")] {
        table.row(AUDIO, Wrong::Header, format!("{name}: the recording comes whole"), audio(live).bearer(token).header(&name.to_lowercase(), value), 200, "").with("content-length", "16044");
    }
    table.row(RESULT, Wrong::Header, "a result as JSON", result(live).bearer(token).body("application/json", notes()), 415, "media_type_unsupported");
    table.row(RESULT, Wrong::Header, "a result without a boundary", result(live).bearer(token).body("multipart/form-data", whole().end()), 415, "media_type_unsupported");
    table.row(RESULT, Wrong::Header, "no body at all", result(live).bearer(token), 415, "media_type_unsupported");
}

#[rustfmt::skip] // One row a line.
fn credentials(table: &mut Table, ground: &Ground) {
    let live = ground.live.id.as_str();
    let token = |claim: &queue::Claim| claim.token.as_str().to_owned();
    let forged: Vec<(&str, String, u16, &str)> = vec![
        ("a forged token", "0".repeat(token(&ground.live).len()), 409, "stale_attempt"),
        ("a token with one letter changed", changed(&token(&ground.live)), 409, "stale_attempt"),
        ("a token cut by one letter", token(&ground.live)[1..].to_owned(), 409, "stale_attempt"),
        ("a token in capitals", format!("{}X", token(&ground.live).to_uppercase()), 409, "stale_attempt"),
        ("the API key", KEY.to_owned(), 409, "stale_attempt"),
        ("the token of another task that is done", token(&ground.done), 409, "stale_attempt"),
        ("the token of a task that was handed back", token(&ground.released), 409, "stale_attempt"),
        ("the token of a worker that was lost", token(&ground.lost), 409, "stale_attempt"),
        ("a token of 10,000 characters", "t".repeat(10_000), 409, "stale_attempt"),
    ];
    for (name, token, status, code) in &forged {
        table.row(AUDIO, Wrong::Auth, *name, audio(live).bearer(token), *status, code);
        table.row(RESULT, Wrong::Auth, *name, result(live).bearer(token).form(whole()), *status, code);
    }
    // Each token at its own task.
    for (name, claim) in [("handed back", &ground.released), ("taken from a lost worker", &ground.lost)] {
        table.row(AUDIO, Wrong::Auth, format!("its own token, {name}"), audio(claim.id.as_str()).bearer(claim.token.as_str()), 409, "stale_attempt");
        table.row(RESULT, Wrong::Auth, format!("its own token, {name}"), result(claim.id.as_str()).bearer(claim.token.as_str()).form(whole()), 409, "stale_attempt");
    }
    table.row(AUDIO, Wrong::Auth, "its own token after the end", audio(ground.done.id.as_str()).bearer(ground.done.token.as_str()), 409, "stale_attempt");
    table.row(AUDIO, Wrong::Auth, "a live token at another task", audio(&ground.queued).bearer(ground.live.token.as_str()), 409, "stale_attempt");
    table.row(RESULT, Wrong::Auth, "a live token at another task", result(&ground.queued).bearer(ground.live.token.as_str()).form(whole()), 409, "stale_attempt");
    for (name, target) in [("no token", audio(live)), ("an empty token", audio(live).header("authorization", "Bearer ")), ("Basic", audio(live).header("authorization", "Basic eA==")), ("a token as X-Api-Key", audio(live).header("x-api-key", ground.live.token.as_str())), ("a token that is not text", audio(live).header("authorization", b"Bearer \xff\xfe"))] {
        table.row(AUDIO, Wrong::Auth, name, target, 401, "token_missing").with("www-authenticate", "Bearer");
    }
    table.row(RESULT, Wrong::Auth, "no token", result(live).form(whole()), 401, "token_missing").with("www-authenticate", "Bearer");
    for id in ["..%2f..%2fetc%2fpasswd", "%2e%2e", "a%00b", "*", "019a0000-0000-7000-8000-000000000000", &"a".repeat(5_000)] {
        table.row(AUDIO, Wrong::Id, format!("id {id:.40}"), audio(id).bearer(ground.live.token.as_str()), 404, "task_unknown");
        table.row(RESULT, Wrong::Id, format!("id {id:.40}"), result(id).bearer(ground.live.token.as_str()).form(whole()), 404, "task_unknown");
    }
}

fn changed(token: &str) -> String {
    let last = if token.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &token[..token.len() - 1])
}

#[rustfmt::skip] // One row a line.
fn bodies(table: &mut Table, ground: &Ground) {
    let send = || result(ground.live.id.as_str()).bearer(ground.live.token.as_str());
    let with = |midi: &[u8], notes: &str, report: &str| send().form(Form::new().file("midi", "a.mid", midi).text("notes", notes).text("report", report));
    let mut row = |name: &str, request: Request, status: u16, code: &'static str| {
        table.row(RESULT, Wrong::Body, name, request, status, code);
    };
    row("no parts", send().form(Form::new()), 422, "result_invalid");
    row("no MIDI", send().form(Form::new().text("notes", notes()).text("report", report())), 422, "result_invalid");
    row("no notes", send().form(Form::new().file("midi", "a.mid", &midi()).text("report", report())), 422, "result_invalid");
    row("no report", send().form(Form::new().file("midi", "a.mid", &midi()).text("notes", notes())), 422, "result_invalid");
    row("empty MIDI", with(b"", &notes(), &report()), 422, "result_invalid");
    row("MIDI that is text", with(b"Dear diary", &notes(), &report()), 422, "result_invalid");
    row("MIDI that is a WAV", with(&crate::audio_files::tone(0.1), &notes(), &report()), 422, "result_invalid");
    row("MIDI cut short", with(&midi()[..midi().len() - 3], &notes(), &report()), 422, "result_invalid");
    row("MIDI of a header alone", with(&midi()[..14], &notes(), &report()), 422, "result_invalid");
    row("MIDI over the cap", with(&vec![0; RESULT_BYTES + 1], &notes(), &report()), 422, "result_invalid");
    row("notes over the cap", with(&midi(), &"x".repeat(RESULT_BYTES + 1), &report()), 422, "result_invalid");
    row("a body over all caps", with(&vec![0; 300_000], &notes(), &report()), 422, "result_invalid");
    row("a part nobody asked for over all caps", send().form(Form::new().file("other", "x", &vec![0; 300_000])), 413, "body_too_large");
    for (name, notes) in [
        ("empty", String::new()),
        ("not JSON", "{".to_owned()),
        ("a list", "[]".to_owned()),
        ("of another schema", notes().replace("\"schema\":1", "\"schema\":2")),
        ("with a pitch of 200", notes().replace("\"pitch\":60", "\"pitch\":200")),
        ("with a pitch of 300", notes().replace("\"pitch\":60", "\"pitch\":300")),
        ("with a negative onset", notes().replace("\"onset\":0.0", "\"onset\":-1.0")),
        ("that end before they begin", notes().replace("\"onset\":0.0", "\"onset\":9.0")),
        ("with a time beyond all numbers", notes().replace("\"onset\":0.0", "\"onset\":1e999")),
        ("with NaN", notes().replace("\"onset\":0.0", "\"onset\":NaN")),
        ("deeper than any", "[".repeat(4_000)),
    ] {
        row(&format!("notes {name}"), with(&midi(), &notes, &report()), 422, "result_invalid");
    }
    row("notes that are not text", send().form(whole().text("notes", b"\xff\xfe")), 422, "result_invalid");
    row("a report that is not JSON", with(&midi(), &notes(), "x"), 422, "result_invalid");
    row("a report that is a list", with(&midi(), &notes(), "[1]"), 422, "result_invalid");
    row("a report with negative times", with(&midi(), &notes(), "{\"busy_ms\":-1}"), 422, "result_invalid");
    row("a report with a million warnings", with(&midi(), &notes(), &format!("{{\"warnings\":[{}\"x\"]}}", "\"x\",".repeat(20_000))), 422, "result_invalid");
    row("a body that ends in the middle", send().body("multipart/form-data; boundary=edge", whole().cut(20)), 400, "multipart_malformed");
    row("nonsense for a body", send().body("multipart/form-data; boundary=edge", "nonsense"), 400, "multipart_malformed");
}

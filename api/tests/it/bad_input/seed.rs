//! Rows for the first version's routes: its clients expect `{"error": ...}` whatever goes wrong.

use super::ground::{Ground, KEY, LIMIT_BYTES};
use super::routes::keyed;
use super::row::{Form, Route, Table, Wrong, request};
use crate::audio_files::{fast, text, tone};
use crate::fake_worker::midi;

#[rustfmt::skip] // One row a line.
pub(crate) fn rows(table: &mut Table, ground: &Ground) {
    uploads(table);
    numbers(table, ground);
    results(table, ground);
    media(table, ground);
    for (route, target) in [("GET /transcribe/metrics", "/transcribe/metrics/"), ("GET /transcribe/status/{id}", &format!("/transcribe/status/{}/", ground.live_number)), ("GET /transcribe/midi/{id}", &format!("/transcribe/midi/{}/", ground.succeeded_number)), ("GET /transcribe/download_midi/{id}", &format!("/transcribe/download_midi/{}/", ground.succeeded_number))] {
        table.row(route, Wrong::Query, "a query that is not known", keyed("GET", format!("{target}?id=../../etc/passwd")), 200, "");
        table.row(route, Wrong::Header, "headers that mean nothing here", keyed("GET", target).header("accept", "application/xml;q=7").header("last-event-id", "x").header("content-type", "nonsense"), 200, "");
    }
    for (route, method, target, status) in [("POST /transcribe/upload", "POST", "/transcribe/upload/?audio=x", 400), ("POST /transcribe/upload_from_yt", "POST", "/transcribe/upload_from_yt/?youtube_url=file:///etc/passwd", 501), ("POST /transcribe/generate", "POST", "/transcribe/generate/?audio_midi_id=1", 400), ("POST /transcribe/_result", "POST", "/transcribe/_result/?token=x", 401), ("GET /media/{*path}", "GET", "/media/audios/1.wav?token=x", 401)] {
        table.row(route, Wrong::Query, "what belongs into the body or a header", keyed_for(route, method, target), status, "");
    }
}

/// The routes of a claim's token take no key for one.
fn keyed_for(route: Route, method: &'static str, target: &str) -> super::row::Request {
    if route.contains("_result") || route.contains("media") {
        request(method, target)
    } else {
        keyed(method, target)
    }
}

#[rustfmt::skip] // One row a line.
fn uploads(table: &mut Table) {
    const UPLOAD: Route = "POST /transcribe/upload";
    let send = || keyed("POST", "/transcribe/upload/");
    let file = |bytes: &[u8]| send().form(Form::new().file("audio", "a.wav", bytes));
    for (name, request, status) in [
        ("no body", send(), 400),
        ("no part `audio`", send().form(Form::new().text("other", "x")), 400),
        ("nothing in the part", file(b""), 422),
        ("text", file(&text()), 415),
        ("no samples", file(&tone(0.0)), 422),
        ("a rate of 2 MHz", file(&fast()), 422),
        ("over the limit", file(&vec![0; 2 * LIMIT_BYTES]), 413),
        ("cut in the recording", send().body("multipart/form-data; boundary=edge", Form::new().file("audio", "a.wav", &tone(0.2)).cut(500)), 400),
        ("nonsense", send().body("multipart/form-data; boundary=edge", "nonsense"), 400),
    ] {
        table.row(UPLOAD, Wrong::Body, name, request, status, "");
    }
    table.row(UPLOAD, Wrong::Header, "the file itself for a body", send().body("audio/wav", tone(0.2)), 400, "");
    table.row(UPLOAD, Wrong::Header, "a length that is far over the limit", send().header("content-length", "99999999999").body("multipart/form-data; boundary=edge", ""), 413, "");
    const YOUTUBE: Route = "POST /transcribe/upload_from_yt";
    table.row(YOUTUBE, Wrong::Body, "an address within", keyed("POST", "/transcribe/upload_from_yt/").body("application/x-www-form-urlencoded", "youtube_url=http://169.254.169.254/"), 501, "");
    table.row(YOUTUBE, Wrong::Header, "headers that mean nothing here", keyed("POST", "/transcribe/upload_from_yt").header("accept", "text/html"), 501, "");
}

#[rustfmt::skip] // One row a line.
fn numbers(table: &mut Table, ground: &Ground) {
    const GENERATE: Route = "POST /transcribe/generate";
    const EVIL: &[&str] = &["0", "-1", "abc", "1e3", "9223372036854775808", "99999999999999999999999999", "%00", "..%2f..%2fetc%2fpasswd", "1;2", "%F0%9F%8E%B8", "0x10", "1.0"];
    for id in EVIL {
        for (route, path) in [("GET /transcribe/status/{id}", "status"), ("GET /transcribe/midi/{id}", "midi"), ("GET /transcribe/download_midi/{id}", "download_midi")] {
            table.row(route, Wrong::Id, format!("number {id}"), keyed("GET", format!("/transcribe/{path}/{id}/")), 404, "");
        }
        table.row(GENERATE, Wrong::Body, format!("number {id}"), keyed("POST", "/transcribe/generate/").body("application/x-www-form-urlencoded", format!("audio_midi_id={id}")), 404, "");
    }
    table.row("GET /transcribe/status/{id}", Wrong::Id, "a number that is not text", keyed("GET", "/transcribe/status/%ff/"), 404, "");
    table.row("GET /transcribe/status/{id}", Wrong::Id, "an id of ours", keyed("GET", format!("/transcribe/status/{}/", ground.succeeded)), 404, "");
    for (path, number) in [("midi", ground.created), ("download_midi", ground.live_number)] {
        table.row(if path == "midi" { "GET /transcribe/midi/{id}" } else { "GET /transcribe/download_midi/{id}" }, Wrong::Id, "no MIDI yet", keyed("GET", format!("/transcribe/{path}/{number}/")), 404, "");
    }
    let send = || keyed("POST", "/transcribe/generate/");
    for (name, request, status) in [
        ("no body", send(), 400),
        ("an empty form", send().body("application/x-www-form-urlencoded", ""), 400),
        ("another field", send().body("application/x-www-form-urlencoded", "id=1"), 400),
        ("an empty number", send().body("application/x-www-form-urlencoded", "audio_midi_id="), 404),
        ("JSON that is none", send().body("application/json", "{"), 400),
        ("JSON with a list", send().body("application/json", "{\"audio_midi_id\":[1]}"), 400),
        ("JSON with half a number", send().body("application/json", "{\"audio_midi_id\":1.5}"), 404),
        ("JSON that is deep", send().body("application/json", "[".repeat(60_000)), 400),
        ("a form without it", send().form(Form::new().text("other", "x")), 400),
        ("a form that is cut", send().body("multipart/form-data; boundary=edge", Form::new().text("audio_midi_id", "1").cut(4)), 400),
        ("a body over the limit", send().body("application/json", vec![b' '; 70_000]), 413),
    ] {
        table.row(GENERATE, Wrong::Body, name, request, status, "");
    }
    table.row(GENERATE, Wrong::Header, "a type that is not known", send().body("application/xml", "<a/>"), 400, "");
    table.row(GENERATE, Wrong::Header, "multipart without a boundary", send().body("multipart/form-data", "x"), 415, "");
}

#[rustfmt::skip] // One row a line.
fn results(table: &mut Table, ground: &Ground) {
    const RESULT: Route = "POST /transcribe/_result";
    let post = || request("POST", "/transcribe/_result/");
    let number = ground.live_number.to_string();
    let form = |task_type: &str| Form::new().text("audio_midi_id", &number).text("task_type", task_type);
    let live = || post().bearer(ground.live.token.as_str());
    for (name, token, status) in [("forged", "0".repeat(32), 409), ("of another task", ground.done.token.as_str().to_owned(), 409), ("handed back", ground.released.token.as_str().to_owned(), 409), ("of a lost worker", ground.lost.token.as_str().to_owned(), 409), ("that is the API key", KEY.to_owned(), 409)] {
        table.row(RESULT, Wrong::Auth, format!("a token {name}"), post().bearer(&token).form(form("completed").file("result_file", "a.mid", &midi())), status, "");
        table.row(RESULT, Wrong::Auth, format!("a token {name}, for a failure"), post().bearer(&token).form(form("failed")), status, "");
    }
    table.row(RESULT, Wrong::Auth, "no token", post().form(form("completed")), 401, "").with("www-authenticate", "Bearer");
    for (name, request, status) in [
        ("no number", live().form(Form::new().text("task_type", "completed")), 404),
        ("a number that there is not", live().form(Form::new().text("audio_midi_id", "17")), 404),
        ("a number that is a path", live().form(Form::new().text("audio_midi_id", "../../etc/passwd")), 404),
        ("a file before the number", live().form(Form::new().file("result_file", "a.mid", &midi()).text("audio_midi_id", &number)), 422),
        ("no word", live().form(Form::new().text("audio_midi_id", &number)), 422),
        ("a word that is not known", live().form(form("done")), 422),
        ("no file", live().form(form("completed")), 422),
        ("a file that is text", live().form(form("completed").file("result_file", "a.mid", b"Dear diary")), 422),
        ("a file over the cap", live().form(form("completed").file("result_file", "a.mid", &vec![0; 20_000])), 422),
        ("notes that are none", live().form(form("completed").file("result_file", "a.mid", &midi()).text("notes", "{}")), 422),
        ("cut", live().body("multipart/form-data; boundary=edge", form("completed").cut(4)), 400),
    ] {
        table.row(RESULT, Wrong::Body, name, request, status, "");
    }
    table.row(RESULT, Wrong::Header, "a form of the other kind", live().body("application/x-www-form-urlencoded", format!("audio_midi_id={number}&task_type=failed")), 415, "");
}

#[rustfmt::skip] // One row a line.
fn media(table: &mut Table, ground: &Ground) {
    const MEDIA: Route = "GET /media/{*path}";
    let number = ground.live_number;
    let live = |path: String| request("GET", path).bearer(ground.live.token.as_str());
    for path in ["/media/audios/", "/media/audios/17.wav", "/media/manage.py", "/media/../../etc/passwd", "/media/audios/..%2f..%2fetc%2fpasswd", "/media/audios/%2e%2e/%2e%2e/etc/passwd", "/media/%00", "/media/audios/a/b", "/media/%ff"] {
        table.row(MEDIA, Wrong::Id, path, live(path.to_owned()), 404, "");
    }
    table.row(MEDIA, Wrong::Auth, "no token", request("GET", format!("/media/audios/{number}.wav")), 401, "").with("www-authenticate", "Bearer");
    table.row(MEDIA, Wrong::Auth, "the API key", request("GET", format!("/media/audios/{number}.wav")).bearer(KEY), 409, "");
    table.row(MEDIA, Wrong::Auth, "another's token", request("GET", format!("/media/audios/{number}.wav")).bearer(ground.lost.token.as_str()), 409, "");
    table.row(MEDIA, Wrong::Auth, "a live token at another's recording", live(format!("/media/audios/{}.wav", ground.created)), 404, "");
    table.row(MEDIA, Wrong::Header, "Range: the recording comes whole", live(format!("/media/audios/{number}.wav")).header("range", "bytes=0-1"), 200, "").with("content-length", "16044");
}

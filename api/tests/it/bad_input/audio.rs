//! Recordings of every format: mislabelled, cut at several places, reduced to their header, filled with noise, with giant
//! covers, of no length, of impossible shape, or far too long. The upload looks at headers only; what it takes is removed again,
//! and in the end nothing is stored.

use std::path::Path;
use std::time::{Duration, Instant};

use super::sounds::{floats, silent_flac, wav, with_id3_cover, with_mp4_cover, with_wav_chunk};
use super::wire::exchange;
use super::{bodies, row::Form};
use crate::app::{Database, TestApp, job_path};

/// What becomes of an upload: the media type that was found, or status and code.
type Outcome = Result<&'static str, (u16, &'static str)>;

const UNDECODABLE: Outcome = Err((415, "audio_undecodable"));
const UNSUPPORTED: Outcome = Err((422, "codec_unsupported"));
const EMPTY: Outcome = Err((422, "audio_empty"));
const LIMITS: Outcome = Err((422, "audio_limits"));
const TOO_LONG: Outcome = Err((422, "audio_too_long"));

/// A recording of `audio`'s own tests.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../audio/tests/fixtures");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// File; whole under a lie of a name; its first 64 bytes; a quarter, half and nearly all of it; its first 200 bytes, then noise.
#[rustfmt::skip] // One file a line.
const FILES: &[(&str, Outcome, Outcome, [Outcome; 3], Outcome)] = &[
    ("click.mp3", Ok("audio/mpeg"), UNDECODABLE, [Ok("audio/mpeg"); 3], UNDECODABLE),
    ("cbr.mp3", Ok("audio/mpeg"), UNDECODABLE, [Ok("audio/mpeg"); 3], UNDECODABLE),
    ("vbr.mp3", Ok("audio/mpeg"), UNDECODABLE, [UNDECODABLE, Ok("audio/mpeg"), Ok("audio/mpeg")], UNDECODABLE),
    ("click.mp2", Ok("audio/mpeg"), UNDECODABLE, [Ok("audio/mpeg"); 3], UNDECODABLE),
    ("click.aac", Ok("audio/aac"), UNDECODABLE, [Ok("audio/aac"); 3], UNDECODABLE),
    ("click.flac", Ok("audio/flac"), UNDECODABLE, [Ok("audio/flac"); 3], Ok("audio/flac")),
    ("click.ogg", Ok("audio/ogg"), UNDECODABLE, [UNDECODABLE; 3], UNDECODABLE),
    ("pages.ogg", Ok("audio/ogg"), UNDECODABLE, [UNDECODABLE, UNDECODABLE, Ok("audio/ogg")], UNDECODABLE),
    ("flac.oga", Ok("audio/ogg"), UNDECODABLE, [UNDECODABLE, Ok("audio/ogg"), Ok("audio/ogg")], UNDECODABLE),
    ("click.m4a", Ok("audio/mp4"), UNDECODABLE, [UNDECODABLE; 3], UNDECODABLE),
    ("alac.m4a", Ok("audio/mp4"), UNDECODABLE, [UNDECODABLE; 3], UNDECODABLE),
    ("fragmented.m4a", Ok("audio/mp4"), UNDECODABLE, [Ok("audio/mp4"); 3], UNDECODABLE),
    ("s16.wav", Ok("audio/wav"), Ok("audio/wav"), [Ok("audio/wav"); 3], Ok("audio/wav")),
    ("f32.wav", Ok("audio/wav"), UNDECODABLE, [Ok("audio/wav"); 3], Ok("audio/wav")),
    ("mulaw.wav", Ok("audio/wav"), Ok("audio/wav"), [Ok("audio/wav"); 3], Ok("audio/wav")),
    ("adpcm.wav", Ok("audio/wav"), EMPTY, [Ok("audio/wav"); 3], Ok("audio/wav")),
    ("s24.aiff", Ok("audio/aiff"), Ok("audio/aiff"), [Ok("audio/aiff"); 3], Ok("audio/aiff")),
    ("s16.caf", Ok("audio/x-caf"), UNDECODABLE, [UNDECODABLE, UNDECODABLE, Ok("audio/x-caf")], UNDECODABLE),
    ("alac.caf", Ok("audio/x-caf"), UNDECODABLE, [Ok("audio/x-caf"); 3], UNDECODABLE),
    ("click.mka", Ok("audio/x-matroska"), UNDECODABLE, [Ok("audio/x-matroska"); 3], UNDECODABLE),
    ("aac.mka", Ok("audio/x-matroska"), UNDECODABLE, [Ok("audio/x-matroska"); 3], UNDECODABLE),
    ("opus.ogg", UNSUPPORTED, UNDECODABLE, [UNDECODABLE; 3], UNDECODABLE),
    ("opus.webm", UNSUPPORTED, UNDECODABLE, [UNDECODABLE, UNSUPPORTED, UNSUPPORTED], UNDECODABLE),
    ("he-aac.m4a", UNSUPPORTED, UNDECODABLE, [UNDECODABLE; 3], UNDECODABLE),
    ("click.wma", UNSUPPORTED, UNSUPPORTED, [UNSUPPORTED; 3], UNSUPPORTED),
];

struct Case {
    name: String,
    bytes: Vec<u8>,
    expected: Outcome,
}

fn case(name: impl Into<String>, bytes: Vec<u8>, expected: Outcome) -> Case {
    let name = name.into();
    Case {
        name,
        bytes,
        expected,
    }
}

/// The same bytes each time: a test must not depend on luck.
fn noise(count: usize) -> impl Iterator<Item = u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
    .take(count)
}

fn files() -> Vec<Case> {
    let mut cases = Vec::new();
    for (file, whole, head, cuts, noisy) in FILES {
        let bytes = fixture(file);
        cases.push(case(
            format!("{file} under another's name"),
            bytes.clone(),
            *whole,
        ));
        cases.push(case(
            format!("{file}: 64 bytes of it"),
            bytes[..64].to_vec(),
            *head,
        ));
        for (part, expected) in [1, 2, 3].into_iter().zip(cuts) {
            let end = if part == 3 {
                bytes.len() * 19 / 20
            } else {
                bytes.len() * part / 4
            };
            cases.push(case(
                format!("{file}: {end} of {} bytes", bytes.len()),
                bytes[..end].to_vec(),
                *expected,
            ));
        }
        let mut filled = bytes[..200].to_vec();
        filled.extend(noise(20_000));
        cases.push(case(
            format!("{file}: noise behind its header"),
            filled,
            *noisy,
        ));
    }
    cases
}

#[rustfmt::skip] // One recording a line.
fn made() -> Vec<Case> {
    let second = vec![1; 16_000];
    let pcm = |rate, channels, bits| wav(rate, channels, bits, 1, &second);
    let long = u64::from(u32::MAX);
    vec![
        case("one sample", wav(44_100, 1, 16, 1, &[0, 64]), Ok("audio/wav")),
        case("half a sample", wav(44_100, 1, 16, 1, &[64]), EMPTY),
        case("no sample", wav(44_100, 1, 16, 1, &[]), EMPTY),
        case("NaN and infinity", wav(44_100, 1, 32, 3, &floats(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.5])), Ok("audio/wav")),
        case("floats beyond all loudness", wav(44_100, 1, 32, 3, &floats(&[f32::MAX, f32::MIN, 1e30])), Ok("audio/wav")),
        case("8 kHz, mono", pcm(8_000, 1, 16), Ok("audio/wav")),
        case("96 kHz, 6 channels", pcm(96_000, 6, 16), Ok("audio/wav")),
        case("192 kHz, 8 channels", pcm(192_000, 8, 16), Ok("audio/wav")),
        case("9 channels", pcm(44_100, 9, 16), LIMITS),
        case("65,535 channels", pcm(44_100, 65_535, 16), UNDECODABLE),
        case("no channels", pcm(44_100, 0, 16), UNDECODABLE),
        case("a rate of 0", pcm(0, 1, 16), UNDECODABLE),
        case("a rate of 1", pcm(1, 1, 16), LIMITS),
        case("a rate of 2^31", pcm(1 << 31, 1, 16), LIMITS),
        case("a rate of 2^32 - 1", pcm(u32::MAX, 1, 16), LIMITS),
        case("no bits", pcm(44_100, 1, 0), UNDECODABLE),
        case("65,535 bits", pcm(44_100, 1, 65_535), UNDECODABLE),
        case("a WAV codec that there is not", wav(44_100, 1, 16, 0x7777, &second), UNSUPPORTED),
        case("a FLAC of 1.5 s", silent_flac(100, 65_535, 0), Ok("audio/flac")),
        case("a FLAC with a cover of 25 MB", silent_flac(100, 65_535, 25_000_000), Ok("audio/flac")),
        case("an MP3 with a cover of 25 MB", with_id3_cover(&fixture("cbr.mp3"), 25_000_000), Ok("audio/mpeg")),
        case("an MP4 with a cover of 25 MB", with_mp4_cover(&fixture("click.m4a"), 25_000_000), Ok("audio/mp4")),
        case("a WAV with a tag of 25 MB", with_wav_chunk(&fixture("s16.wav"), b"LIST", 25_000_000), Ok("audio/wav")),
        case("a WAV with an ID3 tag of 25 MB", with_wav_chunk(&fixture("s16.wav"), b"id3 ", 25_000_000), Ok("audio/wav")),
        case("a cover and nothing behind it", with_id3_cover(b"", 1_000_000), UNDECODABLE),
        case("a FLAC that says it lasts a day", silent_flac(1_000, long, 0), TOO_LONG),
        case("a FLAC that does not say how long it is", silent_flac(1_000_000, 0, 0), Ok("audio/flac")),
        case("a FLAC that says less than it holds", silent_flac(1_000_000, 44_100, 0), Ok("audio/flac")),
        case("200 MB of silence in FLAC", silent_flac(200_000_000, 0xf_ffff_ffff, 0), TOO_LONG),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recording_is_taken_or_refused_by_its_header() {
    let app = TestApp::start(Database::Sqlite).await;
    let mut wrong = Vec::new();
    let mut slowest = (Duration::ZERO, String::new());
    let cases: Vec<Case> = files().into_iter().chain(made()).collect();
    for Case {
        name,
        bytes,
        expected,
    } in &cases
    {
        let started = Instant::now();
        let got = upload(&app, bytes).await;
        let took = started.elapsed();
        if took > slowest.0 {
            slowest = (took, name.clone());
        }
        let expected = expected
            .map(str::to_owned)
            .map_err(|(status, code)| (status, code.to_owned()));
        if got != expected {
            wrong.push(format!("{name}: {got:?} instead of {expected:?}"));
        }
    }
    app.wait_for_no_objects().await;
    assert_eq!(app.rows().await, 0);
    let info = app.state.queue.server_info().await.unwrap();
    assert_eq!((info.queue_pending, info.queue_processing), (0, 0));
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    // 200 MB have to be written; nothing is decoded.
    assert!(slowest.0 < Duration::from_secs(20), "{slowest:?}");
    println!("{} recordings, slowest {slowest:?}", cases.len());
}

/// Uploads under a name and type that lie, and removes again what is taken.
async fn upload(app: &TestApp, bytes: &[u8]) -> Result<String, (u16, String)> {
    let form = Form::new().part(
        b"form-data; name=\"audio\"; filename=\"song.txt\"\r\nContent-Type: image/png",
        bytes,
    );
    let address = app.base.trim_start_matches("http://").parse().unwrap();
    let answer = exchange(address, &bodies::create().form(form).bytes()).await;
    let answer = answer.map_err(|error| (0, error))?;
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status != 202 {
        return Err((
            answer.status,
            body["code"].as_str().unwrap_or_default().to_owned(),
        ));
    }
    let deleted = app.delete(&job_path(body["id"].as_str().unwrap())).await;
    assert_eq!(deleted.status(), 204);
    Ok(body["source"]["media_type"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

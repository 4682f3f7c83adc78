//! The worker as it runs, with the real network, on recordings that are odd, damaged or a trap: what can be transcribed is, with
//! a warning; what cannot has its code, after one attempt. Needs the weights (`make models`), as every test of the network does.
//! The networks of Harmonica come without a licence, so nobody is made to fetch them: they are tried where they are installed,
//! and asked for with `WTT_REQUIRE_MODELS=1`.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use queue::{TaskId, TaskPayload, TaskStatus};
use sha2::{Digest, Sha256};
use transcription::registry::Store;

use crate::installed::installed;
use crate::sounds::{floats, silent_flac, wav, with_id3_cover};
use crate::stage::Stage;

const LEASE: Duration = Duration::from_secs(15);
const LIMIT_SECONDS: u64 = 6;

/// What becomes of a recording: the number of notes where it is certain and a piece of a warning, or the code.
type Outcome = Result<(Option<usize>, &'static str), &'static str>;

const ALWAYS_HERE: &str = "basic-pitch";

/// Killed with the test.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../audio/tests/fixtures");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A tone in every channel, 16 bits.
pub(crate) fn tone(seconds: f64, rate: u32, channels: u16) -> Vec<u8> {
    let count = (seconds * f64::from(rate)).round() as u32;
    let mut data = Vec::new();
    for n in 0..count {
        let phase = f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(rate);
        let sample = ((phase.sin() * 12_000.0) as i16).to_le_bytes();
        (0..channels).for_each(|_| data.extend(sample));
    }
    wav(rate, channels, 16, 1, &data)
}

/// A tone far beyond what 16 bits hold.
fn clipped(seconds: f64) -> Vec<u8> {
    let samples = (0..(seconds * 44_100.0) as u32).flat_map(|n| {
        let loud = (f64::from(n) * 440.0 * std::f64::consts::TAU / 44_100.0).sin() * 400_000.0;
        (loud as i16).to_le_bytes()
    });
    wav(44_100, 1, 16, 1, &samples.collect::<Vec<u8>>())
}

#[rustfmt::skip] // One recording a line.
fn recordings() -> Vec<(&'static str, Vec<u8>, Outcome)> {
    let mp3 = fixture("click.mp3");
    let not_numbers = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0].repeat(4_000);
    vec![
        ("two seconds of silence", wav(44_100, 1, 16, 1, &vec![0; 2 * 88_200]), Ok((Some(0), "silent"))),
        ("0.05 s", tone(0.05, 44_100, 1), Ok((Some(0), "no notes"))),
        ("one sample", wav(44_100, 1, 16, 1, &[0, 64]), Ok((Some(0), ""))),
        ("no numbers at all", wav(16_000, 1, 32, 3, &floats(&not_numbers)), Ok((Some(0), "not numbers"))),
        ("floats beyond all loudness", wav(16_000, 1, 32, 3, &floats(&[f32::MAX, f32::MIN].repeat(8_000))), Ok((None, ""))),
        ("8 kHz, mono", tone(1.0, 8_000, 1), Ok((None, ""))),
        ("96 kHz, 6 channels", tone(1.0, 96_000, 6), Ok((None, ""))),
        ("192 kHz, 8 channels", tone(0.3, 192_000, 8), Ok((None, ""))),
        ("a held note", tone(5.9, 22_050, 2), Ok((None, ""))),
        ("clipping", clipped(2.0), Ok((None, ""))),
        ("an MP3 that is cut off", mp3[..mp3.len() / 2].to_vec(), Ok((None, "cut off"))),
        ("an MP3 with a cover of 25 MB", with_id3_cover(&fixture("cbr.mp3"), 25_000_000), Ok((None, ""))),
        ("text", b"Dear diary, this is no recording. ".repeat(100), Err("audio_undecodable")),
        ("no samples", wav(44_100, 1, 16, 1, &[]), Err("audio_empty")),
        ("Opus", fixture("opus.ogg"), Err("codec_unsupported")),
        ("9 channels", wav(44_100, 9, 16, 1, &vec![1; 18_000]), Err("audio_limits")),
        ("a header and noise behind it", noisy_mp3(), Err("audio_undecodable")),
        ("longer than the limit", tone(6.5, 8_000, 1), Err("audio_too_long")),
        ("weeks of silence whose header does not say", silent_flac(20_000_000, 0, 0), Err("audio_too_long")),
        ("weeks of silence whose header says a second", silent_flac(20_000_000, 44_100, 0), Err("audio_too_long")),
    ]
}

/// The worker as a program; it ends with whoever holds the other end of its standard input.
pub(crate) fn wtt_worker(stage: &Stage, slots: u32) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wtt-worker"));
    command
        .args([
            "--api-url",
            &stage.api.url,
            "--redis-url",
            &stage.redis.url(),
        ])
        .args(["--slots", &slots.to_string(), "--exit-with-parent", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn noisy_mp3() -> Vec<u8> {
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let head = fixture("cbr.mp3")[..200].to_vec();
    head.into_iter().chain(noise.take(20_000)).collect()
}

/// Basic Pitch, and those of the others that are installed here.
fn models() -> Vec<&'static str> {
    let store = Store::new(Store::default_dir());
    let is_here = |model: &str| store.installed(model).is_ok();
    let others = installed(&["harmonica:nano", "harmonica:medium"], is_here);
    [ALWAYS_HERE].into_iter().chain(others).collect()
}

/// How many notes are in a moment of sound, every network says by itself; in none there are none.
fn expected_of(model: &str, of_basic_pitch: Outcome) -> Outcome {
    match of_basic_pitch {
        Ok((Some(0), "silent" | "not numbers")) | Err(_) => of_basic_pitch,
        Ok((_, "no notes")) if model != ALWAYS_HERE => Ok((None, "")),
        Ok((_, warning)) if model != ALWAYS_HERE => Ok((None, warning)),
        Ok(_) => of_basic_pitch,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_recordings_are_transcribed_and_impossible_ones_have_their_code() {
    let stage = Stage::set().await;
    let (models, recordings) = (models(), recordings());
    let mut awaited = Vec::new();
    for (at, (name, bytes, expected)) in recordings.iter().enumerate() {
        for model in &models {
            let id = format!("odd-{at}-{}", model.replace(':', "-"));
            stage.api.upload(&id, bytes.clone());
            let payload = TaskPayload {
                filename: "song.wav".into(),
                bytes: bytes.len() as u64,
                sha256: hex::encode(Sha256::digest(bytes)),
                model: (*model).into(),
                max_seconds: LIMIT_SECONDS,
                ..TaskPayload::default()
            };
            let id = stage.enqueue(&id, LEASE, payload).await;
            awaited.push((
                id,
                format!("{model}: {name}"),
                expected_of(model, *expected),
            ));
        }
    }
    let started = Instant::now();
    let _worker = Process(wtt_worker(&stage, 4).stdin(Stdio::piped()).spawn().unwrap());
    let mut wrong = Vec::new();
    for (id, name, expected) in &awaited {
        let got = outcome(&stage, id).await;
        let fits = match (&got, expected) {
            (Ok((notes, warnings)), Ok((count, piece))) => {
                // Whoever gets nothing is told why.
                let told = *notes > 0 || !warnings.is_empty();
                told && count.is_none_or(|count| count == *notes)
                    && warnings.join(" ").contains(piece)
            }
            (Err((code, attempt)), Err(expected)) => code == expected && *attempt == 1,
            _ => false,
        };
        eprintln!("{name}: {got:?}");
        if !fits {
            wrong.push(format!("{name}: {got:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eprintln!(
        "{} recordings with {} in {:?}",
        recordings.len(),
        models.join(", "),
        started.elapsed()
    );
}

/// Notes and warnings, or code and attempt.
async fn outcome(stage: &Stage, id: &TaskId) -> Result<(usize, Vec<String>), (String, u32)> {
    let ended = |status| matches!(status, TaskStatus::Completed | TaskStatus::Failed);
    let task = stage
        .until(id, "has ended", |task| ended(task.status))
        .await;
    if let Some(error) = task.error.filter(|_| task.status == TaskStatus::Failed) {
        return Err((error.code, task.attempt));
    }
    let stored = stage.api.stored();
    let result = stored
        .iter()
        .find(|stored| stored.id == id.as_str())
        .unwrap();
    let notes = result.json("notes")["notes"].as_array().unwrap().len();
    let warnings = result.json("report")["warnings"].clone();
    Ok((notes, serde_json::from_value(warnings).unwrap_or_default()))
}

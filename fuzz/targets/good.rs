//! What the routes take, well-formed, so that inputs begin where the checks are: recordings, notes, results, and the bodies around
//! them. It sends nothing.

use axum::http::Method;
use music::{Note, Transcript};
use serde_json::json;

pub const MULTIPART: &str = "multipart/form-data; boundary=X";
pub const JSON: &str = "application/json";
/// Whose jobs the operator asks for.
pub const ORIGIN: &str = "wtt/music";

/// A part of a form.
pub struct Part {
    pub name: &'static str,
    pub filename: Option<&'static str>,
    pub bytes: Vec<u8>,
}

impl Part {
    fn text(name: &'static str, text: impl Into<String>) -> Self {
        Part {
            name,
            filename: None,
            bytes: text.into().into_bytes(),
        }
    }

    fn file(name: &'static str, filename: &'static str, bytes: Vec<u8>) -> Self {
        Part {
            name,
            filename: Some(filename),
            bytes,
        }
    }
}

/// The parts that the route of this path takes, in their order; none where it takes no form. `number`: the transcription's
/// integer, where the route is told it in the form.
pub fn parts(template: &str, number: i64) -> Vec<Part> {
    match template.trim_end_matches('/') {
        "/api/v1/transcriptions" => {
            let options = json!({
                "model": "basic-pitch", "options": {"onset_threshold": 0.4}, "labels": {"take": "3"},
            });
            vec![
                Part::file("audio", "a.wav", recording()),
                Part::text("options", options.to_string()),
            ]
        }
        "/transcribe/upload" => vec![Part::file("audio", "a.wav", recording())],
        "/transcribe/generate" => vec![Part::text("audio_midi_id", number.to_string())],
        "/transcribe/_result" => vec![
            Part::text("audio_midi_id", number.to_string()),
            Part::text("task_type", "completed"),
            Part::file("result_file", "a.mid", midi()),
            Part::text("notes", notes()),
        ],
        "/internal/v1/tasks/{id}/result" => {
            let report = json!({
                "audio_ms": 50, "busy_ms": 5, "wall_ms": 6, "device": "cpu", "model": "basic-pitch",
                "model_digest": "sha256:0", "warnings": ["quiet"],
            });
            vec![
                Part::file("midi", "a.mid", midi()),
                Part::text("notes", notes()),
                Part::text("report", report.to_string()),
            ]
        }
        _ => Vec::new(),
    }
}

/// Media type and body of a request that the route takes, where it takes a body.
pub fn content(method: &Method, template: &str, number: i64) -> Option<(&'static str, Vec<u8>)> {
    if !matches!(*method, Method::POST | Method::PUT) {
        return None;
    }
    let asked = json!({
        "source": {"object": "imports/music/a.wav"}, "origin": ORIGIN, "suspended": true,
        "priority": 1, "limits": {"backoffLimit": 1, "queueDeadlineSeconds": 3600},
    });
    match template {
        "/internal/v1/transcriptions/{id}" => return Some((JSON, asked.to_string().into())),
        "/internal/v1/transcriptions/{id}/suspended" => {
            return Some((JSON, json!({"suspended": true}).to_string().into()));
        }
        _ => {}
    }
    let parts = parts(template, number);
    if parts.is_empty() {
        return None;
    }
    let mut body = Vec::new();
    for part in &parts {
        write_part(&mut body, part.name, part.filename, None, &part.bytes);
    }
    body.extend_from_slice(b"--X--\r\n");
    Some((MULTIPART, body))
}

pub fn write_part(
    body: &mut Vec<u8>,
    name: &str,
    filename: Option<&str>,
    kind: Option<&str>,
    bytes: &[u8],
) {
    let head = format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"");
    body.extend_from_slice(head.as_bytes());
    if let Some(filename) = filename {
        body.extend_from_slice(format!("; filename=\"{filename}\"").as_bytes());
    }
    if let Some(kind) = kind {
        body.extend_from_slice(format!("\r\nContent-Type: {kind}").as_bytes());
    }
    body.extend_from_slice(b"\r\n\r\n");
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n");
}

/// With other bytes in one place.
pub fn bent(mut bytes: Vec<u8>, at: u16, with: &[u8]) -> Vec<u8> {
    let begin = usize::from(at) % (bytes.len() + 1);
    let end = (begin + with.len()).min(bytes.len());
    drop(bytes.splice(begin..end, with.iter().copied()));
    bytes
}

/// A WAV file: mono, 16 bit, 8 kHz, 50 ms.
fn recording() -> Vec<u8> {
    const RATE: u32 = 8_000;
    const COUNT: u32 = 400;
    let mut wav = Vec::new();
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + 2 * COUNT).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16_u32.to_le_bytes());
    for half in [1_u16, 1] {
        wav.extend_from_slice(&half.to_le_bytes());
    }
    wav.extend_from_slice(&RATE.to_le_bytes());
    wav.extend_from_slice(&(2 * RATE).to_le_bytes());
    for half in [2_u16, 16] {
        wav.extend_from_slice(&half.to_le_bytes());
    }
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&(2 * COUNT).to_le_bytes());
    for sample in 0..COUNT {
        // A saw: no arithmetic that could differ from one machine to the next.
        let value = (sample % 20) as i16 * 800 - 8_000;
        wav.extend_from_slice(&value.to_le_bytes());
    }
    wav
}

fn transcript() -> Transcript {
    let mut transcript = Transcript::new(json!({"app": "fuzz", "model": "basic-pitch"}));
    for (at, pitch) in [60_u8, 64, 67].into_iter().enumerate() {
        let onset = at as f64 * 0.25;
        transcript.notes.push(Note {
            onset,
            offset: onset + 0.2,
            pitch,
            velocity: 80,
            program: 0,
            is_drum: false,
            bends: None,
        });
    }
    transcript
}

fn midi() -> Vec<u8> {
    music::midi::write(&transcript(), &music::midi::MidiOptions::default())
}

fn notes() -> String {
    transcript().to_json().expect("these notes can be written")
}

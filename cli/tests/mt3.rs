//! MT3 on the command line, seen from outside: tokens and notes of the golden network, a recording that becomes a MIDI file, and weights
//! that are none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../transcription/tests/fixtures/mt3-tiny")
        .join(name)
}

fn golden() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("golden.json")).unwrap()).unwrap()
}

fn wtt(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wtt"));
    // The settings of whoever runs the tests are not part of them.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WTT_")) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What a command that succeeds prints.
#[track_caller]
fn printed(folder: &Path, arguments: &[&str]) -> Value {
    let output = wtt(folder, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A folder with the recording, the network's sizes by themselves, and both files of weights.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "audio.wav",
        "weights.safetensors",
        "checkpoint.pt",
        "golden.json",
        "decode_cases.json",
    ] {
        std::os::unix::fs::symlink(fixture(name), folder.path().join(name)).unwrap();
    }
    let sizes = golden()["config"].to_string();
    std::fs::write(folder.path().join("sizes.json"), sizes).unwrap();
    folder
}

#[test]
fn tokens_are_the_ports_from_both_kinds_of_file_and_of_configuration() {
    let folder = place();
    let expected: Vec<Value> = golden()["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|segment| json!({"start_time": segment["start_time"], "tokens": segment["tokens"]}))
        .collect();
    for (weights, config) in [
        ("weights.safetensors", "golden.json"),
        ("checkpoint.pt", "sizes.json"),
    ] {
        let found = printed(
            folder.path(),
            &[
                "debug",
                "mt3-tokens",
                "audio.wav",
                "--weights",
                weights,
                "--config",
                config,
                "--profile",
                "seed",
                "--max-tokens",
                "300",
                "--json",
            ],
        );
        assert_eq!(found["segments"], json!(expected), "{weights}");
    }
}

#[test]
fn notes_are_the_originals() {
    let folder = place();
    let found = printed(folder.path(), &["debug", "mt3-notes", "decode_cases.json"]);
    let cases: Vec<Value> =
        serde_json::from_slice(&std::fs::read(fixture("decode_cases.json")).unwrap()).unwrap();
    assert_eq!(found.as_array().map(Vec::len), Some(cases.len()));
    type Notes = Vec<(u8, f64, f64, u8, u8, bool)>;
    for (number, case) in cases.into_iter().enumerate() {
        let [found, expected] = [&found[number], &case["notes"]]
            .map(|notes| serde_json::from_value::<Notes>(notes.clone()).unwrap());
        assert_eq!(found.len(), expected.len(), "case {number}");
        for (found, expected) in found.into_iter().zip(expected) {
            let gap = (found.1 - expected.1)
                .abs()
                .max((found.2 - expected.2).abs());
            assert!(gap < 1e-6, "case {number}: {found:?}, not {expected:?}");
            let rest = |note: (u8, f64, f64, u8, u8, bool)| (note.0, note.3, note.4, note.5);
            assert_eq!(rest(found), rest(expected), "case {number}");
        }
    }
}

const WIDTH: usize = 64;
const VOCABULARY: usize = 1_536;
/// No notes are held over; at 0.1 s a bass and a drum, at 0.5 s a piano and a lead; the end.
const SAID: [usize; 12] = [
    1_134,
    1_135 + 33,
    1_133,
    3 + 10,
    1_004 + 40,
    1_263 + 36,
    3 + 50,
    1_135,
    1_004 + 60,
    1_135 + 80,
    1_004 + 72,
    1,
];

/// Weights and sizes of a network without layers that says [`SAID`] of every segment: all that its decoder knows is the place, and each
/// place's own numbers lead to the next token.
fn network_that_says() -> (Vec<u8>, String) {
    let place = |at: usize| {
        let half = WIDTH / 2;
        let angle =
            move |wave: usize| at as f64 * (-(wave as f64) * 1e4f64.ln() / (half - 1) as f64).exp();
        let sines = (0..half).map(move |wave| angle(wave).sin());
        sines.chain((0..half).map(move |wave| angle(wave).cos()))
    };
    let mut output = vec![0f32; VOCABULARY * WIDTH];
    for (at, token) in SAID.into_iter().enumerate() {
        for (number, wave) in output[token * WIDTH..].iter_mut().zip(place(at)) {
            *number = wave as f32;
        }
    }
    let tensors = [
        ("decoder.final_norm", vec![WIDTH], vec![1.0; WIDTH]),
        ("decoder.output_projection", vec![VOCABULARY, WIDTH], output),
        (
            "decoder.token_embeddings",
            vec![VOCABULARY, WIDTH],
            vec![0.0; VOCABULARY * WIDTH],
        ),
        ("encoder.final_norm", vec![WIDTH], vec![1.0; WIDTH]),
        (
            "encoder.input_projection",
            vec![WIDTH, 512],
            vec![0.0; WIDTH * 512],
        ),
    ];
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, shape, numbers) in tensors {
        let begin = data.len();
        data.extend(numbers.iter().flat_map(|number: &f32| number.to_le_bytes()));
        let about = json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()]});
        header.insert(format!("{name}.weight"), about);
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    let sizes = json!({"num_heads": 1, "head_dim": 4, "mlp_dim": 4, "max_decoder_length": 30});
    (bytes, sizes.to_string())
}

#[test]
fn a_recording_becomes_a_file_with_programs_drums_and_its_origin() {
    let folder = place();
    let (weights, sizes) = network_that_says();
    std::fs::write(folder.path().join("says.safetensors"), weights).unwrap();
    std::fs::write(folder.path().join("says.json"), sizes).unwrap();
    let transcribe = |more: &[&str]| {
        let common = [
            "transcribe",
            "audio.wav",
            "--model",
            "mt3",
            "--weights",
            "says.safetensors",
            "--config",
            "says.json",
            "--notes",
            "notes.json",
            "-o",
            "out.mid",
            "--force",
            "--json",
        ];
        let line = printed(folder.path(), &[&common, more].concat());
        let notes = std::fs::read(folder.path().join("notes.json")).unwrap();
        let notes: Value = serde_json::from_slice(&notes).unwrap();
        assert_eq!(
            line["notes"],
            json!(notes["notes"].as_array().map(Vec::len))
        );
        assert_eq!(line["model_digest"], notes["provenance"]["model"]["digest"]);
        notes
    };
    let kinds = |notes: &Value| -> BTreeSet<(bool, u64, u64)> {
        let kind = |note: &Value| {
            (
                note["is_drum"].as_bool().unwrap(),
                note["program"].as_u64().unwrap(),
                note["pitch"].as_u64().unwrap(),
            )
        };
        notes["notes"]
            .as_array()
            .unwrap()
            .iter()
            .map(kind)
            .collect()
    };
    let notes = transcribe(&["--profile", "seed"]);
    let expected = BTreeSet::from([
        (false, 0, 60),
        (false, 33, 40),
        (false, 80, 72),
        (true, 0, 36),
    ]);
    assert_eq!(kinds(&notes), expected);
    // Four segments, four notes each.
    assert_eq!(notes["notes"].as_array().map(Vec::len), Some(16));
    let provenance = &notes["provenance"];
    assert_eq!(provenance["model"]["name"], "mt3");
    assert_eq!(provenance["options"]["profile"], "seed");
    for field in ["version", "device", "precision"] {
        assert!(provenance[field].is_string(), "{provenance}");
    }
    let midi = std::fs::read(folder.path().join("out.mid")).unwrap();
    let read: BTreeSet<(bool, u64, u64)> = music::midi::read(&midi)
        .unwrap()
        .iter()
        .map(|note| (note.is_drum, note.program.into(), note.pitch.into()))
        .collect();
    assert_eq!(read, expected);
    let digest = provenance["model"]["digest"].as_str().unwrap();
    let there = |bytes: &[u8]| midi.windows(bytes.len()).any(|window| window == bytes);
    for text in [
        digest,
        "\"profile\":\"seed\"",
        "Drums",
        "Electric Bass (finger)",
        "Acoustic Grand Piano",
        "Lead 1",
    ] {
        assert!(there(text.as_bytes()), "the MIDI file does not say {text}");
    }
    // The drums' program, on their channel.
    assert!(there(&[0xc9, 0]));
    let few = transcribe(&["--instruments", "bass,drums"]);
    assert_eq!(few["provenance"]["options"]["profile"], "magenta");
    for (is_drum, program, pitch) in kinds(&few) {
        assert!(is_drum || program < 40, "{program}, {pitch}");
    }
    assert!(kinds(&few).contains(&(true, 0, 36)));
}

#[test]
fn weights_that_are_none_are_refused_with_their_code_and_leave_nothing() {
    let folder = place();
    let good = std::fs::read(fixture("weights.safetensors")).unwrap();
    let pickled = std::fs::read(fixture("checkpoint.pt")).unwrap();
    let renamed = {
        let at = good.windows(5).position(|name| name == b"norm3").unwrap();
        let mut renamed = good.clone();
        renamed[at..at + 5].copy_from_slice(b"norm9");
        renamed
    };
    for (bytes, word) in [
        (good[..good.len() / 2].to_vec(), "safetensors"),
        (pickled[..pickled.len() / 2].to_vec(), "zip"),
        (renamed, "norm9"),
        (b"just some words".to_vec(), "safetensors"),
        (Vec::new(), "safetensors"),
    ] {
        std::fs::write(folder.path().join("bad"), bytes).unwrap();
        let before = std::fs::read_dir(folder.path()).unwrap().count();
        let output = wtt(
            folder.path(),
            &[
                "transcribe",
                "audio.wav",
                "--model",
                "mt3",
                "--weights",
                "bad",
                "--config",
                "golden.json",
                "--notes",
                "bad.json",
                "--json",
            ],
        );
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(word) && said.contains("(model_unavailable)"),
            "{said}"
        );
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(line["error"]["code"], "model_unavailable");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before);
    }
}

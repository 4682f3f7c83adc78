//! Odd recordings the whole way from the file to notes, with random weights, which find notes everywhere: whatever comes in, what comes out
//! are notes that make sense, and a warning where there are none.

use std::collections::VecDeque;
use std::f64::consts::TAU;

use serde_json::Map;
use transcription::harmonica::config::SIZES;
use transcription::harmonica::{Chunk, ChunkMaps, Harmonica, HarmonicaSong, Options, Setup};
use transcription::network::{Decoded, Feed, Network, Sink, Song, Ticket};

use crate::{wav, weights};

/// One song's chunks, handed out as the engine does.
struct Waiting(VecDeque<(Ticket, Chunk)>);

impl Feed<Chunk> for Waiting {
    fn pull(&mut self, rows: usize) -> Vec<(Ticket, Chunk)> {
        self.0.drain(..rows.min(self.0.len())).collect()
    }

    fn cancelled(&self, _: Ticket) -> bool {
        false
    }
}

#[derive(Default)]
struct Finished(Vec<(Ticket, ChunkMaps)>);

impl Sink<ChunkMaps> for Finished {
    fn emit(&mut self, finished: Vec<(Ticket, ChunkMaps)>) {
        self.0.extend(finished);
    }
}

fn network() -> Harmonica {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    fs_err::write(&file, weights()).unwrap();
    let setup = Setup {
        device: tch::Device::Cpu,
        threads: 2,
        rows: 8,
        libtorch: false,
    };
    Harmonica::load(&SIZES[0], &file, setup).unwrap()
}

fn transcribe(network: &mut Harmonica, bytes: Vec<u8>) -> Result<Decoded, transcription::Error> {
    let thresholds = transcription::registry::thresholds_of(&weights()).unwrap();
    let mut song = HarmonicaSong::new(Options::parse("harmonica:nano", &Map::new(), thresholds)?);
    let source = Box::new(std::io::Cursor::new(bytes));
    let recording = audio::Recording::open(source, None, audio::Limits::default())?;
    let mut segments = song.segments(recording)?;
    let mut waiting = VecDeque::new();
    while let Some(chunk) = segments.next()? {
        let index = waiting.len();
        waiting.push_back((Ticket { song: 1, index }, chunk));
    }
    let (mut feed, mut sink) = (Waiting(waiting), Finished::default());
    while !feed.0.is_empty() {
        network.run(&mut feed, &mut sink)?;
    }
    for (_, maps) in sink.0 {
        assert!(song.notes(maps)?.is_none());
    }
    song.finish()
}

/// 32-bit floats at 16 kHz, mono.
fn floats(samples: &[f32]) -> Vec<u8> {
    let mut bytes = wav(16_000, 1, 0, |_| 0.0);
    let data: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    bytes[4..8].copy_from_slice(&(36 + data.len() as u32).to_le_bytes());
    bytes[20..22].copy_from_slice(&3u16.to_le_bytes());
    bytes[28..32].copy_from_slice(&64_000u32.to_le_bytes());
    bytes[32..34].copy_from_slice(&4u16.to_le_bytes());
    bytes[34..36].copy_from_slice(&32u16.to_le_bytes());
    bytes[40..44].copy_from_slice(&(data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn odd_recordings_become_notes_that_make_sense() {
    let tone = |at: f64| 0.5 * (TAU * 440.0 * at).sin();
    let clipped = |at: f64| (9.0 * (TAU * 440.0 * at).sin()).clamp(-1.0, 1.0);
    let mut network = network();
    // Its length in seconds, whether there must be notes, and a piece of its warning.
    let cases = [
        (
            "a note of 40 s",
            wav(22_050, 1, 40 * 22_050, tone),
            40.0,
            Some(true),
            "",
        ),
        (
            "silence",
            wav(44_100, 2, 5 * 44_100, |_| 0.0),
            5.0,
            None,
            "silent",
        ),
        (
            "clipping",
            wav(44_100, 1, 3 * 44_100, clipped),
            3.0,
            Some(true),
            "",
        ),
        ("0.05 s", wav(44_100, 1, 2_205, tone), 0.05, None, ""),
        ("one sample", wav(44_100, 1, 1, |_| 0.5), 0.001, None, ""),
        ("8 kHz", wav(8_000, 1, 3 * 8_000, tone), 3.0, Some(true), ""),
        (
            "96 kHz, six channels",
            wav(96_000, 6, 3 * 96_000, tone),
            3.0,
            Some(true),
            "",
        ),
        (
            "no numbers at all",
            floats(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY].repeat(9_000)),
            1.7,
            None,
            "silent",
        ),
        (
            "beyond all loudness",
            floats(&[f32::MAX, f32::MIN].repeat(16_000)),
            2.0,
            None,
            "",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, bytes, seconds, notes, warning) in cases {
        let decoded = match transcribe(&mut network, bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let mut say = |what: String| wrong.push(format!("{name}: {what}"));
        if notes.is_some_and(|some| some == decoded.notes.is_empty()) {
            say(format!("{} notes", decoded.notes.len()));
        }
        let warnings = decoded.warnings.join(" ");
        // Random weights hear something in silence, too.
        let silent = warnings.contains("silent");
        let fits = silent || decoded.notes.is_empty() != decoded.warnings.is_empty();
        if !fits || !warnings.contains(warning) || silent != (warning == "silent") {
            say(format!(
                "{} notes, warnings {warnings:?}",
                decoded.notes.len()
            ));
        }
        for note in &decoded.notes {
            // A frame is 32 ms long and may begin with the last sample.
            let inside =
                note.onset >= 0.0 && note.onset < note.offset && note.offset <= seconds + 0.032;
            if !inside || !(21..=108).contains(&note.pitch) || !(1..=127).contains(&note.velocity) {
                say(format!("{note:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! The three gates of exactness, against what the published package gave for the recordings in `fixtures/`:
//! its maps into our note decoding, its samples into our network, and its files the whole way.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::Path;

use audio::{Limits, Recording};
use serde::Deserialize;
use transcription::basic_pitch::analysis::{Analysis, analyse, windows_of_recording};
use transcription::basic_pitch::bends::{self, bends};
use transcription::basic_pitch::config::{CONTOURS, PITCHES};
use transcription::basic_pitch::decoding::decode;
use transcription::basic_pitch::maps::Maps;
use transcription::basic_pitch::{Options, Windows};

#[derive(Debug, Deserialize, PartialEq)]
struct PackageNote {
    start_frame: usize,
    end_frame: usize,
    pitch: u8,
    velocity: u8,
    bends: Vec<i32>,
}

#[derive(Deserialize)]
struct PackageNotes {
    frames: usize,
    notes: Vec<PackageNote>,
}

fn package_notes(folder: &Path, name: &str) -> PackageNotes {
    serde_json::from_slice(&fs_err::read(folder.join(name)).unwrap()).unwrap()
}

fn our_notes(maps: &Maps) -> Vec<PackageNote> {
    let note = |event: &transcription::basic_pitch::decoding::NoteEvent| PackageNote {
        start_frame: event.start,
        end_frame: event.end,
        pitch: event.pitch,
        velocity: event.velocity(),
        bends: bends(&maps.bend, event),
    };
    decode(
        maps.note.clone(),
        maps.onset.clone(),
        &Options::default(),
        true,
    )
    .iter()
    .map(note)
    .collect()
}

fn analysis(folder: &Path, rows: usize) -> Analysis {
    let file = ["audio.wav", "audio.flac"]
        .iter()
        .map(|name| folder.join(name))
        .find(|file| file.is_file())
        .unwrap();
    let source = Box::new(std::fs::File::open(file).unwrap());
    let recording = Recording::open(source, None, Limits::default()).unwrap();
    let windows = windows_of_recording(Windows::new(recording).unwrap()).unwrap();
    analyse(&common::model(), &windows, rows, true).unwrap()
}

#[test]
fn the_packages_maps_give_its_notes() {
    let folder = common::fixture("three-hops-22k05");
    let map = |name| common::read_npz(&folder.join("maps.npz"), name);
    let mut bend = Vec::new();
    bends::extend(&map("contour"), &mut bend);
    let maps = Maps {
        note: map("note"),
        onset: map("onset"),
        bend,
    };
    let expected = package_notes(&folder, "notes_from_maps.json");
    assert_eq!(maps.frames(), expected.frames);
    assert!(
        expected.notes.len() > 20,
        "a fixture with few notes proves little"
    );
    assert_eq!(our_notes(&maps), expected.notes);
}

#[test]
fn the_packages_samples_give_its_maps() {
    let folder = common::fixture("three-hops-22k05");
    let Analysis {
        maps: ours,
        contour,
        ..
    } = analysis(&folder, 8);
    for (name, ours, width) in [
        ("note", &ours.note, PITCHES),
        ("onset", &ours.onset, PITCHES),
        ("contour", &contour, CONTOURS),
    ] {
        let expected = common::read_npz(&folder.join("maps.npz"), name);
        assert_eq!(ours.len(), expected.len(), "{name}");
        let (at, difference) = ours
            .iter()
            .zip(&expected)
            .map(|(ours, expected)| (ours - expected).abs())
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap();
        assert!(
            difference <= 1e-5,
            "{name}: {difference} in frame {} column {}",
            at / width,
            at % width
        );
    }
}

#[test]
fn files_give_the_packages_notes_the_whole_way() {
    for name in [
        "three-hops-22k05",
        "last-note-22k05",
        "piano",
        "telephone",
        "short-half-second",
        "silence",
    ] {
        let folder = common::fixture(name);
        let expected = package_notes(&folder, "notes.json");
        let maps = analysis(&folder, 8).maps;
        assert_eq!(maps.frames(), expected.frames, "{name}");
        assert_eq!(our_notes(&maps), expected.notes, "{name}");
    }
}

#[test]
fn a_batch_gives_what_single_windows_give() {
    let folder = common::fixture("piano");
    let (one, five) = (analysis(&folder, 1), analysis(&folder, 5));
    let (single, batch) = (one.maps, five.maps);
    for (single, batch) in [
        (&single.note, &batch.note),
        (&single.onset, &batch.onset),
        (&one.contour, &five.contour),
    ] {
        let difference = single
            .iter()
            .zip(batch)
            .map(|(a, b)| (a - b).abs())
            .fold(0f32, f32::max);
        assert!(difference <= 2e-6, "{difference}");
    }
    assert_eq!(our_notes(&single), our_notes(&batch));
}

#[test]
fn silent_windows_say_that_they_are_silent() {
    let silence = analysis(&common::fixture("silence"), 4);
    assert!(
        silence.log_spread_db.iter().all(|spread| *spread < 1e-4),
        "{:?}",
        silence.log_spread_db
    );
    assert!(silence.maps.onset.iter().all(|onset| *onset < 0.5));
}

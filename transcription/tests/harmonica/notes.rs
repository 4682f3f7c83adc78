//! The package's notes: from its own maps all of them; the whole way all but those that rounding may decide, and each of these is looked into.

use serde::Deserialize;
use transcription::harmonica::config::{LOWEST_PITCH, PITCHES};
use transcription::harmonica::cpu::Isa;
use transcription::harmonica::decoding::{Maps, NoteEvent, decode};
use transcription::registry::thresholds_of;

use crate::{all_chunks, common, expected, maps_of, own, weights};

/// A comparison may come out differently where its value lies so near its edge: the maps' tolerance in `make parity`.
const NEAR: f64 = 1e-4;
/// Random weights put values everywhere, so a few of some hundred notes may depend on rounding. More would be no chance.
const FEW: usize = 3;

/// First and last frame, pitch, velocity.
type Note = (usize, usize, u8, u8);

#[derive(Deserialize)]
struct PackageNotes {
    thresholds: Thresholds,
    notes: Vec<Note>,
}

#[derive(Deserialize)]
struct Thresholds {
    onset: f64,
    frame: f64,
}

fn package_notes() -> PackageNotes {
    let file = common::fixture("harmonica").join("notes.json");
    serde_json::from_slice(&fs_err::read(file).unwrap()).unwrap()
}

fn rows(notes: &[NoteEvent]) -> Vec<Note> {
    notes
        .iter()
        .map(|note| (note.start, note.end, note.pitch, note.velocity))
        .collect()
}

/// A comparison that decoding makes: its name, how it comes out, and how far its value lies from the edge.
type Decision = (&'static str, i32, f64);

/// All of them for one pitch at one frame.
fn decisions(maps: &Maps, row: usize, frame: usize, thresholds: &Thresholds) -> [Decision; 5] {
    let at = |map: &[f32], frame: usize| map[frame * PITCHES + row];
    let onset = at(&maps.onset, frame);
    let before = match frame {
        0 => -1.0,
        _ => at(&maps.onset, frame - 1),
    };
    let after = match frame + 1 {
        next if next < maps.frames() => at(&maps.onset, next),
        _ => -1.0,
    };
    let sustain = at(&maps.sustain, frame);
    let (least_onset, least_sustain) = (thresholds.onset as f32, thresholds.frame as f32);
    let apart = |value: f32, edge: f32| (f64::from(value) - f64::from(edge)).abs();
    let loudness = at(&maps.velocity, frame) * 127.0;
    let from_half = (f64::from(loudness) - f64::from(loudness).floor() - 0.5).abs();
    [
        (
            "onset against its threshold",
            i32::from(onset >= least_onset),
            apart(onset, least_onset),
        ),
        (
            "onset against the frame before",
            i32::from(onset >= before),
            apart(onset, before),
        ),
        (
            "onset against the frame after",
            i32::from(onset > after),
            apart(onset, after),
        ),
        (
            "sustain against its threshold",
            i32::from(sustain >= least_sustain),
            apart(sustain, least_sustain),
        ),
        (
            "velocity against the next whole number",
            loudness.round_ties_even() as i32,
            from_half / 127.0,
        ),
    ]
}

/// What comes out differently on the two sides' maps within reach of a note, and how far the package's value lies from its edge.
/// The onset's comparisons with its neighbours matter only where it could be a peak; the velocity at the first frame alone.
fn deciding(note: Note, theirs: &Maps, ours: &Maps, thresholds: &Thresholds) -> Vec<(f64, String)> {
    let (start, end, pitch, _) = note;
    let row = usize::from(pitch) - LOWEST_PITCH;
    let mut found = Vec::new();
    for frame in start.saturating_sub(1)..(end + 2).min(theirs.frames()) {
        let could_be_peak = [theirs, ours]
            .iter()
            .any(|maps| maps.onset[frame * PITCHES + row] >= thresholds.onset as f32);
        let pairs = decisions(theirs, row, frame, thresholds)
            .into_iter()
            .zip(decisions(ours, row, frame, thresholds));
        for ((what, theirs, margin), (_, ours, _)) in pairs {
            let matters = match what {
                "velocity against the next whole number" => frame == start,
                "onset against the frame before" | "onset against the frame after" => could_be_peak,
                _ => true,
            };
            if matters && theirs != ours {
                found.push((margin, format!("{what}, frame {frame}")));
            }
        }
    }
    found
}

/// Notes that only one side has: a line that tells what decided each, and whether that excuses it.
fn judged(
    theirs: (&Maps, &[Note]),
    ours: (&Maps, &[Note]),
    thresholds: &Thresholds,
) -> Vec<(String, bool)> {
    let mut judged = Vec::new();
    for (side, some, others) in [
        ("the package has", theirs.1, ours.1),
        ("we have", ours.1, theirs.1),
    ] {
        for note in some.iter().filter(|note| !others.contains(note)) {
            let reasons = deciding(*note, theirs.0, ours.0, thresholds);
            let far = reasons.iter().any(|(margin, _)| *margin > NEAR);
            let line = format!("only {side} {note:?}, decided by {reasons:?}");
            judged.push((line, !reasons.is_empty() && !far));
        }
    }
    judged
}

fn package_maps() -> Maps {
    Maps {
        onset: expected("onset"),
        sustain: expected("sustain"),
        velocity: expected("velocity"),
    }
}

#[test]
fn the_packages_maps_and_the_whole_way_give_its_notes() {
    let theirs = package_notes();
    let thresholds = thresholds_of(&weights()).unwrap();
    assert_eq!(
        (thresholds.onset, thresholds.frame),
        (theirs.thresholds.onset, theirs.thresholds.frame)
    );
    assert!(theirs.notes.len() > 100, "few notes prove little");
    let their_maps = package_maps();
    let notes = decode(&their_maps, thresholds.onset, thresholds.frame);
    assert_eq!(rows(&notes), theirs.notes);

    let chunks = all_chunks();
    let chunks: Vec<&[f32]> = chunks.iter().map(Vec::as_slice).collect();
    let our_maps = maps_of(&own(Isa::detect(), 2).forward(&chunks), their_maps.frames());
    let ours = rows(&decode(&our_maps, thresholds.onset, thresholds.frame));
    let judged = judged(
        (&their_maps, &theirs.notes[..]),
        (&our_maps, &ours[..]),
        &theirs.thresholds,
    );
    for (line, is_excused) in &judged {
        let word = if *is_excused {
            "allowed"
        } else {
            "NOT ALLOWED"
        };
        println!("{word}: {line}");
    }
    let all = judged.iter().all(|(_, is_excused)| *is_excused);
    assert!(all, "notes differ that no rounding decided: {judged:?}");
    for (some, others) in [(&ours, &theirs.notes), (&theirs.notes, &ours)] {
        let alone = some.iter().filter(|note| !others.contains(note)).count();
        assert!(alone <= FEW, "{judged:?}");
    }
}

/// One pitch's maps and notes: an onset of this activation in the middle, sustained.
fn one_note(onset: f32, thresholds: &Thresholds) -> (Maps, Vec<Note>) {
    let mut maps = Maps {
        onset: vec![0.0; 6 * PITCHES],
        sustain: vec![0.9; 6 * PITCHES],
        velocity: vec![0.4; 6 * PITCHES],
    };
    maps.onset[3 * PITCHES + 39] = onset;
    let notes = rows(&decode(&maps, thresholds.onset, thresholds.frame));
    (maps, notes)
}

#[test]
fn a_note_is_excused_only_by_a_value_at_its_edge() {
    let thresholds = Thresholds {
        onset: 0.5,
        frame: 0.5,
    };
    let (our_maps, ours) = one_note(0.499_999, &thresholds);
    assert!(ours.is_empty());
    for (onset, excused) in [(0.500_05, true), (0.500_2, false)] {
        let (their_maps, theirs) = one_note(onset, &thresholds);
        assert_eq!(theirs.len(), 1);
        let judged = judged(
            (&their_maps, &theirs[..]),
            (&our_maps, &ours[..]),
            &thresholds,
        );
        assert_eq!(judged.len(), 1);
        assert_eq!(judged[0].1, excused, "{judged:?}");
        // Where nothing came out differently, nothing excuses a note that is not there.
        let blind = deciding(theirs[0], &their_maps, &their_maps, &thresholds);
        assert!(blind.is_empty(), "{blind:?}");
    }
}

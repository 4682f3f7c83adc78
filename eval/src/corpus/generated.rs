//! Exercises made by rule: what scores do not ask. Runs, the same key again and again, seconds side by side, three voices
//! that move as they like, and small bands with drums.

use music::Note;
use rand::Rng;

use super::{note, program::*, random};
use crate::clip::{Group, Piece};

const LEAD_SECONDS: f64 = 0.5;
/// C major, so that what is random still sounds like music.
const SCALE: [u8; 7] = [0, 2, 4, 5, 7, 9, 11];

pub(super) fn pieces(seed: u64) -> Vec<Piece> {
    let piece = |name: &str, group, notes| Piece {
        name: name.to_owned(),
        group,
        notes,
        drums: Vec::new(),
    };
    let band = |name: &str, programs: &[u8]| Piece {
        name: name.to_owned(),
        group: Group::Mix,
        notes: voices(seed, name, programs, 14.0),
        drums: drums(14.0),
    };
    vec![
        piece("runs-piano", Group::Piano, runs(seed, PIANO)),
        piece("repeated-piano", Group::Piano, repeated(PIANO)),
        piece("clusters-piano", Group::Piano, clusters(seed, PIANO)),
        piece(
            "voices-piano",
            Group::Piano,
            voices(seed, "voices-piano", &[PIANO; 3], 16.0),
        ),
        piece("repeated-guitar", Group::Plucked, repeated(GUITAR)),
        piece(
            "voices-harp",
            Group::Plucked,
            voices(seed, "voices-harp", &[HARP; 3], 16.0),
        ),
        piece(
            "voices-strings",
            Group::Sustained,
            voices(seed, "voices-strings", &[STRINGS; 3], 16.0),
        ),
        band("band-of-3", &[CLARINET, GUITAR, BASS]),
        band("band-of-5", &[FLUTE, CLARINET, STRINGS, PIANO, BASS]),
    ]
}

/// Scales up and down, from slow to fast, soft to loud.
fn runs(seed: u64, program: u8) -> Vec<Note> {
    let mut random = random(seed, "runs");
    let mut notes = Vec::new();
    let mut time = LEAD_SECONDS;
    for (round, step_seconds) in [0.4, 0.25, 0.16, 0.11, 0.08].into_iter().enumerate() {
        let base = 36 + 12 * round as u8;
        let up = (0..=7).map(|degree| base + in_scale(degree));
        let down = (0..7).rev().map(|degree| base + in_scale(degree));
        for pitch in up.chain(down) {
            let velocity = 45 + 15 * round as u8 + random.random_range(0..12);
            notes.push(note(
                pitch,
                time,
                time + step_seconds * 0.95,
                velocity,
                program,
            ));
            time += step_seconds;
        }
        time += 0.3;
    }
    notes
}

/// One key struck again and again, ever faster, over a held bass.
fn repeated(program: u8) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut time = LEAD_SECONDS;
    for (pitch, step_seconds) in [(60, 0.4), (67, 0.25), (72, 0.18), (55, 0.14)] {
        let from = time;
        for stroke in 0..10u8 {
            notes.push(note(
                pitch,
                time,
                time + step_seconds * 0.8,
                70 + 4 * (stroke % 5),
                program,
            ));
            time += step_seconds;
        }
        notes.push(note(pitch - 19, from, time - 0.05, 80, program));
        time += 0.2;
    }
    notes
}

/// Chords of two to six keys, some of them neighbours, over the whole keyboard.
fn clusters(seed: u64, program: u8) -> Vec<Note> {
    let mut random = random(seed, "clusters");
    let mut notes = Vec::new();
    for chord in 0..24 {
        let onset = LEAD_SECONDS + 0.6 * f64::from(chord);
        let length = [0.1, 0.25, 0.5][chord as usize % 3];
        let mut pitch: u8 = random.random_range(30..70);
        let velocity = random.random_range(50..110);
        for _ in 0..random.random_range(2..=6) {
            notes.push(note(pitch, onset, onset + length, velocity, program));
            pitch += random.random_range(1..=5);
        }
    }
    notes
}

/// Voices that each walk through the scale in their own rhythm, the first the highest.
fn voices(seed: u64, name: &str, programs: &[u8], seconds: f64) -> Vec<Note> {
    let mut random = random(seed, name);
    let mut notes = Vec::new();
    for (voice, program) in programs.iter().enumerate() {
        let octave = [72, 60, 55, 48, 36][if voice + 1 == programs.len() {
            4
        } else {
            voice
        }];
        let mut degree: i32 = random.random_range(0..7);
        let mut time = LEAD_SECONDS;
        while time < seconds {
            let length = [0.25, 0.25, 0.5, 0.5, 1.0][random.random_range(0..5)];
            if random.random_bool(0.9) {
                let pitch = octave + in_scale(degree.rem_euclid(10) as u8);
                let velocity = random.random_range(60..105);
                notes.push(note(pitch, time, time + length * 0.92, velocity, *program));
            }
            degree += random.random_range(-3..=3);
            time += length;
        }
    }
    notes
}

/// Bass drum, snare and hi-hat, four in a bar.
fn drums(seconds: f64) -> Vec<Note> {
    let strokes = ((seconds - LEAD_SECONDS) / 0.25) as u32;
    (0..strokes)
        .flat_map(|stroke| {
            let time = LEAD_SECONDS + 0.25 * f64::from(stroke);
            let kit = match stroke % 8 {
                0 | 5 => Some(36),
                2 | 6 => Some(38),
                _ => None,
            };
            [Some(42), kit]
                .into_iter()
                .flatten()
                .map(move |pitch| Note {
                    is_drum: true,
                    ..note(pitch, time, time + 0.1, 75, 0)
                })
        })
        .collect()
}

fn in_scale(degree: u8) -> u8 {
    12 * (degree / 7) + SCALE[usize::from(degree % 7)]
}

//! MIDI files: equal to the package's in parity mode; sound ones of our own.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;

use midly::{MetaMessage, MidiMessage, Smf, TrackEventKind};
use music::midi::{BendPolicy, MidiOptions, Package, check, write};
use music::{Bends, Note, Pedal, PedalKind, Transcript};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!(
        "{}/tests/fixtures/{name}",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

fn recorded_as(name: &str) -> Transcript {
    Transcript::from_json(&String::from_utf8(fixture(name)).unwrap()).unwrap()
}

fn recorded() -> Transcript {
    recorded_as("notes.json")
}

fn transcript(notes: Vec<Note>) -> Transcript {
    Transcript {
        notes,
        ..Transcript::new(serde_json::json!({}))
    }
}

fn note(onset: f64, offset: f64, pitch: u8) -> Note {
    Note {
        onset,
        offset,
        pitch,
        velocity: 90,
        program: 4,
        is_drum: false,
        bends: None,
    }
}

fn bent(note: Note, values: &[i32]) -> Note {
    Note {
        bends: Some(Bends {
            unit_cents: 100.0 / 3.0,
            values: values.to_vec(),
        }),
        ..note
    }
}

fn ours(bends: BendPolicy) -> MidiOptions {
    MidiOptions {
        bends,
        ..MidiOptions::default()
    }
}

/// Tick, channel and message of every channel message, by track.
fn messages(bytes: &[u8]) -> Vec<Vec<(u32, u8, MidiMessage)>> {
    let smf = Smf::parse(bytes).unwrap();
    let track = |events: &Vec<midly::TrackEvent<'_>>| {
        let mut tick = 0;
        let mut out = Vec::new();
        for event in events {
            tick += event.delta.as_int();
            if let TrackEventKind::Midi { channel, message } = event.kind {
                out.push((tick, channel.as_int(), message));
            }
        }
        out
    };
    smf.tracks.iter().map(track).collect()
}

/// Plays the file: every note-on has its note-off later, and the wheel is in the middle whenever a note without bends begins.
fn play(bytes: &[u8]) -> usize {
    let mut all: Vec<(u32, usize, u8, MidiMessage)> = Vec::new();
    for (track, events) in messages(bytes).into_iter().enumerate() {
        all.extend(
            events
                .into_iter()
                .map(|(tick, channel, message)| (tick, track, channel, message)),
        );
    }
    // The sort is stable: within a track the order stays.
    all.sort_by_key(|(tick, track, ..)| (*tick, *track));
    let mut sounding = BTreeMap::new();
    let mut wheel = BTreeMap::new();
    let mut count = 0;
    for (tick, _, channel, message) in all {
        match message {
            MidiMessage::NoteOn { key, vel } if vel > 0 => {
                count += 1;
                assert!(
                    sounding.insert((channel, key), tick).is_none(),
                    "tick {tick}: {key} is struck while it sounds"
                );
            }
            MidiMessage::NoteOn { key, .. } => {
                let begin = sounding
                    .remove(&(channel, key))
                    .unwrap_or_else(|| panic!("tick {tick}: {key} does not sound"));
                assert!(tick > begin);
            }
            MidiMessage::PitchBend { bend } => {
                assert_ne!(
                    wheel.insert(channel, bend.as_int()).unwrap_or(0),
                    bend.as_int(),
                    "tick {tick}: a repeat"
                );
            }
            _ => {}
        }
    }
    assert!(sounding.is_empty(), "{sounding:?}");
    assert!(wheel.values().all(|value| *value == 0), "{wheel:?}");
    count
}

#[test]
fn parity_is_the_packages_file_byte_for_byte() {
    for (name, bends, tempo_bpm) in [
        ("mono", BendPolicy::Monophonic, 120.0),
        ("per-pitch", BendPolicy::PerPitch, 120.0),
        ("slow", BendPolicy::Monophonic, 97.0),
    ] {
        let written = write(
            &recorded(),
            &MidiOptions {
                tempo_bpm,
                bends,
                parity: Some(Package::BasicPitch),
                text: Some("left out".to_owned()),
            },
        );
        let expected = fixture(&format!("package-{name}.mid"));
        assert_eq!(messages(&written), messages(&expected), "{name}");
        assert_eq!(written, expected, "{name}");
    }
    assert_eq!(
        write(
            &transcript(Vec::new()),
            &MidiOptions {
                parity: Some(Package::BasicPitch),
                ..MidiOptions::default()
            }
        ),
        fixture("package-empty.mid")
    );
}

#[test]
fn harmonicas_parity_is_its_packages_file_byte_for_byte() {
    let options = MidiOptions {
        parity: Some(Package::Harmonica),
        text: Some("left out".to_owned()),
        ..MidiOptions::default()
    };
    let written = write(&recorded_as("notes-harmonica.json"), &options);
    let expected = fixture("package-harmonica.mid");
    assert_eq!(messages(&written), messages(&expected));
    assert_eq!(written, expected);
    assert_eq!(
        write(&transcript(Vec::new()), &options),
        fixture("package-harmonica-empty.mid")
    );

    // What the bytes say: one track of 480 ticks a quarter at 120 a minute, a grand piano, and note-offs that are such.
    let smf = Smf::parse(&written).unwrap();
    assert_eq!(smf.header.format, midly::Format::Parallel);
    assert_eq!(
        smf.header.timing,
        midly::Timing::Metrical(midly::num::u15::new(480))
    );
    assert_eq!(smf.tracks.len(), 1);
    let tempo = smf.tracks[0][0].kind;
    assert_eq!(
        tempo,
        TrackEventKind::Meta(MetaMessage::Tempo(midly::num::u24::new(500_000)))
    );
    let events = messages(&written).concat();
    let program = MidiMessage::ProgramChange {
        program: midly::num::u7::new(0),
    };
    assert_eq!(events[0], (0, 0, program));
    let offs = events.iter().filter(|(_, channel, message)| {
        assert_eq!(*channel, 0);
        match message {
            MidiMessage::NoteOn { vel, .. } => assert!(*vel > 0, "a note-on that ends a note"),
            MidiMessage::NoteOff { vel, .. } => assert!(*vel > 0, "the note's velocity"),
            _ => {}
        }
        matches!(message, MidiMessage::NoteOff { .. })
    });
    assert_eq!(
        offs.count(),
        recorded_as("notes-harmonica.json").notes.len()
    );
}

#[test]
fn our_files_can_be_played() {
    let transcript = recorded();
    for bends in [
        BendPolicy::None,
        BendPolicy::Monophonic,
        BendPolicy::PerPitch,
    ] {
        let bytes = write(
            &transcript,
            &MidiOptions {
                text: Some("basic-pitch".to_owned()),
                ..ours(bends)
            },
        );
        assert_eq!(play(&bytes), transcript.notes.len(), "{bends:?}");
        let summary = check(&bytes).unwrap();
        let end = transcript
            .notes
            .iter()
            .map(|note| note.offset)
            .fold(0.0, f64::max);
        assert_eq!(summary.notes, transcript.notes.len());
        assert!((summary.seconds - end).abs() < 0.002, "{summary:?}, {end}");
        assert!(bytes.windows(11).any(|window| window == b"basic-pitch"));
    }
}

#[test]
fn times_do_not_depend_on_the_tempo() {
    for tempo_bpm in [30.0, 97.3, 240.0, f64::NAN, 0.0] {
        let summary = check(&write(
            &transcript(vec![note(1.0, 2.5, 60)]),
            &MidiOptions {
                tempo_bpm,
                ..MidiOptions::default()
            },
        ))
        .unwrap();
        assert!(
            (summary.seconds - 2.5).abs() < 0.02,
            "{tempo_bpm}: {summary:?}"
        );
    }
}

#[test]
fn bends_are_announced_thinned_and_reset() {
    let tracks = messages(&write(
        &transcript(vec![
            bent(note(0.0, 1.0, 60), &[0, 1, 1, 1, 2]),
            note(1.0, 2.0, 60),
        ]),
        &ours(BendPolicy::Monophonic),
    ));
    let kinds: Vec<(u32, String)> = tracks[1]
        .iter()
        .map(|(tick, channel, message)| {
            assert_eq!(*channel, 0);
            let word = match message {
                MidiMessage::ProgramChange { program } => format!("program {program}"),
                MidiMessage::Controller { controller, value } => {
                    format!("controller {controller} {value}")
                }
                MidiMessage::PitchBend { bend } => format!("bend {}", bend.as_int()),
                MidiMessage::NoteOn { vel, .. } if *vel > 0 => "on".to_owned(),
                _ => "off".to_owned(),
            };
            (*tick, word)
        })
        .collect();
    let expected = [
        (0, "program 4"),
        (0, "controller 101 0"),
        (0, "controller 100 0"),
        (0, "controller 6 2"),
        (0, "controller 38 0"),
        (0, "controller 101 127"),
        (0, "controller 100 127"),
        // The last value falls on the end of the note: too late to be heard.
        (0, "on"),
        (240, "bend 1365"),
        (960, "off"),
        (960, "bend 0"),
        (960, "on"),
        (1920, "off"),
    ];
    assert_eq!(kinds, expected.map(|(tick, word)| (tick, word.to_owned())));
}

#[test]
fn overlapping_notes_lose_their_bends_unless_each_pitch_has_a_channel() {
    let notes = vec![
        bent(note(0.0, 1.0, 60), &[1, 2, 3]),
        bent(note(0.5, 1.5, 64), &[-1, -2, -3]),
    ];
    let bends = |policy| {
        messages(&write(&transcript(notes.clone()), &ours(policy)))
            .concat()
            .iter()
            .filter(|(_, _, message)| matches!(message, MidiMessage::PitchBend { .. }))
            .count()
    };
    assert_eq!(
        (bends(BendPolicy::None), bends(BendPolicy::Monophonic)),
        (0, 0)
    );
    assert!(bends(BendPolicy::PerPitch) >= 6);
    let other_program = vec![
        notes[0].clone(),
        Note {
            program: 33,
            ..notes[1].clone()
        },
    ];
    let bytes = write(&transcript(other_program), &ours(BendPolicy::Monophonic));
    assert!(
        messages(&bytes)
            .concat()
            .iter()
            .any(|(_, _, message)| matches!(message, MidiMessage::PitchBend { .. })),
        "other programs have other channels"
    );
}

#[test]
fn tracks_have_names_and_drums_their_channel() {
    let drum = Note {
        is_drum: true,
        pitch: 38,
        program: 0,
        ..note(0.0, 0.1, 38)
    };
    let bytes = write(
        &transcript(vec![
            drum,
            note(0.0, 1.0, 60),
            Note {
                program: 33,
                ..note(0.0, 1.0, 40)
            },
        ]),
        &MidiOptions::default(),
    );
    let smf = Smf::parse(&bytes).unwrap();
    let names: Vec<&[u8]> = smf
        .tracks
        .iter()
        .flatten()
        .filter_map(|event| {
            if let TrackEventKind::Meta(MetaMessage::TrackName(name)) = event.kind {
                Some(name)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        names,
        [
            b"Electric Piano 1".as_slice(),
            b"Electric Bass (finger)",
            b"Drums"
        ]
    );
    let channels: Vec<u8> = messages(&bytes)
        .iter()
        .skip(1)
        .map(|track| track[0].1)
        .collect();
    assert_eq!(channels, [0, 1, 9]);
}

#[test]
fn more_programs_than_channels_share_them() {
    let notes: Vec<Note> = (0..40u8)
        .flat_map(|program| {
            (0..5).map(move |index| Note {
                program,
                ..note(
                    f64::from(index) + f64::from(program) * 0.01,
                    f64::from(index) + 0.9,
                    40 + program,
                )
            })
        })
        .collect();
    let bytes = write(&transcript(notes), &MidiOptions::default());
    assert_eq!(play(&bytes), 200);
    // At each note its channel has its program.
    let mut all: Vec<(u32, usize, usize, u8, MidiMessage)> = Vec::new();
    for (track, events) in messages(&bytes).into_iter().enumerate() {
        all.extend(
            events
                .into_iter()
                .enumerate()
                .map(|(index, (tick, channel, message))| (tick, track, index, channel, message)),
        );
    }
    all.sort_by_key(|(tick, track, index, ..)| (*tick, *track, *index));
    let mut programs = BTreeMap::new();
    for (_, track, _, channel, message) in all {
        assert_ne!(channel, 9);
        match message {
            MidiMessage::ProgramChange { program } => {
                programs.insert(channel, program.as_int());
            }
            MidiMessage::NoteOn { vel, .. } if vel > 0 => {
                assert_eq!(usize::from(programs[&channel]), track - 1)
            }
            _ => {}
        }
    }
}

#[test]
fn odd_notes_become_playable() {
    // No length, no loudness, struck again while sounding.
    let odd = vec![
        note(1.0, 1.0, 60),
        Note {
            velocity: 0,
            ..note(2.0, 3.0, 61)
        },
        note(4.0, 6.0, 62),
        note(5.0, 5.5, 62),
    ];
    assert_eq!(play(&write(&transcript(odd), &MidiOptions::default())), 4);
}

#[test]
fn pedals_go_down_and_up() {
    let mut transcript = transcript(vec![note(0.0, 3.0, 60)]);
    transcript.pedals = vec![
        Pedal {
            kind: PedalKind::Sustain,
            onset: 0.5,
            offset: 1.0,
            value: 100,
        },
        Pedal {
            kind: PedalKind::Soft,
            onset: 1.0,
            offset: 2.0,
            value: 64,
        },
    ];
    let pedals: Vec<(u32, u8, u8)> = messages(&write(&transcript, &MidiOptions::default()))[1]
        .iter()
        .filter_map(|(tick, _, message)| {
            if let MidiMessage::Controller { controller, value } = message {
                Some((*tick, controller.as_int(), value.as_int()))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        pedals,
        [(480, 64, 100), (960, 64, 0), (960, 67, 64), (1920, 67, 0)]
    );
}

#[test]
fn check_knows_the_packages_files_and_refuses_damage() {
    let bytes = fixture("package-mono.mid");
    let summary = check(&bytes).unwrap();
    assert_eq!((summary.notes, summary.tracks), (60, 2));
    assert_eq!(check(&fixture("package-per-pitch.mid")).unwrap().notes, 60);
    for cut in 0..bytes.len() {
        assert!(
            check(&bytes[..cut]).is_err(),
            "cut to {cut} of {} bytes",
            bytes.len()
        );
    }
    for bad in [
        b"".as_slice(),
        b"RIFF",
        b"MThd\0\0\0\x06\0\x01\0\0\0\xdc",
        &[bytes.as_slice(), b"more"].concat(),
        &vec![0; 17 << 20],
    ] {
        assert!(check(bad).is_err());
    }
    // Frames a second instead of ticks a quarter: four kinds there are, and minus 128, which has no positive byte, is never negated.
    let counted = (0x80..=0xff_u8).filter(|frames| {
        let mut timed = bytes.clone();
        timed[12..14].copy_from_slice(&[*frames, 80]);
        let checked = check(&timed);
        if *frames == 0x80 {
            let said = checked.as_ref().unwrap_err().to_string();
            assert!(said.contains("its header names no ticks"), "{said}");
        }
        checked.is_ok()
    });
    assert_eq!(counted.count(), 4);
    // Damage of any kind is an answer, never a panic.
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |age| age.subsec_nanos())
        .max(1);
    eprintln!("seed {seed}");
    let mut state = seed;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize
    };
    for _ in 0..3_000 {
        let mut damaged = bytes.clone();
        for _ in 0..1 + random() % 6 {
            let at = random() % damaged.len();
            damaged[at] = random() as u8;
        }
        let _ = check(&damaged);
    }
}

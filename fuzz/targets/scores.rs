//! Any bytes as a MIDI file and as notes JSON: what is read can be written again in every format, and reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use music::Transcript;
use music::midi::{BendPolicy, MidiOptions, Package};

fuzz_target!(|input: &[u8]| {
    let _ = music::midi::check(input);
    if let Ok(notes) = music::midi::read(input) {
        for note in &notes {
            assert!(note.onset.is_finite() && note.offset >= note.onset, "{note:?}");
        }
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(transcript) = Transcript::from_json(text) else {
        return;
    };
    let again = transcript.to_json().expect("what was read can be written");
    let again = Transcript::from_json(&again).expect("what was written can be read");
    assert_eq!(again.notes.len(), transcript.notes.len());
    for parity in [None, Some(Package::BasicPitch), Some(Package::Harmonica)] {
        for bends in [BendPolicy::PerPitch, BendPolicy::Monophonic] {
            let options = MidiOptions {
                bends,
                parity,
                text: Some("fuzz".to_owned()),
                ..MidiOptions::default()
            };
            let midi = music::midi::write(&transcript, &options);
            // Basic Pitch's is held to it in `notes`, for notes that it can give.
            if parity != Some(Package::BasicPitch) {
                music::midi::check(&midi).expect("our own file is a MIDI file");
            }
        }
    }
    let csv = music::csv::write(&transcript.notes);
    assert_eq!(csv.lines().count(), transcript.notes.len() + 1);
    music::roll::terminal(&transcript.notes, 80, 24);
    music::roll::svg(&transcript.notes, text);
});

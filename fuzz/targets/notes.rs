//! Any outputs of any network (the first byte says whose) and any options: note decoding ends, its notes make sense, and they can be
//! written in every format.
#![no_main]

mod networks;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use music::midi::{BendPolicy, MidiOptions, Package};
use networks::Heard;

fuzz_target!(|data: &[u8]| {
    let Some((network, outputs)) = data.split_first() else {
        return;
    };
    let mut outputs = Unstructured::new(outputs);
    let heard = match network % 4 {
        0 => networks::basic_pitch(&mut outputs),
        1 => networks::harmonica(&mut outputs),
        2 => networks::transkun(&mut outputs),
        _ => networks::mt3(&mut outputs),
    };
    if let Ok(heard) = heard {
        make_sense(&heard);
        can_be_written(heard);
    }
});

fn make_sense(heard: &Heard) {
    let Heard {
        parity, as_package, ..
    } = *heard;
    for note in &heard.notes {
        assert!(
            note.onset.is_finite() && note.offset.is_finite(),
            "{note:?}"
        );
        assert!(
            heard.pitches.contains(&note.pitch) && note.velocity <= 127,
            "{note:?}"
        );
        assert!(
            as_package || (note.onset >= 0.0 && note.offset > note.onset),
            "{note:?}"
        );
        assert!(parity || note.velocity > 0, "{note:?}");
        assert!(note.program <= 127, "{note:?}");
    }
    for two in heard.notes.windows(2) {
        assert!(as_package || two[0].onset <= two[1].onset, "{two:?}");
    }
    for pedal in &heard.pedals {
        assert!(
            pedal.onset.is_finite() && pedal.offset.is_finite(),
            "{pedal:?}"
        );
        assert!(
            pedal.onset >= 0.0 && pedal.offset > pedal.onset,
            "{pedal:?}"
        );
        assert!(pedal.value <= 127, "{pedal:?}");
    }
}

fn can_be_written(heard: Heard) {
    let mut transcript = music::Transcript::new(serde_json::json!({"app": "fuzz"}));
    transcript.notes = heard.notes;
    transcript.pedals = heard.pedals;
    let forms = [
        heard.as_package.then_some(Package::BasicPitch),
        Some(Package::Harmonica),
    ];
    for parity in forms {
        for bends in [BendPolicy::PerPitch, BendPolicy::Monophonic] {
            let midi = MidiOptions {
                bends,
                parity,
                ..MidiOptions::default()
            };
            let written = music::midi::write(&transcript, &midi);
            music::midi::check(&written).expect("our own file is a MIDI file");
        }
    }
    if !heard.as_package {
        let json = transcript.to_json().expect("notes can be written");
        let again = music::Transcript::from_json(&json).expect("our own notes can be read");
        assert_eq!(again, transcript);
    }
    music::csv::write(&transcript.notes);
    music::roll::terminal(&transcript.notes, 80, 24);
    music::roll::svg(&transcript.notes, "fuzz");
}

//! Any activation maps, also with what no network should give (NaN, infinities, values out of range), and any options: note decoding
//! ends, its notes make sense, and they can be written in every format.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use music::midi::{BendPolicy, MidiOptions, Package};
use transcription::basic_pitch::maps::Maps;
use transcription::basic_pitch::{Options, notes_of};

const PITCHES: usize = 88;
const MOST_FRAMES: usize = 48;

#[derive(Debug, Arbitrary)]
struct Input {
    thresholds: [u8; 2],
    length_ms: u16,
    frequencies: [Option<u16>; 2],
    flags: u8,
    frames: u8,
    background: [u8; 2],
    bend: i8,
}

/// A byte as an activation: mostly 0 to 1, and the values that arithmetic goes wrong with.
fn activation(byte: u8) -> f32 {
    match byte {
        250 => f32::NAN,
        251 => f32::INFINITY,
        252 => f32::NEG_INFINITY,
        253 => -1.0,
        254 => f32::MIN_POSITIVE,
        255 => f32::MAX,
        _ => f32::from(byte) / 249.0,
    }
}

fuzz_target!(|data: &[u8]| {
    let mut data = Unstructured::new(data);
    let Ok(input) = Input::arbitrary(&mut data) else {
        return;
    };
    let frames = usize::from(input.frames) % MOST_FRAMES;
    let mut maps = Maps {
        note: vec![activation(input.background[0]); frames * PITCHES],
        onset: vec![activation(input.background[1]); frames * PITCHES],
        bend: vec![input.bend.clamp(-25, 25); frames * PITCHES],
    };
    while frames > 0 && !data.is_empty() {
        let Ok((frame, pitch, count, note, onset)) = data.arbitrary::<(u8, u8, u8, u8, u8)>() else {
            break;
        };
        for step in 0..usize::from(count % 24) + 1 {
            let frame = (usize::from(frame) + step) % frames;
            let at = frame * PITCHES + usize::from(pitch) % PITCHES;
            maps.note[at] = activation(note);
            maps.onset[at] = if step == 0 { activation(onset) } else { 0.0 };
        }
    }
    let [low, high] = input.frequencies.map(|hertz| hertz.map(|hertz| f64::from(hertz) + 1.0));
    let options = Options {
        onset_threshold: f64::from(input.thresholds[0]) / 255.0,
        frame_threshold: f64::from(input.thresholds[1]) / 255.0,
        minimum_note_length: f64::from(input.length_ms % 10_001),
        minimum_frequency: low,
        maximum_frequency: high.filter(|high| low.is_none_or(|low| low < *high)),
        melodia: input.flags & 1 != 0,
        inferred_onsets: input.flags & 2 != 0,
        multiple_pitch_bends: input.flags & 4 != 0,
        midi_tempo: 120.0,
    };
    let parity = input.flags & 8 != 0;
    let mut transcript = music::Transcript::new(serde_json::json!({"app": "fuzz"}));
    transcript.notes = notes_of(maps, &options, parity);
    for note in &transcript.notes {
        assert!(note.onset.is_finite() && note.offset.is_finite(), "{note:?}");
        assert!((21..=108).contains(&note.pitch) && note.velocity <= 127, "{note:?}");
        assert!(parity || (note.offset > note.onset && note.velocity > 0), "{note:?}");
    }
    for bends in [BendPolicy::PerPitch, BendPolicy::Monophonic] {
        let midi = MidiOptions {
            bends,
            parity: parity.then_some(Package::BasicPitch),
            ..MidiOptions::default()
        };
        music::midi::check(&music::midi::write(&transcript, &midi)).expect("our own file is a MIDI file");
    }
    if !parity {
        let json = transcript.to_json().expect("notes can be written");
        let again = music::Transcript::from_json(&json).expect("our own notes can be read");
        assert_eq!(again.notes, transcript.notes);
    }
    music::csv::write(&transcript.notes);
    music::roll::terminal(&transcript.notes, 80, 24);
    music::roll::svg(&transcript.notes, "fuzz");
});

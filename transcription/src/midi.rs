//! A finished song as a MIDI file: the options that matter for it travel in the transcript's provenance.

use music::Transcript;
use music::midi::{BendPolicy, MidiOptions, write};

/// Writes the file as the song's options ask for it, its provenance as a text event.
pub fn midi(transcript: &Transcript) -> Vec<u8> {
    let option = |name: &str| &transcript.provenance["options"][name];
    // Transkun's package writes pedals, which the others' way of writing has not; its notes are what is compared.
    let parity = transcript.provenance["profile"] == "parity"
        && transcript.provenance["model"]["name"] != crate::transkun::NAME;
    let bends = if option("multiple_pitch_bends").as_bool() == Some(true) {
        BendPolicy::PerPitch
    } else {
        BendPolicy::Monophonic
    };
    let options = MidiOptions {
        tempo_bpm: option("midi_tempo").as_f64().unwrap_or(120.0),
        bends,
        parity,
        // The package writes no text; a file that reproduces it has none either.
        text: (!parity).then(|| transcript.provenance.to_string()),
    };
    write(transcript, &options)
}

//! A finished song as a MIDI file: the options that matter for it travel in the transcript's provenance.

use music::Transcript;
use music::midi::{BendPolicy, MidiOptions, write};

/// Writes the file as the song's options ask for it, its provenance as a text event.
pub fn midi(transcript: &Transcript) -> Vec<u8> {
    let option = |name: &str| &transcript.provenance["options"][name];
    // The way of writing that parity means knows no pedals and no programs: of these networks the notes are what is compared.
    let others = [crate::transkun::NAME, crate::mt3::NAME];
    let parity = transcript.provenance["profile"] == "parity"
        && !others
            .iter()
            .any(|name| transcript.provenance["model"]["name"] == *name);
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

#[cfg(test)]
mod tests {
    use music::{Note, Transcript};
    use serde_json::json;

    #[test]
    fn programs_and_drums_stay_what_they_are_under_parity_too() {
        let note = |program, is_drum| Note {
            onset: 0.5,
            offset: 1.0,
            pitch: 40,
            velocity: 100,
            program,
            is_drum,
            bends: None,
        };
        let transcript = Transcript {
            schema: 1,
            provenance: json!({"model": {"name": "mt3"}, "profile": "parity", "options": {}}),
            notes: vec![note(33, false), note(0, true)],
            pedals: Vec::new(),
        };
        let read = music::midi::read(&super::midi(&transcript)).unwrap();
        let kinds: Vec<_> = read
            .iter()
            .map(|note| (note.program, note.is_drum))
            .collect();
        assert!(
            kinds.contains(&(33, false)) && kinds.contains(&(0, true)),
            "{kinds:?}"
        );
    }
}

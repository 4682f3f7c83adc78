//! A finished song as a MIDI file: the options that matter for it travel in the transcript's provenance.

use music::Transcript;
use music::midi::{BendPolicy, MidiOptions, Package, write};

use crate::{basic_pitch, harmonica};

/// Writes the file as the song's options ask for it, its provenance as a text event.
pub fn midi(transcript: &Transcript) -> Vec<u8> {
    let option = |name: &str| &transcript.provenance["options"][name];
    let parity = package(transcript);
    let bends = if option("multiple_pitch_bends").as_bool() == Some(true) {
        BendPolicy::PerPitch
    } else {
        BendPolicy::Monophonic
    };
    let options = MidiOptions {
        tempo_bpm: option("midi_tempo").as_f64().unwrap_or(120.0),
        bends,
        parity,
        // The packages write no text; a file that reproduces one has none either.
        text: parity.is_none().then(|| transcript.provenance.to_string()),
    };
    write(transcript, &options)
}

/// The package whose file is to be reproduced. Of the other networks the notes are what is compared: their file is ours under parity too.
fn package(transcript: &Transcript) -> Option<Package> {
    if transcript.provenance["profile"] != "parity" {
        return None;
    }
    let model = transcript.provenance["model"]["name"].as_str()?;
    if model == basic_pitch::NAME {
        return Some(Package::BasicPitch);
    }
    harmonica::Size::of_model(model).map(|_| Package::Harmonica)
}

#[cfg(test)]
mod tests {
    use music::{Note, Transcript};
    use serde_json::json;

    fn note(pitch: u8, program: u8, is_drum: bool) -> Note {
        Note {
            onset: 0.512,
            offset: 1.024,
            pitch,
            velocity: 100,
            program,
            is_drum,
            bends: None,
        }
    }

    fn transcript(model: &str, profile: &str, notes: Vec<Note>) -> Transcript {
        Transcript {
            schema: 1,
            provenance: json!({"model": {"name": model}, "profile": profile, "options": {}}),
            notes,
            pedals: Vec::new(),
        }
    }

    /// Ticks a quarter, as the header has them.
    fn ticks(file: &[u8]) -> u16 {
        u16::from_be_bytes([file[12], file[13]])
    }

    #[test]
    fn each_package_has_its_own_file_under_parity_alone() {
        let write =
            |model, profile| super::midi(&transcript(model, profile, vec![note(40, 0, false)]));
        // What harmonica-amt 0.3.0 writes for this note: tempo, grand piano, a note-on, and a note-off that is one.
        let expected: Vec<u8> = [
            b"MThd\0\0\0\x06\0\x01\0\x01\x01\xe0MTrk\0\0\0\x18".as_slice(),
            b"\0\xff\x51\x03\x07\xa1\x20\0\xc0\0",
            b"\x83\x6c\x90\x28\x64\x83\x6b\x80\x28\x64\x01\xff\x2f\0",
        ]
        .concat();
        for model in ["harmonica", "harmonica:nano", "harmonica:x-large"] {
            assert_eq!(write(model, "parity"), expected, "{model}");
        }
        assert_eq!(ticks(&write("basic-pitch", "parity")), 220);
        for (model, profile) in [
            ("harmonica:nano", "default"),
            ("basic-pitch", "default"),
            ("transkun", "parity"),
        ] {
            let file = write(model, profile);
            assert_eq!(ticks(&file), 480, "{model}");
            let said = file.windows(7).any(|window| window == b"profile");
            assert!(said, "{model}: our own file tells where it is from");
        }
    }

    #[test]
    fn programs_and_drums_stay_what_they_are_under_parity_too() {
        let notes = vec![note(40, 33, false), note(40, 0, true)];
        let transcript = transcript("mt3", "parity", notes);
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

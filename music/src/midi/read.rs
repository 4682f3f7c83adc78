//! Notes out of a MIDI file that others made: for results that come without notes as data. Bends and pedals are left in the file.

use std::collections::{BTreeMap, HashMap};

use midly::{MetaMessage, MidiMessage, TrackEventKind};

use super::check::{check, seconds};
use crate::{Error, Note};

/// General MIDI's channel for drums, counted from zero.
const DRUMS: u8 = 9;

/// A note that sounds: where it began, its velocity and program.
type Sounding = (u64, u8, u8);

/// The notes of a whole file by onset and pitch. A note that is never ended is dropped; a note that is struck again while it
/// sounds ends there.
pub fn read(bytes: &[u8]) -> Result<Vec<Note>, Error> {
    check(bytes)?;
    let broken = |error: midly::Error| Error::Midi(error.to_string());
    let (header, tracks) = midly::parse(bytes).map_err(broken)?;
    let mut tempos = BTreeMap::from([(0, 500_000u32)]);
    let mut spans = Vec::new();
    for track in tracks {
        let mut tick = 0u64;
        let mut programs = [0u8; 16];
        let mut sounding: HashMap<(u8, u8), Sounding> = HashMap::new();
        for event in track.map_err(broken)? {
            let event = event.map_err(broken)?;
            tick += u64::from(event.delta.as_int());
            let (channel, message) = match event.kind {
                TrackEventKind::Meta(MetaMessage::Tempo(tempo)) => {
                    tempos.insert(tick, tempo.as_int());
                    continue;
                }
                TrackEventKind::Midi { channel, message } => (channel.as_int(), message),
                _ => continue,
            };
            let (key, velocity) = match message {
                MidiMessage::ProgramChange { program } => {
                    programs[usize::from(channel)] = program.as_int();
                    continue;
                }
                MidiMessage::NoteOn { key, vel } => (key.as_int(), vel.as_int()),
                MidiMessage::NoteOff { key, .. } => (key.as_int(), 0),
                _ => continue,
            };
            if let Some(began) = sounding.remove(&(channel, key)) {
                spans.push((channel, key, began, tick));
            }
            if velocity > 0 {
                sounding.insert(
                    (channel, key),
                    (tick, velocity, programs[usize::from(channel)]),
                );
            }
        }
    }
    let mut notes = spans
        .into_iter()
        .map(|(channel, pitch, (from, velocity, program), to)| {
            Ok(Note {
                onset: seconds(header.timing, &tempos, from)?,
                offset: seconds(header.timing, &tempos, to)?,
                pitch,
                velocity,
                program,
                is_drum: channel == DRUMS,
                bends: None,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    notes.sort_by(|a, b| a.onset.total_cmp(&b.onset).then(a.pitch.cmp(&b.pitch)));
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transcript;
    use crate::midi::{MidiOptions, write};

    fn note(onset: f64, offset: f64, pitch: u8, program: u8, is_drum: bool) -> Note {
        Note {
            onset,
            offset,
            pitch,
            velocity: 80,
            program,
            is_drum,
            bends: None,
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let notes = vec![
            note(0.5, 1.0, 60, 0, false),
            note(0.5, 2.0, 64, 24, false),
            note(1.0, 1.5, 60, 0, false),
            note(1.25, 1.5, 38, 0, true),
        ];
        let mut transcript = Transcript::new(serde_json::json!({}));
        transcript.notes.clone_from(&notes);
        let options = MidiOptions {
            tempo_bpm: 90.0,
            ..MidiOptions::default()
        };
        let read = read(&write(&transcript, &options)).unwrap();
        assert_eq!(read.len(), notes.len());
        for (read, written) in read.iter().zip(&notes) {
            assert!(
                (read.onset - written.onset).abs() < 0.005,
                "{read:?} and {written:?}"
            );
            assert!(
                (read.offset - written.offset).abs() < 0.005,
                "{read:?} and {written:?}"
            );
            assert_eq!(
                (read.pitch, read.velocity, read.is_drum),
                (written.pitch, written.velocity, written.is_drum)
            );
            if !written.is_drum {
                assert_eq!(read.program, written.program);
            }
        }
    }

    #[test]
    fn a_cut_file_is_refused() {
        let mut transcript = Transcript::new(serde_json::json!({}));
        transcript.notes.push(note(0.0, 1.0, 60, 0, false));
        let bytes = write(&transcript, &MidiOptions::default());
        assert!(read(&bytes[..bytes.len() - 3]).is_err());
    }
}

//! The file that the package harmonica-amt writes, event for event: one track for a grand piano, note-offs that are such, and times that
//! its MIDI library keeps in float32.

use midly::num::{u7, u28};
use midly::{MetaMessage, MidiMessage, TrackEventKind};

use super::basic_pitch::by_time;
use super::{Clock, Event, message, meta, note_on, program_change};
use crate::{Note, Transcript};

pub(super) const TICKS_PER_QUARTER: u16 = 480;
const CHANNEL: u8 = 0;
/// Acoustic Grand Piano, whatever the notes say.
const PROGRAM: u8 = 0;
/// What a note of velocity 0 gets, which is one of unknown velocity there.
const UNKNOWN_VELOCITY: u8 = 80;

pub(super) fn track(transcript: &Transcript, clock: &Clock) -> Vec<Event> {
    let mut notes: Vec<&Note> = transcript.notes.iter().collect();
    notes.sort_by(|a, b| by_time(a, b));
    let mut events: Vec<(bool, Event)> = Vec::with_capacity(2 * notes.len());
    for note in notes {
        let velocity = match note.velocity {
            0 => UNKNOWN_VELOCITY,
            known => known,
        };
        // Onset and length are rounded to float32, each by itself, and so is their sum: ends from the fifth minute on, onsets from the ninth, may lie on another tick.
        let (onset, length) = (note.onset as f32, (note.offset - note.onset) as f32);
        let begin = tick(onset, clock);
        let end = tick(onset + length, clock).max(begin + 1);
        events.push((true, (begin, note_on(CHANNEL, note.pitch, velocity))));
        events.push((false, (end, note_off(note.pitch, velocity))));
    }
    // Of one tick the note-offs come first; each kind stays in the order of the notes.
    events.sort_by_key(|(is_on, (tick, _))| (*tick, *is_on));
    let head = [
        (0, meta(MetaMessage::Tempo(clock.tempo))),
        (0, program_change(CHANNEL, PROGRAM)),
    ];
    head.into_iter()
        .chain(events.into_iter().map(|(_, event)| event))
        .collect()
}

/// Halves go up, as in C.
fn tick(seconds: f32, clock: &Clock) -> u32 {
    let microseconds_per_quarter = f64::from(clock.tempo.as_int());
    let per_second = f64::from(TICKS_PER_QUARTER) * 1e6 / microseconds_per_quarter;
    // Saturates: negative and absurd times stay in the file's range.
    let tick = (f64::from(seconds) * per_second).round() as u32;
    tick.min(u28::max_value().as_int())
}

fn note_off(pitch: u8, velocity: u8) -> TrackEventKind<'static> {
    message(
        CHANNEL,
        MidiMessage::NoteOff {
            key: u7::from_int_lossy(pitch),
            vel: u7::from_int_lossy(velocity),
        },
    )
}

//! The file that the Basic Pitch package writes, event for event: its resolution, its order of events, its bends that are never reset.

use std::cmp::Ordering;

use midly::MidiMessage;

use super::{BendPolicy, Clock, Event, bends, message, note_on, program_change};
use crate::{Note, Transcript};

pub(super) const TICKS_PER_QUARTER: u16 = 220;
/// Electric Piano 1, whatever the notes say.
const PROGRAM: u8 = 4;

pub(super) fn tracks(
    transcript: &Transcript,
    policy: BendPolicy,
    clock: &Clock,
) -> Vec<Vec<Event>> {
    let mut notes: Vec<&Note> = transcript.notes.iter().collect();
    let mut keeps_bends = vec![policy == BendPolicy::PerPitch; notes.len()];
    if policy != BendPolicy::PerPitch {
        notes.sort_by(|a, b| by_time(a, b));
        if policy == BendPolicy::Monophonic {
            keeps_bends = bends::alone(&notes);
        }
    }
    // Tracks in the order in which their first notes come.
    let mut tracks: Vec<(u8, Vec<(&Note, bool)>)> = Vec::new();
    for (note, keeps) in notes.into_iter().zip(keeps_bends) {
        let key = if policy == BendPolicy::PerPitch {
            note.pitch
        } else {
            0
        };
        match tracks.iter_mut().find(|(other, _)| *other == key) {
            Some((_, notes)) => notes.push((note, keeps)),
            None => tracks.push((key, vec![(note, keeps)])),
        }
    }
    tracks
        .iter()
        .enumerate()
        .map(|(index, (_, notes))| track(notes, channel(index), clock))
        .collect()
}

/// The fifteen channels without drums, again and again.
fn channel(index: usize) -> u8 {
    let channel = u8::try_from(index % 15).unwrap_or(0);
    if channel < 9 { channel } else { channel + 1 }
}

fn track(notes: &[(&Note, bool)], channel: u8, clock: &Clock) -> Vec<Event> {
    // Events of a tick are ordered by this number.
    let mut events: Vec<(i32, Event)> = vec![(6 << 16, (0, program_change(channel, PROGRAM)))];
    for (note, _) in notes {
        for (seconds, velocity) in [(note.onset, note.velocity), (note.offset, 0)] {
            let order = (10 << 16) + (i32::from(note.pitch) << 8) + i32::from(velocity);
            events.push((
                order,
                (clock.tick(seconds), note_on(channel, note.pitch, velocity)),
            ));
        }
    }
    for (note, bends) in notes
        .iter()
        .filter(|(_, keeps)| *keeps)
        .filter_map(|(note, _)| note.bends.as_ref().map(|bends| (note, bends)))
    {
        for (seconds, value) in bends::wheel(note, bends) {
            let bend = message(
                channel,
                MidiMessage::PitchBend {
                    bend: midly::PitchBend::from_int(value),
                },
            );
            events.push(((7 << 16) + i32::from(value), (clock.tick(seconds), bend)));
        }
    }
    events.sort_by_key(|(order, (tick, _))| (*tick, *order));
    events.into_iter().map(|(_, event)| event).collect()
}

/// The order in which both packages sort notes.
pub(super) fn by_time(a: &Note, b: &Note) -> Ordering {
    a.onset
        .total_cmp(&b.onset)
        .then(a.offset.total_cmp(&b.offset))
        .then(a.pitch.cmp(&b.pitch))
        .then(a.velocity.cmp(&b.velocity))
}

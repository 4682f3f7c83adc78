//! Our own files: a named track per program, bends that are reset and announced, note-offs before note-ons, no note without length.

use std::collections::{BTreeMap, BTreeSet};

use midly::{MetaMessage, MidiMessage, TrackEventKind};

use super::channels::{Group, assign};
use super::{
    BendPolicy, Clock, Event, bends, controller, message, meta, names, note_on, program_change,
};
use crate::{Note, PedalKind, Transcript};

pub(super) const TICKS_PER_QUARTER: u16 = 480;

/// What comes first within a tick.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Setup,
    NoteOff,
    BendReset,
    Pedal,
    Program,
    Bend,
    NoteOn,
}

type Ordered = (u32, Order, Event);

pub(super) fn tracks(
    transcript: &Transcript,
    policy: BendPolicy,
    clock: &Clock,
) -> Vec<Vec<Event>> {
    let groups = groups(&transcript.notes, policy);
    let channels = assign(&groups);
    let mut tracks: Vec<Vec<Ordered>> = groups.iter().map(|_| Vec::new()).collect();
    for channel in 0..16 {
        let on_channel: Vec<usize> = (0..groups.len())
            .filter(|index| channels[*index] == channel)
            .collect();
        play(&groups, &on_channel, channel, policy, clock, &mut tracks);
        if let Some(first) = on_channel.first().filter(|first| !groups[**first].is_drum) {
            pedals(transcript, channel, clock, &mut tracks[*first]);
        }
    }
    let finished = tracks.into_iter().zip(&groups).map(|(mut events, group)| {
        events.sort_by_key(|(tick, order, _)| (*tick, *order));
        let name = (
            0,
            meta(MetaMessage::TrackName(
                names::track(group.program, group.is_drum).as_bytes(),
            )),
        );
        std::iter::once(name)
            .chain(events.into_iter().map(|(_, _, event)| event))
            .collect()
    });
    finished.collect()
}

/// Programs in order, drums last; the notes of each in time.
fn groups(notes: &[Note], policy: BendPolicy) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<(bool, u8, Option<u8>), Vec<&Note>> = BTreeMap::new();
    for note in notes {
        let pitch = (policy == BendPolicy::PerPitch && !note.is_drum).then_some(note.pitch);
        // A drum kit is one track, whatever its notes' programs.
        let program = if note.is_drum { 0 } else { note.program };
        groups
            .entry((note.is_drum, program, pitch))
            .or_default()
            .push(note);
    }
    let group = |((is_drum, program, _), mut notes): (_, Vec<_>)| {
        notes.sort_by(|a: &&Note, b: &&Note| {
            a.onset.total_cmp(&b.onset).then(a.pitch.cmp(&b.pitch))
        });
        Group {
            program,
            is_drum,
            notes,
        }
    };
    groups.into_iter().map(group).collect()
}

/// All notes of one channel, over its tracks.
fn play(
    groups: &[Group<'_>],
    on_channel: &[usize],
    channel: u8,
    policy: BendPolicy,
    clock: &Clock,
    tracks: &mut [Vec<Ordered>],
) {
    let mut notes: Vec<(usize, &Note)> = on_channel
        .iter()
        .flat_map(|group| groups[*group].notes.iter().map(|note| (*group, *note)))
        .collect();
    notes.sort_by(|(_, a), (_, b)| {
        a.onset
            .total_cmp(&b.onset)
            .then(a.offset.total_cmp(&b.offset))
    });
    let alone = bends::alone(&notes.iter().map(|(_, note)| *note).collect::<Vec<_>>());
    let mut ends = ends(&notes, clock);
    if on_channel.len() > 1 {
        let begins: BTreeSet<u32> = notes
            .iter()
            .map(|(_, note)| clock.tick(note.onset))
            .collect();
        for (end, (_, note)) in ends.iter_mut().zip(&notes) {
            // Players merge tracks in any order: what ends a note must not share a tick with what begins another.
            if begins.contains(end) && *end > clock.tick(note.onset) + 1 {
                *end -= 1;
            }
        }
    }
    let mut program = None;
    let mut has_range = false;
    for (((group, note), is_alone), end) in notes.iter().zip(alone).zip(ends) {
        let events = &mut tracks[*group];
        let begin = clock.tick(note.onset);
        if program != Some(groups[*group].program) {
            // Each track sets its program up front; where tracks share the channel, again before a note of the other.
            let (tick, order) = if program.is_none() {
                (0, Order::Setup)
            } else {
                (begin, Order::Program)
            };
            program = Some(groups[*group].program);
            events.push((
                tick,
                order,
                (tick, program_change(channel, groups[*group].program)),
            ));
        }
        if let Some(bends) = note
            .bends
            .as_ref()
            .filter(|_| is_alone && policy != BendPolicy::None && !note.is_drum)
        {
            if !has_range {
                has_range = true;
                events.extend(bend_range(channel));
            }
            bend(
                &bends::wheel(note, bends),
                (begin, end),
                channel,
                clock,
                events,
            );
        }
        events.push((
            begin,
            Order::NoteOn,
            (begin, note_on(channel, note.pitch, note.velocity.max(1))),
        ));
        events.push((end, Order::NoteOff, (end, note_on(channel, note.pitch, 0))));
    }
}

/// Where each note ends: a tick after its begin at least, and where the same key is struck again.
fn ends(notes: &[(usize, &Note)], clock: &Clock) -> Vec<u32> {
    let mut next_of_pitch = [u32::MAX; 256];
    let mut ends: Vec<u32> = notes
        .iter()
        .rev()
        .map(|(_, note)| {
            let begin = clock.tick(note.onset);
            let next = &mut next_of_pitch[usize::from(note.pitch)];
            let end = clock.tick(note.offset).max(begin + 1);
            let end = if *next > begin { end.min(*next) } else { end };
            *next = begin;
            end
        })
        .collect();
    ends.reverse();
    ends
}

/// The wheel's movements during one note: no repeats, and back to the middle at its end.
fn bend(
    wheel: &[(f64, i16)],
    (begin, end): (u32, u32),
    channel: u8,
    clock: &Clock,
    events: &mut Vec<Ordered>,
) {
    // Of several values within one tick the last one counts.
    let by_tick: BTreeMap<u32, i16> = wheel
        .iter()
        .map(|(seconds, value)| (clock.tick(*seconds).max(begin), *value))
        .filter(|(tick, _)| *tick < end)
        .collect();
    let mut now = 0;
    for (tick, value) in by_tick {
        if value != now {
            now = value;
            events.push((tick, Order::Bend, (tick, wheel_to(channel, value))));
        }
    }
    if now != 0 {
        events.push((end, Order::BendReset, (end, wheel_to(channel, 0))));
    }
}

fn wheel_to(channel: u8, value: i16) -> TrackEventKind<'static> {
    message(
        channel,
        MidiMessage::PitchBend {
            bend: midly::PitchBend::from_int(value),
        },
    )
}

/// Registered parameter 0: the wheel reaches two semitones; then no parameter is chosen any more.
fn bend_range(channel: u8) -> impl Iterator<Item = Ordered> {
    [(101, 0), (100, 0), (6, 2), (38, 0), (101, 127), (100, 127)]
        .into_iter()
        .map(move |(number, value)| (0, Order::Setup, (0, controller(channel, number, value))))
}

fn pedals(transcript: &Transcript, channel: u8, clock: &Clock, events: &mut Vec<Ordered>) {
    for pedal in &transcript.pedals {
        let number = match pedal.kind {
            PedalKind::Sustain => 64,
            PedalKind::Soft => 67,
        };
        let (begin, end) = (clock.tick(pedal.onset), clock.tick(pedal.offset));
        events.push((
            end.max(begin + 1),
            Order::NoteOff,
            (end.max(begin + 1), controller(channel, number, 0)),
        ));
        events.push((
            begin,
            Order::Pedal,
            (begin, controller(channel, number, pedal.value)),
        ));
    }
}

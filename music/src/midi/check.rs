//! A look at a MIDI file that others made, before it is stored: is it one, and what does it hold. Bounded in bytes, tracks and events.

use std::collections::BTreeMap;

use midly::{MetaMessage, MidiMessage, Timing, TrackEventKind};

use crate::Error;

const MAX_BYTES: usize = 16 * 1024 * 1024;
const MAX_TRACKS: usize = 4_096;

/// What a MIDI file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct MidiSummary {
    pub notes: usize,
    pub tracks: usize,
    /// To the last event.
    pub seconds: f64,
}

/// Parses a whole file; a cut or damaged one is refused.
pub fn check(bytes: &[u8]) -> Result<MidiSummary, Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::Midi(format!(
            "it has {} bytes, the most is {MAX_BYTES}",
            bytes.len()
        )));
    }
    let count = whole_chunks(bytes)?;
    let broken = |error: midly::Error| Error::Midi(error.to_string());
    let (header, tracks) = midly::parse(bytes).map_err(broken)?;
    let mut notes = 0;
    let mut last_tick = 0u64;
    // Microseconds per quarter from each tick on.
    let mut tempos = BTreeMap::from([(0, 500_000u32)]);
    for track in tracks {
        let (mut tick, mut is_ended) = (0u64, false);
        for event in track.map_err(broken)? {
            let event = event.map_err(broken)?;
            tick += u64::from(event.delta.as_int());
            match event.kind {
                TrackEventKind::Midi {
                    message: MidiMessage::NoteOn { vel, .. },
                    ..
                } if vel > 0 => notes += 1,
                TrackEventKind::Meta(MetaMessage::Tempo(tempo)) => {
                    tempos.insert(tick, tempo.as_int());
                }
                TrackEventKind::Meta(MetaMessage::EndOfTrack) => {
                    is_ended = true;
                    continue;
                }
                _ => {}
            }
            last_tick = last_tick.max(tick);
        }
        if !is_ended {
            return Err(Error::Midi(
                "a track has no end: the file is cut or damaged".to_owned(),
            ));
        }
    }
    Ok(MidiSummary {
        notes,
        tracks: count,
        seconds: seconds(header.timing, &tempos, last_tick)?,
    })
}

/// The parser forgives chunks that are cut; a stored result must not be.
fn whole_chunks(bytes: &[u8]) -> Result<usize, Error> {
    let (mut rest, mut tracks) = (bytes, 0);
    while !rest.is_empty() {
        let Some((head, body)) = rest.split_first_chunk::<8>() else {
            return Err(Error::Midi(
                "there is something behind its last chunk".to_owned(),
            ));
        };
        let length = usize::try_from(u32::from_be_bytes([head[4], head[5], head[6], head[7]]))
            .unwrap_or(usize::MAX);
        if rest.len() == bytes.len() && !head.starts_with(b"MThd") {
            return Err(Error::Midi("it does not begin with MThd".to_owned()));
        }
        rest = body
            .get(length..)
            .ok_or_else(|| Error::Midi("it is cut within a chunk".to_owned()))?;
        tracks += usize::from(head.starts_with(b"MTrk"));
        if tracks > MAX_TRACKS {
            return Err(Error::Midi(format!("it has more than {MAX_TRACKS} tracks")));
        }
    }
    // Minus 128 frames a second: the parser negates it, which no byte can hold.
    if bytes.get(12) == Some(&0x80) {
        return Err(Error::Midi("its header names no ticks".to_owned()));
    }
    let named = bytes
        .get(10..12)
        .map_or(0, |two| usize::from(u16::from_be_bytes([two[0], two[1]])));
    if tracks == 0 || tracks != named {
        return Err(Error::Midi(format!(
            "its header names {named} tracks, it has {tracks}"
        )));
    }
    Ok(tracks)
}

pub(super) fn seconds(
    timing: Timing,
    tempos: &BTreeMap<u64, u32>,
    last_tick: u64,
) -> Result<f64, Error> {
    match timing {
        Timing::Timecode(frames, subframes) if subframes > 0 => {
            Ok(last_tick as f64 / f64::from(frames.as_f32()) / f64::from(subframes))
        }
        Timing::Metrical(per_quarter) if per_quarter > 0 => {
            let (mut seconds, mut since, mut tempo) = (0.0, 0, 500_000);
            for (tick, next) in tempos
                .range(..=last_tick)
                .map(|(tick, next)| (*tick, *next))
                .chain([(last_tick, 0)])
            {
                seconds += (tick - since) as f64 * f64::from(tempo)
                    / 1e6
                    / f64::from(per_quarter.as_int());
                (since, tempo) = (tick, next);
            }
            Ok(seconds)
        }
        _ => Err(Error::Midi("its header names no ticks".to_owned())),
    }
}

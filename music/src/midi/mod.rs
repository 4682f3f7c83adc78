//! Standard MIDI files from notes (`write`), and files from elsewhere: a look at one (`check`), its notes (`read`).

mod basic_pitch;
mod bends;
mod channels;
mod check;
mod harmonica;
mod names;
mod product;
mod read;

use midly::num::{u4, u7, u15, u24, u28};
use midly::{
    Format, Header, MetaMessage, MidiMessage, Smf, Timing, Track, TrackEvent, TrackEventKind,
};

pub use check::{MidiSummary, check};
pub use read::read;

use crate::Transcript;

/// Longer texts are cut: a meta event is a remark, not a store.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// How notes become a MIDI file.
#[derive(Clone, Debug, PartialEq)]
pub struct MidiOptions {
    /// Only the header's tempo: times are never stretched by it.
    pub tempo_bpm: f64,
    pub bends: BendPolicy,
    /// Bytes and quirks of a published package instead of ours.
    pub parity: Option<Package>,
    /// Provenance, as a text meta event. Not written in parity mode.
    pub text: Option<String>,
}

impl Default for MidiOptions {
    fn default() -> Self {
        MidiOptions {
            tempo_bpm: 120.0,
            bends: BendPolicy::default(),
            parity: None,
            text: None,
        }
    }
}

/// A published package whose files can be reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Package {
    BasicPitch,
    /// harmonica-amt, which knows nothing of bends, pedals and programs.
    Harmonica,
}

/// What happens to pitch bends, which MIDI knows per channel only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BendPolicy {
    /// Bends are left out.
    None,
    /// Kept where a note sounds alone, dropped from notes that overlap.
    #[default]
    Monophonic,
    /// One track per pitch, on as many channels as there are (`multiple_pitch_bends`).
    PerPitch,
}

/// A standard MIDI file, format 1.
pub fn write(transcript: &Transcript, options: &MidiOptions) -> Vec<u8> {
    let ticks_per_quarter = match options.parity {
        Some(Package::BasicPitch) => basic_pitch::TICKS_PER_QUARTER,
        Some(Package::Harmonica) => harmonica::TICKS_PER_QUARTER,
        None => product::TICKS_PER_QUARTER,
    };
    let clock = Clock::new(options.tempo_bpm, ticks_per_quarter);
    let mut smf = Smf::new(Header::new(
        Format::Parallel,
        Timing::Metrical(u15::new(clock.ticks_per_quarter)),
    ));
    let tracks = match options.parity {
        Some(Package::BasicPitch) => {
            smf.tracks.push(track(head(&clock, None)));
            basic_pitch::tracks(transcript, options.bends, &clock)
        }
        // All of it is one track.
        Some(Package::Harmonica) => vec![harmonica::track(transcript, &clock)],
        None => {
            let text = options.text.as_deref().map(shortened);
            smf.tracks.push(track(head(&clock, text)));
            product::tracks(transcript, options.bends, &clock)
        }
    };
    smf.tracks.extend(tracks.into_iter().map(track));
    let mut bytes = Vec::new();
    // A Vec takes every byte.
    let _ = smf.write(&mut bytes);
    bytes
}

/// What a track without notes says of the whole file.
fn head<'a>(clock: &Clock, text: Option<&'a str>) -> Vec<(u32, TrackEventKind<'a>)> {
    let mut events = vec![
        (0, meta(MetaMessage::Tempo(clock.tempo))),
        (0, meta(MetaMessage::TimeSignature(4, 2, 24, 8))),
    ];
    if let Some(text) = text {
        events.push((0, meta(MetaMessage::Text(text.as_bytes()))));
    }
    events
}

/// A tick of the whole file and what happens then.
type Event = (u32, TrackEventKind<'static>);

/// Seconds to ticks.
struct Clock {
    ticks_per_quarter: u16,
    tempo: u24,
    seconds_per_tick: f64,
}

impl Clock {
    fn new(tempo_bpm: f64, ticks_per_quarter: u16) -> Self {
        // A tempo event holds 24 bits of microseconds: nothing slower than 3.6 a minute.
        let tempo_bpm = if tempo_bpm.is_finite() {
            tempo_bpm.clamp(4.0, 60_000.0)
        } else {
            120.0
        };
        let resolution = f64::from(ticks_per_quarter);
        // Operation by operation as the package's MIDI library, so that the last bit agrees.
        let seconds_per_tick = 60.0 / (tempo_bpm * resolution);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "1,000 to 15,000,000"
        )]
        let tempo = (6e7 / (60.0 / (seconds_per_tick * resolution))) as u32;
        Clock {
            ticks_per_quarter,
            tempo: u24::new(tempo),
            seconds_per_tick,
        }
    }

    fn tick(&self, seconds: f64) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates: negative and absurd times stay in the file's range"
        )]
        let tick = (seconds / self.seconds_per_tick).round_ties_even() as u32;
        tick.min(u28::max_value().as_int())
    }
}

fn meta(message: MetaMessage<'_>) -> TrackEventKind<'_> {
    TrackEventKind::Meta(message)
}

fn message(channel: u8, message: MidiMessage) -> TrackEventKind<'static> {
    TrackEventKind::Midi {
        channel: u4::from_int_lossy(channel),
        message,
    }
}

fn note_on(channel: u8, pitch: u8, velocity: u8) -> TrackEventKind<'static> {
    message(
        channel,
        MidiMessage::NoteOn {
            key: u7::from_int_lossy(pitch),
            vel: u7::from_int_lossy(velocity),
        },
    )
}

fn controller(channel: u8, number: u8, value: u8) -> TrackEventKind<'static> {
    message(
        channel,
        MidiMessage::Controller {
            controller: u7::from_int_lossy(number),
            value: u7::from_int_lossy(value),
        },
    )
}

fn program_change(channel: u8, program: u8) -> TrackEventKind<'static> {
    message(
        channel,
        MidiMessage::ProgramChange {
            program: u7::from_int_lossy(program),
        },
    )
}

/// Events in their final order to a track.
fn track<'a>(events: Vec<(u32, TrackEventKind<'a>)>) -> Track<'a> {
    let mut last = 0;
    let mut track: Track<'a> = Vec::with_capacity(events.len() + 1);
    for (tick, kind) in events {
        track.push(TrackEvent {
            delta: u28::from_int_lossy(tick.saturating_sub(last)),
            kind,
        });
        last = tick;
    }
    track.push(TrackEvent {
        delta: u28::new(1),
        kind: meta(MetaMessage::EndOfTrack),
    });
    track
}

fn shortened(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

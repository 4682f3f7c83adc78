//! Outputs that a network could give, and values that none should (NaN, infinities, what is out of range), decoded to notes by the song of
//! each network. What notes must be is the target's business.

use std::ops::RangeInclusive;

use arbitrary::{Arbitrary, Result, Unstructured};
use music::{Note, Pedal};
use transcription::basic_pitch::{self, maps::Maps, notes_of};
use transcription::harmonica::config::KEPT;
use transcription::harmonica::{self, ChunkMaps, HarmonicaSong};
use transcription::mt3::config::PUBLISHED;
use transcription::mt3::{self, Mt3Song, Profile, Spoken};
use transcription::network::Song;
use transcription::transkun::config::SYMBOLS;
use transcription::transkun::semi_crf::{Scored, best_of};
use transcription::transkun::{Attributes, Candidates, Shape, Track, TranskunSong};

const PITCHES: usize = 88;
const PIANO: RangeInclusive<u8> = 21..=108;
const MOST_FRAMES: usize = 48;
const MOST_SEGMENTS: usize = 16;
/// A Transkun whose segments last two seconds.
const SHAPE: Shape = Shape {
    base: 16,
    layers: 1,
    inner: 16,
    hop_seconds: 1,
};

/// What a song came to, and what its network promises.
pub struct Heard {
    pub notes: Vec<Note>,
    pub pedals: Vec<Pedal>,
    pub pitches: RangeInclusive<u8>,
    /// With the quirks of a package: notes may be silent.
    pub parity: bool,
    /// Basic Pitch's alone: in the package's order, without length where it has none, and written in its way.
    pub as_package: bool,
}

impl Heard {
    fn of(mut song: impl Song, pitches: RangeInclusive<u8>, parity: bool) -> Self {
        let decoded = song.finish().expect("a song can always end");
        Heard {
            notes: decoded.notes,
            pedals: decoded.pedals,
            pitches,
            parity,
            as_package: false,
        }
    }
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

fn threshold(byte: u8) -> f64 {
    f64::from(byte) / 255.0
}

#[derive(Debug, Arbitrary)]
struct BasicPitch {
    thresholds: [u8; 2],
    length_ms: u16,
    frequencies: [Option<u16>; 2],
    flags: u8,
    frames: u8,
    background: [u8; 2],
    bend: i8,
}

pub fn basic_pitch(data: &mut Unstructured<'_>) -> Result<Heard> {
    let input = BasicPitch::arbitrary(data)?;
    let frames = usize::from(input.frames) % MOST_FRAMES;
    let mut maps = Maps {
        note: vec![activation(input.background[0]); frames * PITCHES],
        onset: vec![activation(input.background[1]); frames * PITCHES],
        bend: vec![input.bend.clamp(-25, 25); frames * PITCHES],
    };
    while frames > 0 && !data.is_empty() {
        let (frame, pitch, count, note, onset) = data.arbitrary::<(u8, u8, u8, u8, u8)>()?;
        for step in 0..usize::from(count % 24) + 1 {
            let frame = (usize::from(frame) + step) % frames;
            let at = frame * PITCHES + usize::from(pitch) % PITCHES;
            maps.note[at] = activation(note);
            maps.onset[at] = if step == 0 { activation(onset) } else { 0.0 };
        }
    }
    let [low, high] = input
        .frequencies
        .map(|hertz| hertz.map(|hertz| f64::from(hertz) + 1.0));
    let options = basic_pitch::Options {
        onset_threshold: threshold(input.thresholds[0]),
        frame_threshold: threshold(input.thresholds[1]),
        minimum_note_length: f64::from(input.length_ms % 10_001),
        minimum_frequency: low,
        maximum_frequency: high.filter(|high| low.is_none_or(|low| low < *high)),
        melodia: input.flags & 1 != 0,
        inferred_onsets: input.flags & 2 != 0,
        multiple_pitch_bends: input.flags & 4 != 0,
        midi_tempo: 120.0,
    };
    let parity = input.flags & 8 != 0;
    Ok(Heard {
        notes: notes_of(maps, &options, parity),
        pedals: Vec::new(),
        pitches: PIANO,
        parity,
        as_package: parity,
    })
}

pub fn harmonica(data: &mut Unstructured<'_>) -> Result<Heard> {
    let (thresholds, background, cut) = data.arbitrary::<([u8; 2], [u8; 3], u16)>()?;
    let chunks = usize::from(data.arbitrary::<u8>()? % 3);
    let frames = chunks * KEPT;
    let each = KEPT * PITCHES;
    let mut maps = vec![vec![0.0; 3 * each]; chunks];
    for chunk in &mut maps {
        for (map, byte) in chunk.chunks_exact_mut(each).zip(background) {
            map.fill(activation(byte));
        }
    }
    while frames > 0 && !data.is_empty() {
        let (frame, pitch, count) = data.arbitrary::<(u8, u8, u8)>()?;
        let values = data.arbitrary::<[u8; 3]>()?;
        for step in 0..usize::from(count % 24) + 1 {
            let frame = (usize::from(frame) + step) % frames;
            let at = frame % KEPT * PITCHES + usize::from(pitch) % PITCHES;
            for (map, value) in values.into_iter().enumerate() {
                let struck = map > 0 || step == 0;
                maps[frame / KEPT][map * each + at] = if struck { activation(value) } else { 0.0 };
            }
        }
    }
    let mut song = HarmonicaSong::new(harmonica::Options {
        onset_threshold: threshold(thresholds[0]),
        frame_threshold: threshold(thresholds[1]),
        midi_tempo: 120.0,
    });
    for (index, maps) in maps.into_iter().enumerate() {
        let last = index + 1 == chunks;
        let taken = song.notes(ChunkMaps {
            maps,
            silent: false,
            song_frames: last.then_some(usize::from(cut) % (frames + 1)),
        });
        taken.expect("maps are taken");
    }
    Ok(Heard::of(song, PIANO, false))
}

pub fn transkun(data: &mut Unstructured<'_>) -> Result<Heard> {
    let parity = data.arbitrary::<bool>()?;
    let mut song = TranskunSong::new(SHAPE, parity);
    for _ in 0..MOST_SEGMENTS {
        if data.is_empty() {
            break;
        }
        let mut tracks = vec![Track::default(); SYMBOLS];
        for _ in 0..data.arbitrary::<u8>()? % 6 {
            let symbol = usize::from(data.arbitrary::<u8>()?) % SYMBOLS;
            tracks[symbol] = track(data)?;
        }
        let candidates = Candidates {
            tracks,
            silent: false,
        };
        song.notes(candidates).expect("candidates are taken");
    }
    Ok(Heard::of(song, PIANO, parity))
}

/// The best path through any scores, and anything said of its intervals.
fn track(data: &mut Unstructured<'_>) -> Result<Track> {
    let frames = SHAPE.frames();
    let mut single = vec![-1.0; frames];
    let mut positive = Vec::new();
    for _ in 0..data.arbitrary::<u8>()? % 24 {
        let (begin, length, score) = data.arbitrary::<(u8, u8, u8)>()?;
        let begin = usize::from(begin) % frames;
        let end = begin + usize::from(length) % (frames - begin);
        let score = activation(score);
        if begin == end {
            single[begin] = score;
        } else if score > 0.0 {
            positive.push(Scored {
                begin: begin as u16,
                end: end as u16,
                score,
            });
        }
    }
    positive.sort_by_key(|scored| (scored.begin, scored.end));
    positive.dedup_by_key(|scored| (scored.begin, scored.end));
    let paths = best_of(&positive, &single);
    let intervals: Vec<(u16, u16)> = paths.all().collect();
    let mut attributes = Vec::new();
    for _ in &intervals {
        let (velocity, times) = data.arbitrary::<(u8, [u8; 4])>()?;
        let logit = |byte: u8| match byte {
            250.. => activation(byte),
            _ => (f32::from(byte) - 125.0) / 12.0,
        };
        attributes.push(Attributes {
            velocity: velocity % 128,
            ..Attributes::new(&[0.0], &times.map(logit))
        });
    }
    Ok(Track {
        intervals,
        attributes,
    })
}

pub fn mt3(data: &mut Unstructured<'_>) -> Result<Heard> {
    let (flags, shortest) = data.arbitrary::<(u8, u8)>()?;
    let profile = if flags & 1 != 0 {
        Profile::Seed
    } else {
        Profile::Magenta
    };
    let options = mt3::Options {
        profile,
        stable_programs: flags & 2 != 0,
        minimum_note_length: f64::from(shortest),
        ..mt3::Options::default()
    };
    let parity = flags & 4 != 0;
    let mut song = Mt3Song::new(PUBLISHED, options, parity);
    for segment in 0..MOST_SEGMENTS {
        if data.is_empty() {
            break;
        }
        let mut tokens = Vec::new();
        for _ in 0..data.arbitrary::<u8>()? {
            // Some below and some above the vocabulary.
            tokens.push(i64::from(data.arbitrary::<u16>()? % 1_600) - 4);
        }
        let start = profile.start_time(segment, PUBLISHED.frames);
        let taken = song.notes(Spoken { start, tokens });
        taken.expect("tokens are taken");
    }
    Ok(Heard::of(song, 0..=127, false))
}

//! Tokens to notes, segment by segment, one state for the whole song. Pure; what the streams of tokens may be worth is not its concern:
//! any stream gives notes, and counts of what made no sense.

use super::events::{Event, STEPS_PER_SECOND, event};

/// Seconds; no note is shorter, and drums are just this long.
const SHORTEST: f64 = 0.01;
/// Of notes before any velocity was said.
const DEFAULT_VELOCITY: u8 = 100;
/// The one velocity there is.
const FULL_VELOCITY: u8 = 127;

/// A note as the tokens say it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoteEvent {
    pub pitch: u8,
    pub start: f64,
    pub end: f64,
    pub velocity: u8,
    pub program: u8,
    pub is_drum: bool,
}

/// What made no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Tokens without a meaning, and events that cannot be where they are.
    pub invalid: usize,
    /// Tokens after the next segment's start.
    pub dropped: usize,
}

struct Active {
    pitch: u8,
    program: u8,
    onset: f64,
    velocity: u8,
    tied: bool,
}

/// The state between segments.
pub struct Decoder {
    velocity: u8,
    program: u8,
    now: f64,
    /// Sounding notes in the order in which they began: it decides the order in which they end.
    active: Vec<Active>,
    in_ties: bool,
    notes: Vec<NoteEvent>,
    counts: Counts,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder {
            velocity: DEFAULT_VELOCITY,
            program: 0,
            now: 0.0,
            active: Vec::new(),
            in_ties: false,
            notes: Vec::new(),
            counts: Counts::default(),
        }
    }
}

/// A segment's start on the grid of steps, in the arithmetic of the original: some starts fall one step too low in it.
pub fn on_grid(start: f64) -> f64 {
    start - start % (1.0 / STEPS_PER_SECOND)
}

/// The event makes no sense here.
struct Senseless;

impl Decoder {
    /// Takes a segment's tokens. `start` and the next segment's are on the grid.
    pub fn segment(&mut self, tokens: &[i64], start: f64, next_start: Option<f64>) {
        self.active.iter_mut().for_each(|note| note.tied = false);
        self.in_ties = true;
        // Fillings and other rubbish in front is not counted.
        let first = tokens
            .iter()
            .position(|token| event(*token).is_some())
            .unwrap_or(tokens.len());
        let tokens = &tokens[first..];
        // A limit of zero is none, as the original has it.
        let limit = next_start.filter(|limit| *limit != 0.0);
        let (mut steps, mut time) = (0.0, start);
        for (index, token) in tokens.iter().enumerate() {
            match event(*token) {
                None => self.counts.invalid += 1,
                Some(Event::Shift(more)) => {
                    steps += f64::from(more);
                    time = start + steps / STEPS_PER_SECOND;
                    if limit.is_some_and(|limit| time > limit) {
                        self.counts.dropped += tokens.len() - index;
                        return;
                    }
                }
                Some(event) => {
                    steps = 0.0;
                    if self.take(event, time).is_err() {
                        self.counts.invalid += 1;
                    }
                }
            }
        }
    }

    fn take(&mut self, event: Event, time: f64) -> Result<(), Senseless> {
        if time < self.now {
            return Err(Senseless);
        }
        self.now = time;
        match event {
            Event::Pitch(pitch) => self.pitch(pitch),
            Event::Drum(_) if self.velocity == 0 => Err(Senseless),
            Event::Drum(pitch) => {
                self.notes.push(NoteEvent {
                    pitch,
                    start: time,
                    end: time + SHORTEST,
                    velocity: self.velocity,
                    program: 0,
                    is_drum: true,
                });
                Ok(())
            }
            Event::Velocity(on) => {
                self.velocity = if on { FULL_VELOCITY } else { 0 };
                Ok(())
            }
            Event::Program(program) => {
                self.program = program;
                Ok(())
            }
            Event::Tie if self.in_ties => {
                self.in_ties = false;
                let (kept, ended) = std::mem::take(&mut self.active)
                    .into_iter()
                    .partition::<Vec<_>, _>(|note| note.tied);
                self.active = kept;
                ended.into_iter().for_each(|note| self.end(&note));
                Ok(())
            }
            // Shifts never come here.
            Event::Tie | Event::Shift(_) => Err(Senseless),
        }
    }

    fn pitch(&mut self, pitch: u8) -> Result<(), Senseless> {
        let program = self.program;
        let place = self
            .active
            .iter()
            .position(|note| (note.pitch, note.program) == (pitch, program));
        if self.in_ties {
            let note = &mut self.active[place.ok_or(Senseless)?];
            if note.tied {
                return Err(Senseless);
            }
            note.tied = true;
            return Ok(());
        }
        if self.velocity == 0 {
            let note = self.active.remove(place.ok_or(Senseless)?);
            self.end(&note);
            return Ok(());
        }
        // The key is struck again.
        if let Some(place) = place {
            let note = self.active.remove(place);
            self.end(&note);
        }
        self.active.push(Active {
            pitch,
            program,
            onset: self.now,
            velocity: self.velocity,
            tied: false,
        });
        Ok(())
    }

    fn end(&mut self, note: &Active) {
        self.notes.push(NoteEvent {
            pitch: note.pitch,
            start: note.onset,
            end: self.now.max(note.onset + SHORTEST),
            velocity: note.velocity,
            program: note.program,
            is_drum: false,
        });
    }

    /// The song is over: ends what sounds.
    pub fn finish(mut self) -> (Vec<NoteEvent>, Counts) {
        let active = std::mem::take(&mut self.active);
        self.now = active
            .iter()
            .fold(self.now, |now, note| now.max(note.onset + SHORTEST));
        active.iter().for_each(|note| self.end(note));
        (self.notes, self.counts)
    }
}

/// Decodes a song's segments `(start, tokens)`; starts are not on the grid yet.
pub fn decode(segments: &[(f64, Vec<i64>)]) -> (Vec<NoteEvent>, Counts) {
    let mut segments: Vec<(f64, &[i64])> = segments
        .iter()
        .map(|(start, tokens)| (on_grid(*start), tokens.as_slice()))
        .collect();
    segments.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut decoder = Decoder::default();
    for (index, (start, tokens)) in segments.iter().enumerate() {
        let next = segments.get(index + 1).map(|(next, _)| *next);
        decoder.segment(tokens, *start, next);
    }
    decoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: i64 = 1_133;
    const OFF: i64 = 1_132;
    const TIE: i64 = 1_134;

    fn pitch(pitch: i64) -> i64 {
        1_004 + pitch
    }

    fn at(steps: i64) -> i64 {
        3 + steps
    }

    #[test]
    fn ties_carry_notes_and_their_absence_ends_them() {
        let first = vec![0, TIE, ON, pitch(60), pitch(64), at(50), pitch(67), 1];
        let second = vec![0, pitch(64), TIE, at(20), OFF, pitch(64), 1];
        let (notes, counts) = decode(&[(0.0, first), (2.048, second)]);
        let spans: Vec<_> = notes
            .iter()
            .map(|note| (note.pitch, note.start, note.end))
            .collect();
        assert_eq!(spans, [(60, 0.0, 2.04), (67, 0.5, 2.04), (64, 0.0, 2.24)]);
        // The two end tokens.
        assert_eq!(
            counts,
            Counts {
                invalid: 2,
                dropped: 0
            }
        );
    }

    #[test]
    fn shifts_are_absolute_and_what_is_past_the_next_segment_is_dropped() {
        let tokens = vec![
            TIE,
            at(100),
            ON,
            pitch(60),
            at(150),
            OFF,
            pitch(60),
            at(205),
            ON,
            pitch(61),
        ];
        let (notes, counts) = decode(&[(0.0, tokens), (2.048, vec![])]);
        assert_eq!((notes[0].start, notes[0].end), (1.0, 1.5));
        assert_eq!((notes.len(), counts.dropped), (1, 3));
        // On the edge is not past it.
        let edge = vec![TIE, ON, at(204), pitch(60)];
        assert_eq!(decode(&[(0.0, edge), (2.048, vec![])]).0.len(), 1);
        // Shifts in a row add up.
        let sum = vec![TIE, ON, at(1_000), at(7), pitch(60)];
        assert_eq!(decode(&[(0.0, sum)]).0[0].start, 10.07);
    }

    #[test]
    fn what_makes_no_sense_is_counted_and_changes_nothing() {
        let (notes, counts) = decode(&[(
            0.0,
            vec![
                TIE,
                TIE,
                OFF,
                pitch(60),
                1_263 + 36,
                2,
                1_400,
                ON,
                at(10),
                pitch(60),
                at(5),
                pitch(61),
            ],
        )]);
        assert_eq!(notes.len(), 1);
        assert_eq!(counts.invalid, 6);
        assert_eq!((notes[0].start, notes[0].end), (0.1, 0.11));
    }

    #[test]
    fn some_starts_fall_a_step_low_as_in_the_original() {
        use super::super::config::Profile;
        let low = |profile: Profile| {
            (0..600)
                .filter(|k| {
                    let steps = on_grid(profile.start_time(*k, 256)) * 100.0;
                    steps.round() as usize != 20_480 * k / 100
                })
                .collect::<Vec<_>>()
        };
        let (magenta, seed) = (low(Profile::Magenta), low(Profile::Seed));
        assert_eq!(
            (magenta.len(), &magenta[..6]),
            (67, &[15, 30, 45, 55, 60, 75][..])
        );
        assert_eq!((seed.len(), &seed[..6]), (66, &[5, 10, 15, 20, 30, 40][..]));
    }
}

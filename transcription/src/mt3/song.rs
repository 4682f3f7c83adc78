//! One song's decoding: its segments' tokens, in order, become notes. A segment is decoded when the next one has come, since notes end
//! where that begins.

use super::config::{END, START, Shape};
use super::instruments::steady;
use super::notes::{Decoder, NoteEvent, on_grid};
use super::options::Options;
use super::segments::{Passage, Passages, Rules};
use crate::Error;
use crate::network::{Decoded, Segments, Song};

/// Seconds that a drum is written with at least: samplers do not sound what is shorter. Under parity it stays as the tokens say.
const DRUM: f64 = 0.05;

/// What the network said of a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Spoken {
    /// Seconds, not yet on the grid of steps.
    pub start: f64,
    pub tokens: Vec<i64>,
}

pub struct Mt3Song {
    shape: Shape,
    options: Options,
    parity: bool,
    decoder: Decoder,
    held: Option<Spoken>,
    any: bool,
}

impl Mt3Song {
    pub fn new(shape: Shape, options: Options, parity: bool) -> Self {
        Mt3Song {
            shape,
            options,
            parity,
            decoder: Decoder::default(),
            held: None,
            any: false,
        }
    }

    fn decode(&mut self, spoken: &Spoken, next: Option<f64>) {
        let tokens = spoken.tokens.as_slice();
        let tokens = tokens.strip_prefix(&[START]).unwrap_or(tokens);
        let tokens = tokens.strip_suffix(&[END]).unwrap_or(tokens);
        self.decoder
            .segment(tokens, on_grid(spoken.start), next.map(on_grid));
    }
}

impl Song for Mt3Song {
    type Segment = Passage;
    type Output = Spoken;

    fn segments(
        &self,
        recording: audio::Recording,
    ) -> Result<Box<dyn Segments<Segment = Passage>>, Error> {
        let rules = Rules {
            allowed: self.options.allowed_tokens(self.shape.vocabulary),
            ..Rules::default()
        };
        Ok(Box::new(Passages::new(
            recording,
            self.options.profile,
            &self.shape,
            rules,
        )?))
    }

    fn notes(&mut self, output: Spoken) -> Result<Option<Passage>, Error> {
        self.any = true;
        if let Some(before) = self.held.take() {
            self.decode(&before, Some(output.start));
        }
        self.held = Some(output);
        Ok(None)
    }

    fn finish(&mut self) -> Result<Decoded, Error> {
        if let Some(last) = self.held.take() {
            self.decode(&last, None);
        }
        let (mut notes, counts) = std::mem::take(&mut self.decoder).finish();
        if self.options.stable_programs {
            steady(&mut notes);
        }
        let shortest = self.options.minimum_note_length / 1000.0;
        notes.retain(|note| note.is_drum || note.end - note.start >= shortest - 1e-9);
        let mut warnings = Vec::new();
        if !self.any {
            warnings.push("the recording is shorter than one window of 0.128 s".to_owned());
        } else if notes.is_empty() {
            warnings.push("no notes were found".to_owned());
        }
        if counts.invalid + counts.dropped > 0 {
            warnings.push(format!(
                "{} events made no sense and {} came after the end of their segment; they were left out",
                counts.invalid, counts.dropped
            ));
        }
        let mut notes: Vec<music::Note> = notes.iter().map(|note| self.note(note)).collect();
        notes.sort_by(|one, other| {
            let key = |note: &music::Note| (note.is_drum, note.program, note.pitch);
            (one.onset.total_cmp(&other.onset)).then(key(one).cmp(&key(other)))
        });
        Ok(Decoded {
            notes,
            pedals: Vec::new(),
            warnings,
        })
    }
}

impl Mt3Song {
    fn note(&self, note: &NoteEvent) -> music::Note {
        let audible = note.is_drum && !self.parity;
        music::Note {
            onset: note.start,
            offset: if audible {
                note.end.max(note.start + DRUM)
            } else {
                note.end
            },
            pitch: note.pitch,
            velocity: note.velocity,
            program: note.program,
            is_drum: note.is_drum,
            bends: None,
        }
    }
}

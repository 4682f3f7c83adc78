//! One song's decoding: segments in order, then notes and pedals.

use music::{Note, Pedal, PedalKind};

use super::attributes::Candidates;
use super::config::Shape;
use super::segments::{Cut, Segment};
use super::stitching::{Event, Stitcher};
use crate::Error;
use crate::network::{Decoded, Segments, Song};

/// Grand piano, as the package writes.
const PROGRAM: u8 = 0;

pub struct TranskunSong {
    shape: Shape,
    stitcher: Stitcher,
    silent: bool,
    parity: bool,
}

impl TranskunSong {
    /// `parity`: velocities of 0 stay, which a MIDI file would take for the note's end.
    pub fn new(shape: Shape, parity: bool) -> Self {
        TranskunSong {
            shape,
            stitcher: Stitcher::new(shape),
            silent: true,
            parity,
        }
    }
}

impl Song for TranskunSong {
    type Segment = Segment;
    type Output = Candidates;

    fn segments(
        &self,
        recording: audio::Recording,
    ) -> Result<Box<dyn Segments<Segment = Segment>>, Error> {
        Ok(Box::new(Cut::new(self.shape, recording)?))
    }

    fn notes(&mut self, output: Candidates) -> Result<Option<Segment>, Error> {
        self.silent &= output.silent;
        self.stitcher.add(&output);
        Ok(None)
    }

    fn finish(&mut self) -> Result<Decoded, Error> {
        let stitcher = std::mem::replace(&mut self.stitcher, Stitcher::new(self.shape));
        let mut decoded = Decoded::default();
        for event in stitcher.finish() {
            match u8::try_from(event.symbol) {
                Ok(pitch) => decoded.notes.push(note(&event, pitch, self.parity)),
                Err(_) => decoded.pedals.push(pedal(&event)),
            }
        }
        if self.silent {
            decoded.warnings.push("the recording is silent".to_owned());
        } else if decoded.notes.is_empty() {
            let warning = "no notes were found; this model hears pianos alone";
            decoded.warnings.push(warning.to_owned());
        }
        Ok(decoded)
    }
}

fn note(event: &Event, pitch: u8, parity: bool) -> Note {
    Note {
        onset: event.start,
        offset: event.end,
        pitch,
        velocity: event.velocity.max(u8::from(!parity)),
        program: PROGRAM,
        is_drum: false,
        bends: None,
    }
}

fn pedal(event: &Event) -> Pedal {
    Pedal {
        kind: if event.symbol == -64 {
            PedalKind::Sustain
        } else {
            PedalKind::Soft
        },
        onset: event.start,
        offset: event.end,
        value: event.velocity,
    }
}

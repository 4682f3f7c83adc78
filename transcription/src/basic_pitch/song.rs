//! One song's decoding: collects its windows' maps, then makes notes of the whole (an onset's threshold depends on the song's
//! strongest, so nothing is final before the end).

use super::bends::{UNIT_CENTS, bends};
use super::config::Options;
use super::decoding::decode;
use super::maps::{Maps, WindowMaps, frame_seconds};
use super::{Window, Windows};
use crate::Error;
use crate::network::{Decoded, Segments, Song};

/// Electric Piano 1, as the package writes.
const PROGRAM: u8 = 4;

pub struct BasicPitchSong {
    options: Options,
    parity: bool,
    maps: Maps,
    song_samples: usize,
    silent_windows: usize,
    windows: usize,
}

impl BasicPitchSong {
    pub fn new(options: Options, parity: bool) -> Self {
        BasicPitchSong {
            options,
            parity,
            maps: Maps::default(),
            song_samples: 0,
            silent_windows: 0,
            windows: 0,
        }
    }
}

impl Song for BasicPitchSong {
    type Segment = Window;
    type Output = WindowMaps;

    fn segments(
        &self,
        recording: audio::Recording,
    ) -> Result<Box<dyn Segments<Segment = Window>>, Error> {
        Ok(Box::new(Windows::new(recording)?))
    }

    fn notes(&mut self, output: WindowMaps) -> Result<Option<Window>, Error> {
        self.maps.push(&output);
        self.windows += 1;
        if f64::from(output.log_spread_db) < 1e-4 {
            self.silent_windows += 1;
        }
        if let Some(samples) = output.song_samples {
            self.song_samples = samples;
        }
        Ok(None)
    }

    fn finish(&mut self) -> Result<Decoded, Error> {
        let mut maps = std::mem::take(&mut self.maps);
        maps.cut(self.song_samples, self.parity);
        let notes = notes_of(maps, &self.options, self.parity);
        let mut warnings = Vec::new();
        if self.silent_windows == self.windows {
            warnings.push("the recording is silent".to_owned());
        } else if notes.is_empty() {
            warnings.push("no notes were found; lower thresholds may help".to_owned());
        }
        Ok(Decoded {
            notes,
            pedals: Vec::new(),
            warnings,
        })
    }
}

/// Notes in seconds, by onset and pitch; in parity as they were found.
pub fn notes_of(maps: Maps, options: &Options, parity: bool) -> Vec<music::Note> {
    let Maps { note, onset, bend } = maps;
    let mut notes: Vec<music::Note> = decode(note, onset, options, parity)
        .iter()
        .map(|event| music::Note {
            onset: frame_seconds(event.start, parity),
            offset: frame_seconds(event.end, parity),
            pitch: event.pitch,
            // A MIDI note-on of velocity 0 would be a note-off.
            velocity: if parity {
                event.velocity()
            } else {
                event.velocity().max(1)
            },
            program: PROGRAM,
            is_drum: false,
            bends: Some(music::Bends {
                unit_cents: UNIT_CENTS,
                values: bends(&bend, event),
            }),
        })
        .collect();
    // The package's MIDI depends on the order in which it found the notes.
    if !parity {
        notes.sort_by(|a, b| a.onset.total_cmp(&b.onset).then(a.pitch.cmp(&b.pitch)));
    }
    notes
}

//! Maps to notes (`decoding.py` of the package): an onset is a peak in time; its note lasts while the sustain map stays up, or until
//! the pitch's next onset. Knows arrays and thresholds alone.

use super::config::{FRAME_RATE, KEPT, LOWEST_PITCH, PITCHES};

/// A song's maps, frame by frame, each with [`PITCHES`] columns. An hour of them takes 119 MB.
#[derive(Debug, Default, Clone)]
pub struct Maps {
    pub onset: Vec<f32>,
    pub sustain: Vec<f32>,
    pub velocity: Vec<f32>,
}

impl Maps {
    pub fn frames(&self) -> usize {
        self.onset.len() / PITCHES
    }

    /// Adds the kept frames of a chunk: `[onset, sustain, velocity][KEPT][PITCHES]`.
    pub fn push(&mut self, chunk: &[f32]) {
        let each = KEPT * PITCHES;
        self.onset.extend_from_slice(&chunk[..each]);
        self.sustain.extend_from_slice(&chunk[each..2 * each]);
        self.velocity.extend_from_slice(&chunk[2 * each..]);
    }

    /// Drops what the last chunk's padding added.
    pub fn cut(&mut self, frames: usize) {
        for map in [&mut self.onset, &mut self.sustain, &mut self.velocity] {
            map.truncate(frames * PITCHES);
        }
    }
}

/// A note in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NoteEvent {
    pub start: usize,
    pub end: usize,
    pub pitch: u8,
    pub velocity: u8,
}

/// Finds the notes, ordered by onset, offset and pitch. Thresholds are compared as float32, as the maps are.
pub fn decode(maps: &Maps, onset_threshold: f64, frame_threshold: f64) -> Vec<NoteEvent> {
    let (least_onset, least_sustain) = (onset_threshold as f32, frame_threshold as f32);
    let frames = maps.frames();
    let mut notes = Vec::new();
    for row in 0..PITCHES {
        let onset = |frame: usize| maps.onset[frame * PITCHES + row];
        // Outside the song the onset map is below everything, so the first and the last frame can be peaks.
        let is_peak = |frame: usize| {
            let here = onset(frame);
            here >= least_onset
                && here >= (if frame > 0 { onset(frame - 1) } else { -1.0 })
                && here
                    > (if frame + 1 < frames {
                        onset(frame + 1)
                    } else {
                        -1.0
                    })
        };
        let mut open: Option<NoteEvent> = None;
        for frame in 0..frames {
            if is_peak(frame) {
                if let Some(note) = open.take() {
                    notes.push(NoteEvent { end: frame, ..note });
                }
                open = Some(NoteEvent {
                    start: frame,
                    end: frames,
                    pitch: (LOWEST_PITCH + row) as u8,
                    velocity: velocity(maps.velocity[frame * PITCHES + row]),
                });
            } else if maps.sustain[frame * PITCHES + row] < least_sustain
                && let Some(note) = open.take()
            {
                notes.push(NoteEvent { end: frame, ..note });
            }
        }
        notes.extend(open);
    }
    notes.sort_unstable();
    notes
}

/// Halves round to even, as Python does; a note that is heard has a velocity, whatever the map says.
fn velocity(activation: f32) -> u8 {
    ((activation * 127.0).round_ties_even() as u8).clamp(1, 127)
}

/// Seconds at which a frame sounds.
pub fn frame_seconds(frame: usize) -> f64 {
    frame as f64 / FRAME_RATE
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: usize = 39;

    /// Notes of one pitch as (start, end, velocity), at the thresholds 0.5 and 0.5.
    fn notes(onset: &[f32], sustain: &[f32], velocity: f32) -> Vec<(usize, usize, u8)> {
        let map = |row: &[f32]| {
            let mut map = vec![0.0; row.len() * PITCHES];
            for (frame, value) in row.iter().enumerate() {
                map[frame * PITCHES + ROW] = *value;
            }
            map
        };
        let maps = Maps {
            onset: map(onset),
            sustain: map(sustain),
            velocity: vec![velocity; onset.len() * PITCHES],
        };
        decode(&maps, 0.5, 0.5)
            .iter()
            .map(|note| {
                assert_eq!(usize::from(note.pitch), LOWEST_PITCH + ROW);
                (note.start, note.end, note.velocity)
            })
            .collect()
    }

    #[test]
    fn the_last_frame_of_a_plateau_is_the_peak() {
        let sustain = [1.0; 6];
        let plateau = notes(&[0.0, 0.7, 0.7, 0.7, 0.2, 0.0], &sustain, 0.5);
        assert_eq!(plateau, [(3, 6, 64)]);
        assert_eq!(notes(&[0.0, 0.5, 0.0], &[1.0; 3], 0.5).len(), 1);
        assert_eq!(notes(&[0.0, 0.499_999, 0.0], &[1.0; 3], 0.5).len(), 0);
    }

    #[test]
    fn the_first_and_the_last_frame_can_be_peaks() {
        assert_eq!(
            notes(&[0.9, 0.1, 0.1, 0.8], &[1.0, 0.9, 0.1, 0.9], 0.5),
            [(0, 2, 64), (3, 4, 64)]
        );
        assert_eq!(notes(&[0.9], &[0.0], 0.5), [(0, 1, 64)]);
        assert_eq!(notes(&[], &[], 0.5), []);
    }

    #[test]
    fn an_onset_cuts_the_note_before_it() {
        assert_eq!(
            notes(&[0.6, 0.2, 0.9, 0.2, 0.1], &[1.0; 5], 0.5),
            [(0, 2, 64), (2, 5, 64)]
        );
    }

    #[test]
    fn the_sustain_under_an_onset_is_not_asked() {
        let onset = [0.0, 0.9, 0.1, 0.1, 0.1];
        assert_eq!(notes(&onset, &[0.0, 0.1, 0.9, 0.2, 0.9], 0.5), [(1, 3, 64)]);
        // A note lasts a frame at least.
        assert_eq!(notes(&onset, &[0.0; 5], 0.5), [(1, 2, 64)]);
    }

    #[test]
    fn velocities_are_clamped_and_halves_go_to_even() {
        for (activation, velocity) in [
            (0.0, 1),
            (1.0, 127),
            (0.5, 64),
            (63.0 / 127.0, 63),
            (62.5 / 127.0, 62),
            (-1.0, 1),
            (f32::INFINITY, 127),
            (f32::NAN, 1),
        ] {
            assert_eq!(super::velocity(activation), velocity, "{activation}");
        }
    }

    #[test]
    fn notes_are_ordered_by_onset_then_offset_then_pitch() {
        let mut maps = Maps {
            onset: vec![0.0; 4 * PITCHES],
            sustain: vec![1.0; 4 * PITCHES],
            velocity: vec![0.5; 4 * PITCHES],
        };
        for (frame, row) in [(1, 70), (0, 3), (1, 2)] {
            maps.onset[frame * PITCHES + row] = 0.9;
        }
        maps.sustain[2 * PITCHES + 70] = 0.0;
        let order: Vec<_> = decode(&maps, 0.5, 0.5)
            .iter()
            .map(|note| (note.start, note.end, usize::from(note.pitch) - LOWEST_PITCH))
            .collect();
        assert_eq!(order, [(0, 4, 3), (1, 2, 70), (1, 4, 2)]);
    }
}

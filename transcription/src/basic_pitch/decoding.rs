//! Notes from a song's maps: `note_creation.py`, `output_to_notes_polyphonic` of 0.4.0, in one pass over sorted cells instead of a
//! search for the maximum per note. Comparisons are made in float64, as numpy makes them there.

use super::config::{LOWEST_PITCH, Options, PITCHES};
use super::onsets::onset_peaks;

/// Frames below the threshold after which a note has ended (`energy_tol`).
const TOLERANCE: usize = 11;

/// A note in frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoteEvent {
    pub start: usize,
    /// One past the last frame.
    pub end: usize,
    /// MIDI pitch.
    pub pitch: u8,
    /// Mean frame activation, 0 to 1.
    pub amplitude: f32,
}

impl NoteEvent {
    /// The note's column in the maps.
    pub fn column(&self) -> usize {
        usize::from(self.pitch) - LOWEST_PITCH
    }

    /// 0 to 127, half to even as numpy rounds.
    pub fn velocity(&self) -> u8 {
        (127.0 * f64::from(self.amplitude))
            .round_ties_even()
            .clamp(0.0, 127.0) as u8
    }
}

/// All notes, in the package's order: by onset from the last frame to the first, then those found without an onset, strongest first.
///
/// `note` and `onset`: maps of [`PITCHES`] columns. They are taken: a song of an hour has 110 MB of each, and no copy is made.
pub fn decode(
    mut note: Vec<f32>,
    mut onset: Vec<f32>,
    options: &Options,
    parity: bool,
) -> Vec<NoteEvent> {
    let frames = note.len() / PITCHES;
    if frames < 2 {
        return Vec::new();
    }
    let columns = columns(options);
    for map in [&mut note, &mut onset] {
        for row in map.chunks_exact_mut(PITCHES) {
            row[..columns.start].fill(0.0);
            row[columns.end..].fill(0.0);
        }
    }
    let peaks = onset_peaks(&onset, &note, options, parity);
    drop(onset);
    let mut decoder = Decoder {
        frames,
        taken: vec![false; note.len()],
        energy: note,
        threshold: options.frame_threshold,
        minimum: options.minimum_frames(),
        events: Vec::new(),
    };
    peaks
        .into_iter()
        .rev()
        .for_each(|(frame, column)| decoder.follow_onset(frame, column));
    if options.melodia {
        decoder.follow_energy();
    }
    decoder.events
}

/// The columns that the frequency limits leave (`constrain_frequency`).
fn columns(options: &Options) -> std::ops::Range<usize> {
    let index = |hertz: f64| {
        let midi = 12.0 * (hertz.log2() - 440f64.log2()) + 69.0;
        (midi - LOWEST_PITCH as f64)
            .round_ties_even()
            .clamp(0.0, PITCHES as f64) as usize
    };
    let start = options.minimum_frequency.map_or(0, index);
    let end = options.maximum_frequency.map_or(PITCHES, index);
    start.min(end)..end
}

struct Decoder {
    frames: usize,
    /// The frame activations, frequency limits applied.
    energy: Vec<f32>,
    /// Cells that a note has taken: their energy counts as zero from then on.
    taken: Vec<bool>,
    threshold: f64,
    minimum: usize,
    events: Vec<NoteEvent>,
}

impl Decoder {
    /// What no note has taken yet of a cell's energy.
    fn remaining(&self, cell: usize) -> f64 {
        if self.taken[cell] {
            0.0
        } else {
            f64::from(self.energy[cell])
        }
    }

    fn below(&self, frame: usize, column: usize) -> bool {
        self.remaining(frame * PITCHES + column) < self.threshold
    }

    /// Takes a cell and its two neighbours in pitch.
    fn take(&mut self, frame: usize, column: usize) {
        let first = frame * PITCHES + column.saturating_sub(1);
        let last = frame * PITCHES + (column + 1).min(PITCHES - 1);
        self.taken[first..=last].fill(true);
    }

    fn add(&mut self, start: usize, end: usize, column: usize) {
        let cells: Vec<f32> = (start..end)
            .map(|frame| self.energy[frame * PITCHES + column])
            .collect();
        let amplitude = (f64::from(pairwise_sum(&cells)) / cells.len() as f64) as f32;
        self.events.push(NoteEvent {
            start,
            end,
            pitch: (column + LOWEST_PITCH) as u8,
            amplitude,
        });
    }

    /// A note from its onset to where the energy stays below the threshold.
    fn follow_onset(&mut self, start: usize, column: usize) {
        if start >= self.frames - 1 {
            return;
        }
        let (mut end, mut quiet) = (start + 1, 0);
        while end < self.frames - 1 && quiet < TOLERANCE {
            quiet = if self.below(end, column) {
                quiet + 1
            } else {
                0
            };
            end += 1;
        }
        end -= quiet;
        if end - start <= self.minimum {
            return;
        }
        (start..end).for_each(|frame| self.take(frame, column));
        self.add(start, end, column);
    }

    /// The `melodia_trick`: grow notes from the strongest cells left, in both directions. Cells only ever fall to zero, so one
    /// sorted list replaces the package's search for the maximum after each note.
    fn follow_energy(&mut self) {
        let mut cells: Vec<(f32, u32)> = (0u32..)
            .zip(&self.energy)
            .filter(|(cell, _)| self.remaining(*cell as usize) > self.threshold)
            .map(|(cell, energy)| (*energy, cell))
            .collect();
        cells.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (_, cell) in cells {
            let cell = cell as usize;
            if !self.taken[cell] {
                self.taken[cell] = true;
                self.grow(cell / PITCHES, cell % PITCHES);
            }
        }
    }

    fn grow(&mut self, middle: usize, column: usize) {
        let (mut end, mut quiet) = (middle + 1, 0);
        while end < self.frames - 1 && quiet < TOLERANCE {
            quiet = if self.below(end, column) {
                quiet + 1
            } else {
                0
            };
            self.take(end, column);
            end += 1;
        }
        let end = end - 1 - quiet;
        // One below the middle, as a signed number: a note may start in the first frame.
        let (mut at, mut quiet) = (middle as isize - 1, 0);
        while at > 0 && quiet < TOLERANCE {
            let frame = at as usize;
            quiet = if self.below(frame, column) {
                quiet + 1
            } else {
                0
            };
            self.take(frame, column);
            at -= 1;
        }
        let start = (at + 1) as usize + quiet;
        if end > start && end - start > self.minimum {
            self.add(start, end, column);
        }
    }
}

/// numpy's float32 sum: pairwise above 128 numbers, eight running sums below.
fn pairwise_sum(numbers: &[f32]) -> f32 {
    const BLOCK: usize = 128;
    let count = numbers.len();
    if count < 8 {
        return numbers.iter().sum();
    }
    if count > BLOCK {
        let half = count / 2;
        let (left, right) = numbers.split_at(half - half % 8);
        return pairwise_sum(left) + pairwise_sum(right);
    }
    let eights = numbers.chunks_exact(8);
    let rest = eights.remainder();
    let mut r = [0f32; 8];
    for (at, eight) in eights.enumerate() {
        for (sum, number) in r.iter_mut().zip(eight) {
            *sum = if at == 0 { *number } else { *sum + *number };
        }
    }
    let sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    rest.iter().fold(sum, |sum, number| sum + number)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Maps {
        note: Vec<f32>,
        onset: Vec<f32>,
    }

    /// Maps of silence with rectangles of activation: (column, frames, strength), an onset at each start.
    fn maps(frames: usize, notes: &[(usize, std::ops::Range<usize>, f32)]) -> Maps {
        let mut maps = Maps {
            note: vec![0.01; frames * PITCHES],
            onset: vec![0.01; frames * PITCHES],
        };
        for (column, range, strength) in notes {
            maps.onset[range.start * PITCHES + column] = 0.9;
            for frame in range.clone() {
                maps.note[frame * PITCHES + column] = *strength;
            }
        }
        maps
    }

    fn decoded(maps: &Maps, options: &Options, parity: bool) -> Vec<NoteEvent> {
        decode(maps.note.clone(), maps.onset.clone(), options, parity)
    }

    fn found(maps: &Maps, options: &Options) -> Vec<(usize, usize, u8)> {
        decoded(maps, options, false)
            .iter()
            .map(|event| (event.start, event.end, event.pitch))
            .collect()
    }

    #[test]
    fn a_note_runs_from_its_onset_to_its_end() {
        assert_eq!(
            found(&maps(100, &[(39, 20..60, 0.8)]), &Options::default()),
            [(20, 60, 60)]
        );
    }

    #[test]
    fn short_notes_are_dropped_at_the_minimum() {
        let options = Options::default();
        assert!(found(&maps(100, &[(39, 20..31, 0.8)]), &options).is_empty());
        assert_eq!(
            found(&maps(100, &[(39, 20..32, 0.8)]), &options),
            [(20, 32, 60)]
        );
    }

    #[test]
    fn a_gap_of_ten_frames_is_bridged_and_one_of_eleven_ends_the_note() {
        let mut bridged = maps(120, &[(39, 20..80, 0.8)]);
        (40..50).for_each(|frame| bridged.note[frame * PITCHES + 39] = 0.0);
        assert_eq!(
            found(
                &bridged,
                &Options {
                    inferred_onsets: false,
                    ..Options::default()
                }
            ),
            [(20, 80, 60)]
        );
        bridged.note[50 * PITCHES + 39] = 0.0;
        let split = found(
            &bridged,
            &Options {
                inferred_onsets: false,
                melodia: false,
                ..Options::default()
            },
        );
        assert_eq!(split, [(20, 40, 60)]);
    }

    #[test]
    fn a_note_takes_its_neighbours_energy() {
        let both = maps(100, &[(39, 20..60, 0.8), (40, 25..50, 0.5)]);
        // The later onset is seen first and takes the first note's cells with it.
        let pitches: Vec<u8> = found(&both, &Options::default())
            .iter()
            .map(|note| note.2)
            .collect();
        assert!(pitches.contains(&61));
    }

    #[test]
    fn frequency_limits_drop_the_index_of_the_maximum_itself() {
        let notes = maps(100, &[(39, 20..60, 0.8), (51, 20..60, 0.8)]);
        let c5 = 523.251_130_601_197_3;
        let below = Options {
            maximum_frequency: Some(c5),
            ..Options::default()
        };
        assert_eq!(found(&notes, &below), [(20, 60, 60)]);
        let above = Options {
            minimum_frequency: Some(c5),
            ..Options::default()
        };
        assert_eq!(found(&notes, &above), [(20, 60, 72)]);
    }

    #[test]
    fn maps_without_any_rise_hide_all_onsets_in_parity_only() {
        let mut flat = maps(100, &[(39, 20..60, 0.8)]);
        flat.note.fill(0.5);
        let options = Options {
            melodia: false,
            ..Options::default()
        };
        assert!(decoded(&flat, &options, true).is_empty());
        assert_eq!(decoded(&flat, &options, false).len(), 1);
    }

    #[test]
    fn empty_and_tiny_maps_have_no_notes() {
        for frames in 0..3 {
            assert!(decoded(&maps(frames, &[]), &Options::default(), false).is_empty());
        }
    }

    #[test]
    fn sums_are_numpys() {
        // numpy 1.26: np.sum((np.arange(n) * np.float32(0.1) + np.float32(0.3)).astype(np.float32)), by the same blocks.
        let ramp =
            |count: usize| -> Vec<f32> { (0..count).map(|at| at as f32 * 0.1 + 0.3).collect() };
        for count in [1, 7, 8, 100, 128, 129, 1000] {
            let exact: f64 = ramp(count).iter().map(|number| f64::from(*number)).sum();
            let ours = f64::from(pairwise_sum(&ramp(count)));
            assert!(
                (ours - exact).abs() <= exact * 2e-7,
                "{count}: {ours} and {exact}"
            );
        }
    }
}

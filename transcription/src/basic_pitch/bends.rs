//! How each note's pitch moves: `note_creation.py`, `get_pitch_bends` of 0.4.0. Unit: a third of a semitone.
//!
//! The package looks into the contour map once it has the notes. We look before, for every pitch, and keep one byte of each: the
//! contour map of a long song is the largest thing there is, and nothing else needs it.

use std::sync::LazyLock;

use super::config::{CONTOURS, KEPT, PITCHES};
use super::decoding::NoteEvent;
use crate::cpu::{Isa, Lanes, Work};

/// Cents of one step.
pub const UNIT_CENTS: f64 = 100.0 / 3.0;
/// Bins to both sides of a pitch in which its contour is looked for.
const REACH: usize = 25;
const DEVIATION: f64 = 5.0;

/// The Gaussian around a pitch, `2 * REACH + 1` bins wide.
static WEIGHTS: LazyLock<[f64; 2 * REACH + 1]> = LazyLock::new(|| {
    std::array::from_fn(|bin| {
        let distance = bin as f64 - REACH as f64;
        (-distance * distance / (2.0 * DEVIATION * DEVIATION)).exp()
    })
});

/// Adds to `bend`, for each frame of `contour`, what each of the [`PITCHES`] would be bent by.
pub fn extend(contour: &[f32], bend: &mut Vec<i8>) {
    for row in contour.chunks_exact(CONTOURS) {
        bend.extend((0..PITCHES).map(|column| bend_of(row, column)));
    }
}

/// The same from rows of bins, frames along their columns: [`KEPT`] frames from column `first` on, frame by frame.
pub(super) fn of_columns(isa: Isa, contour: &[f32], row: usize, first: usize) -> Vec<i8> {
    isa.run(OfColumns {
        contour,
        row,
        first,
    })
}

/// Frames that are looked at together.
const TOGETHER: usize = 16;

struct OfColumns<'a> {
    contour: &'a [f32],
    row: usize,
    first: usize,
}

impl Work for OfColumns<'_> {
    type Out = Vec<i8>;

    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<i8> {
        let mut bends = vec![0i8; KEPT * PITCHES];
        for frame in (0..KEPT).step_by(TOGETHER) {
            let count = TOGETHER.min(KEPT - frame);
            // Whole vectors, the last one moved back to end with the last frame.
            let frame = frame + count - TOGETHER;
            for column in 0..PITCHES {
                let centre = column * 3;
                let low = centre.saturating_sub(REACH);
                let high = (centre + REACH + 1).min(CONTOURS);
                let mut best = [f64::NEG_INFINITY; TOGETHER];
                let mut best_bin = [0f64; TOGETHER];
                for bin in low..high {
                    let weight = WEIGHTS[bin + REACH - centre];
                    let activations =
                        &self.contour[bin * self.row + self.first + frame..][..TOGETHER];
                    for at in 0..TOGETHER {
                        let value = f64::from(activations[at]) * weight;
                        let higher = value > best[at];
                        best[at] = if higher { value } else { best[at] };
                        best_bin[at] = if higher { bin as f64 } else { best_bin[at] };
                    }
                }
                for (at, bin) in best_bin.iter().enumerate() {
                    bends[(frame + at) * PITCHES + column] = (*bin as i16 - centre as i16) as i8;
                }
            }
        }
        bends
    }
}

/// The strongest contour bin near a pitch, less the pitch's own bin. First maximum on ties.
fn bend_of(row: &[f32], column: usize) -> i8 {
    let centre = column * 3;
    let first = centre.saturating_sub(REACH);
    let last = (centre + REACH + 1).min(CONTOURS);
    let weights = &WEIGHTS[first + REACH - centre..];
    let mut best = (0, f64::NEG_INFINITY);
    for (bin, (activation, weight)) in row[first..last].iter().zip(weights).enumerate() {
        let value = f64::from(*activation) * weight;
        if value > best.1 {
            best = (bin, value);
        }
    }
    // Between -25 and 25.
    ((first + best.0) as i16 - centre as i16) as i8
}

/// A note's bends, one a frame.
pub fn bends(bend: &[i8], event: &NoteEvent) -> Vec<i32> {
    (event.start..event.end)
        .map(|frame| i32::from(bend[frame * PITCHES + event.column()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::noise::noise;

    fn bends_at(contour: &[f32], pitch: u8) -> Vec<i32> {
        let mut rows = Vec::new();
        extend(contour, &mut rows);
        let event = NoteEvent {
            start: 0,
            end: 1,
            pitch,
            amplitude: 0.5,
        };
        bends(&rows, &event)
    }

    #[test]
    fn the_strongest_bin_near_the_pitch_wins() {
        for (pitch, peak, expected) in [
            (60, 117, 0),
            (60, 119, 2),
            (60, 110, -7),
            (21, 4, 4),
            (108, 261, 0),
            (108, 259, -2),
        ] {
            let mut contour = [0f32; CONTOURS];
            contour[peak] = 0.9;
            assert_eq!(
                bends_at(&contour, pitch),
                [expected],
                "pitch {pitch}, bin {peak}"
            );
        }
    }

    #[test]
    fn bends_of_columns_are_those_of_frames() {
        let (row, first) = (KEPT + 9, 4);
        // Few different values, so that there are ties.
        let columns: Vec<f32> = noise(1, CONTOURS * row)
            .iter()
            .map(|number| (number * 8.0).round() / 8.0 + 0.5)
            .collect();
        let frames: Vec<f32> = (0..KEPT * CONTOURS)
            .map(|at| columns[at % CONTOURS * row + first + at / CONTOURS])
            .collect();
        let mut expected = Vec::new();
        extend(&frames, &mut expected);
        for isa in Isa::all() {
            assert_eq!(of_columns(isa, &columns, row, first), expected, "{isa:?}");
        }
    }

    #[test]
    fn an_empty_contour_gives_the_first_bin_as_argmax_does() {
        assert_eq!(bends_at(&[0f32; CONTOURS], 60), [-25]);
        assert_eq!(bends_at(&[0f32; CONTOURS], 21), [0]);
    }
}

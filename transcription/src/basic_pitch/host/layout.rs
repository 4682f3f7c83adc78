//! Where numbers lie while a window goes through the network on the CPU: rows of one bin or pitch, columns of frames.
//!
//! Only the frames that count are computed. The maps' ends are cut off, and each layer reads a few frames around those that the next
//! one needs: column 0 is frame 5 in the spectrum, 6 behind the first layer, 8 in the contour map, 11 in the notes' hidden layer,
//! 14 in the note map and in the onsets' hidden layer, and 15, the first that is kept, in the onset map. Columns are computed in
//! whole vectors; what lies beyond a layer's last frame is never read for a frame that is kept.

use crate::basic_pitch::config::{CONTOURS, FRAMES, HARMONIC_SHIFTS, KEPT, OVERLAP, PITCHES};
use crate::basic_pitch::constant_q::BINS;

/// Numbers of a row: an odd count of cache lines, so that neighbouring rows do not drive each other out.
pub(super) const ROW: usize = 176;
/// The frame of column 0 of the spectrum.
pub(super) const SPECTRUM_FRAME: usize = 5;
/// The spectrum's rows, and one of zeros.
pub(super) const SPECTRUM_ROWS: usize = BINS + 1;
/// Rows of zeros on both sides of the contour bins.
pub(super) const BIN_PAD: usize = 2;
pub(super) const PADDED_CONTOURS: usize = CONTOURS + 2 * BIN_PAD;
/// Rows of a channel behind the first layer.
pub(super) const HIDDEN_ROWS: usize = PADDED_CONTOURS;
/// A row of zeros on both sides of the pitches.
pub(super) const PITCH_PAD: usize = 1;
pub(super) const PADDED_PITCHES: usize = PITCHES + 2 * PITCH_PAD;
/// Columns that each layer computes: whole vectors.
pub(super) const CONTOUR_COLUMNS: usize = 160;
pub(super) const NOTE_HIDDEN_COLUMNS: usize = 160;
pub(super) const PITCH_COLUMNS: usize = 144;
/// Where the onsets' hidden layer begins to read the spectrum.
pub(super) const ONSET_COLUMN: usize = 7;
/// Where the kept frames begin.
pub(super) const KEPT_CONTOUR: usize = 7;
pub(super) const KEPT_NOTE: usize = 1;

// Each layer's frames lie inside those of the layer before it, `reach` frames on both sides.
const FIRST_KEPT: usize = OVERLAP / 2;
const _: () = {
    assert!(SPECTRUM_FRAME + KEPT_CONTOUR + 3 == FIRST_KEPT && KEPT_CONTOUR == 2 + 5);
    assert!(KEPT_NOTE + 3 + 2 + 3 + 1 + SPECTRUM_FRAME == FIRST_KEPT);
    assert!(ONSET_COLUMN + 2 + 1 + SPECTRUM_FRAME == FIRST_KEPT);
    assert!(KEPT + 2 <= PITCH_COLUMNS && KEPT + 8 <= NOTE_HIDDEN_COLUMNS);
    assert!(KEPT + 14 <= CONTOUR_COLUMNS && KEPT + 18 <= 160);
    assert!(FIRST_KEPT + KEPT + 10 <= FRAMES && CONTOUR_COLUMNS + 6 <= ROW);
};

/// Where a bin of a stacked channel begins in the spectrum; the row of zeros where the shift or the stack itself ends.
pub(super) fn stack_row(channel: usize, bin: isize) -> usize {
    let shifted = bin + HARMONIC_SHIFTS[channel];
    let inside = (0..CONTOURS as isize).contains(&bin) && (0..BINS as isize).contains(&shifted);
    if inside {
        shifted as usize * ROW
    } else {
        BINS * ROW
    }
}

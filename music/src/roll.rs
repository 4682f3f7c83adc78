//! Piano rolls.

use crate::Note;

/// A unicode piano roll: note names at the left, time axis below.
pub fn terminal(_notes: &[Note], _columns: usize, _rows: usize) -> String {
    todo!()
}

/// A piano roll as one self-contained SVG.
pub fn svg(_notes: &[Note], _title: &str) -> String {
    todo!()
}

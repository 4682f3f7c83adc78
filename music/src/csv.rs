//! Notes as a table.

use crate::Note;

/// `onset,offset,pitch,velocity,program,is_drum`, a line per note.
pub fn write(_notes: &[Note]) -> String {
    todo!()
}

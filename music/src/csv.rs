//! Notes as a table.

use std::fmt::Write;

use crate::Note;

/// `onset,offset,pitch,velocity,program,is_drum`, a line per note.
pub fn write(notes: &[Note]) -> String {
    let mut text = String::from("onset,offset,pitch,velocity,program,is_drum\n");
    for Note {
        onset,
        offset,
        pitch,
        velocity,
        program,
        is_drum,
        ..
    } in notes
    {
        // Numbers and booleans only: nothing needs quotes. A String never fails.
        let _ = writeln!(
            text,
            "{onset},{offset},{pitch},{velocity},{program},{is_drum}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_per_note() {
        let note = Note {
            onset: 0.25,
            offset: 1.0,
            pitch: 60,
            velocity: 90,
            program: 4,
            is_drum: false,
            bends: None,
        };
        let drum = Note {
            is_drum: true,
            pitch: 38,
            ..note.clone()
        };
        assert_eq!(
            write(&[note, drum]),
            "onset,offset,pitch,velocity,program,is_drum\n0.25,1,60,90,4,false\n0.25,1,38,90,4,true\n"
        );
        assert_eq!(write(&[]), "onset,offset,pitch,velocity,program,is_drum\n");
    }
}

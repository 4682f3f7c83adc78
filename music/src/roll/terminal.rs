//! A piano roll of characters. No colours: it reads the same in a log.

use super::{Extent, axis, extent, is_black, name};
use crate::Note;

/// Room for note names and the line beside them.
const GUTTER: usize = 5;
/// Rows of the time axis.
const AXIS_ROWS: usize = 2;
const MIN_COLUMNS: usize = 20;
const MIN_ROWS: usize = 5;
/// Soft to loud.
const SHADES: [char; 4] = ['░', '▒', '▓', '█'];

/// At most `rows` lines of at most `columns` characters: note names left, time below, loud notes darker.
pub fn terminal(notes: &[Note], columns: usize, rows: usize) -> String {
    let (columns, rows) = (columns.max(MIN_COLUMNS), rows.max(MIN_ROWS));
    let room = rows - AXIS_ROWS;
    let Some(extent) = extent(notes, u8::try_from(room.min(12)).unwrap_or(12)) else {
        return "(no notes)\n".to_owned();
    };
    let width = columns - GUTTER;
    let pitches_per_row = (usize::from(extent.highest - extent.lowest) + 1).div_ceil(room);
    let lines = if pitches_per_row == 2 {
        half_rows(notes, &extent, width)
    } else {
        shaded_rows(notes, &extent, width, pitches_per_row)
    };
    let mut text: String = lines
        .iter()
        .map(|(label, cells)| {
            format!(
                "{label:>3} ┤{}\n",
                cells.iter().collect::<String>().trim_end()
            )
        })
        .collect();
    text.push_str(&time_axis(extent.seconds, width));
    text
}

type Line = (String, Vec<char>);

/// A row for one pitch, or for three and more; the loudest note of a cell shows.
fn shaded_rows(notes: &[Note], extent: &Extent, width: usize, pitches_per_row: usize) -> Vec<Line> {
    let count = usize::from(extent.highest - extent.lowest) / pitches_per_row + 1;
    let mut cells = vec![vec![None::<u8>; width]; count];
    for note in notes {
        let row = usize::from(note.pitch.min(127) - extent.lowest) / pitches_per_row;
        let (from, to) = span(note, extent.seconds, width);
        for cell in &mut cells[row][from..to] {
            *cell = (*cell).max(Some(note.velocity));
        }
    }
    let lines = cells.into_iter().enumerate().map(|(row, cells)| {
        let pitch = usize::from(extent.lowest) + row * pitches_per_row;
        (
            label(pitch, pitches_per_row),
            cells
                .into_iter()
                .map(|cell| cell.map_or(' ', shade))
                .collect(),
        )
    });
    lines.rev().collect()
}

/// Two pitches a row, as upper and lower halves of the characters.
fn half_rows(notes: &[Note], extent: &Extent, width: usize) -> Vec<Line> {
    let count = usize::from(extent.highest - extent.lowest) / 2 + 1;
    let mut cells = vec![vec![(false, false); width]; count];
    for note in notes {
        let step = usize::from(note.pitch.min(127) - extent.lowest);
        let (from, to) = span(note, extent.seconds, width);
        for cell in &mut cells[step / 2][from..to] {
            if step % 2 == 1 {
                cell.0 = true
            } else {
                cell.1 = true
            }
        }
    }
    let glyph = |(upper, lower)| match (upper, lower) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    };
    let lines = cells.into_iter().enumerate().map(|(row, cells)| {
        (
            label(usize::from(extent.lowest) + 2 * row, 2),
            cells.into_iter().map(glyph).collect(),
        )
    });
    lines.rev().collect()
}

/// The columns of a note. Long ones leave their last column free, so that a repeated note is seen as two.
fn span(note: &Note, seconds: f64, width: usize) -> (usize, usize) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and is cut to the width"
    )]
    let column = |at: f64| ((at / seconds * width as f64).floor() as usize).min(width);
    let from = column(note.onset).min(width - 1);
    let to = column(note.offset).max(from + 1);
    (from, if to - from >= 3 { to - 1 } else { to })
}

fn shade(velocity: u8) -> char {
    SHADES[usize::from(velocity.saturating_sub(16) / 28).min(3)]
}

/// Names of white keys; where a row holds several pitches, only those with a C.
fn label(pitch: usize, pitches_per_row: usize) -> String {
    let pitches = (pitch..pitch + pitches_per_row).filter_map(|pitch| u8::try_from(pitch).ok());
    let named = if pitches_per_row == 1 {
        pitches.into_iter().find(|pitch| !is_black(*pitch))
    } else {
        pitches.into_iter().find(|pitch| pitch % 12 == 0)
    };
    named.map(name).unwrap_or_default()
}

fn time_axis(seconds: f64, width: usize) -> String {
    let mut line = vec!['─'; width];
    let mut labels = vec![' '; width];
    for mark in axis::marks(seconds, (width / 9).max(1)) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within the width"
        )]
        let column = ((mark / seconds * width as f64) as usize).min(width - 1);
        let label: Vec<char> = axis::label(mark)
            .chars()
            .chain(if mark == 0.0 { " s" } else { "" }.chars())
            .collect();
        line[column] = '┬';
        if column + label.len() <= width {
            labels[column..column + label.len()].copy_from_slice(&label);
        }
    }
    format!(
        "    └{}\n     {}\n",
        line.iter().collect::<String>(),
        labels.iter().collect::<String>().trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(onset: f64, offset: f64, pitch: u8, velocity: u8) -> Note {
        Note {
            onset,
            offset,
            pitch,
            velocity,
            program: 0,
            is_drum: false,
            bends: None,
        }
    }

    #[test]
    fn a_short_tune() {
        let notes = [
            note(0.0, 1.0, 60, 120),
            note(1.0, 2.0, 60, 20),
            note(1.0, 2.0, 64, 60),
            note(2.0, 4.0, 67, 90),
        ];
        let text = terminal(&notes, 37, 16);
        let row = |name: &str| {
            text.lines()
                .find(|line| line.starts_with(name))
                .unwrap()
                .to_owned()
        };
        assert_eq!(row(" C4"), " C4 ┤███████ ░░░░░░░");
        assert_eq!(row(" E4"), " E4 ┤        ▒▒▒▒▒▒▒");
        assert_eq!(row(" G4"), " G4 ┤                ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓");
    }

    #[test]
    fn it_always_fits() {
        for (columns, rows) in [(80, 24), (40, 10), (0, 0), (200, 60)] {
            for count in [1u8, 12, 30, 88, 128] {
                let notes: Vec<Note> = (0..count)
                    .map(|index| note(f64::from(index), f64::from(index) + 2.5, index, index))
                    .collect();
                let text = terminal(&notes, columns, rows);
                assert!(text.lines().count() <= rows.max(MIN_ROWS), "{text}");
                assert!(
                    text.lines()
                        .all(|line| line.chars().count() <= columns.max(MIN_COLUMNS)),
                    "{text}"
                );
            }
        }
        assert_eq!(terminal(&[], 80, 24), "(no notes)\n");
        assert!(terminal(&[note(0.0, 0.0, 60, 1)], 80, 24).contains('░'));
    }
}

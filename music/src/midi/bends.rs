//! A note's pitch bends as values of the pitch wheel, and which notes may have them: the wheel turns a whole channel.

use crate::{Bends, Note};

/// Wheel units in a semitone, at the usual range of two semitones.
const PER_SEMITONE: f64 = 4096.0;

/// Seconds and wheel value (-8192..=8191) of each bend of a note, spread evenly from onset to offset, both included.
pub(super) fn wheel(note: &Note, bends: &Bends) -> Vec<(f64, i16)> {
    let count = bends.values.len();
    let step = if count > 1 {
        (note.offset - note.onset) / (count - 1) as f64
    } else {
        0.0
    };
    let seconds = |index: usize| {
        if index > 0 && index + 1 == count {
            note.offset
        } else {
            index as f64 * step + note.onset
        }
    };
    bends
        .values
        .iter()
        .enumerate()
        .map(|(index, value)| (seconds(index), units(*value, bends.unit_cents)))
        .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to 14 bits")]
fn units(value: i32, unit_cents: f64) -> i16 {
    (f64::from(value) * unit_cents / 100.0 * PER_SEMITONE)
        .round_ties_even()
        .clamp(-8192.0, 8191.0) as i16
}

/// For notes sorted by time: whether each sounds while no other does.
pub(super) fn alone(notes: &[&Note]) -> Vec<bool> {
    let mut latest_end = f64::NEG_INFINITY;
    let mut alone = Vec::with_capacity(notes.len());
    for (index, note) in notes.iter().enumerate() {
        let next_begins = notes
            .get(index + 1)
            .map_or(f64::INFINITY, |next| next.onset);
        alone.push(latest_end <= note.onset && next_begins >= note.offset);
        latest_end = latest_end.max(note.offset);
    }
    alone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(onset: f64, offset: f64) -> Note {
        Note {
            onset,
            offset,
            pitch: 60,
            velocity: 90,
            program: 4,
            is_drum: false,
            bends: None,
        }
    }

    #[test]
    fn bends_are_spread_and_clamped() {
        let bends = |values: &[i32]| Bends {
            unit_cents: 100.0 / 3.0,
            values: values.to_vec(),
        };
        assert_eq!(
            wheel(&note(1.0, 2.0), &bends(&[0, 1, -1, 25, -25])),
            [
                (1.0, 0),
                (1.25, 1365),
                (1.5, -1365),
                (1.75, 8191),
                (2.0, -8192)
            ]
        );
        assert_eq!(wheel(&note(1.0, 2.0), &bends(&[3])), [(1.0, 4096)]);
        // A rounded unit, as JSON may hold it, gives the same.
        let rounded = Bends {
            unit_cents: 33.333,
            values: (-6..=6).collect(),
        };
        let exact = Bends {
            unit_cents: 100.0 / 3.0,
            values: (-6..=6).collect(),
        };
        assert_eq!(
            wheel(&note(0.0, 1.0), &rounded),
            wheel(&note(0.0, 1.0), &exact)
        );
    }

    #[test]
    fn only_touching_is_not_overlapping() {
        let notes = [
            note(0.0, 1.0),
            note(1.0, 2.0),
            note(1.5, 1.7),
            note(1.9, 2.5),
            note(3.0, 4.0),
        ];
        assert_eq!(
            alone(&notes.iter().collect::<Vec<_>>()),
            [true, false, false, false, true]
        );
    }
}

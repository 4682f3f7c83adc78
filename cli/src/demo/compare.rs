//! How many of the notes that were written were heard: the same pitch, begun within 50 ms, each note used once. Ends and
//! velocities are not looked at, and nothing is forgiven an octave.

use music::Note;

const TOLERANCE_SECONDS: f64 = 0.05;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) found: usize,
    pub(crate) written: usize,
    /// Heard, but not written.
    pub(crate) extra: usize,
}

pub(crate) fn compare(written: &[Note], heard: &[Note]) -> Tally {
    let found = (0..=u8::MAX)
        .map(|pitch| pairs(&onsets(written, pitch), &onsets(heard, pitch)))
        .sum();
    Tally {
        found,
        written: written.len(),
        extra: heard.len() - found,
    }
}

fn onsets(notes: &[Note], pitch: u8) -> Vec<f64> {
    let mut onsets: Vec<f64> = notes
        .iter()
        .filter(|note| note.pitch == pitch)
        .map(|note| note.onset)
        .collect();
    onsets.sort_by(f64::total_cmp);
    onsets
}

/// The most pairs there can be. Both lists are sorted and every tolerance is the same, so taking the earliest that fits
/// never costs a later pair.
fn pairs(written: &[f64], heard: &[f64]) -> usize {
    let mut heard = heard.iter().peekable();
    let mut found = 0;
    for onset in written {
        while heard
            .next_if(|heard| **heard < onset - TOLERANCE_SECONDS)
            .is_some()
        {}
        if heard
            .next_if(|heard| **heard <= onset + TOLERANCE_SECONDS)
            .is_some()
        {
            found += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(list: &[(u8, f64)]) -> Vec<Note> {
        let note = |&(pitch, onset): &(u8, f64)| Note {
            onset,
            offset: onset + 0.2,
            pitch,
            velocity: 80,
            program: 0,
            is_drum: false,
            bends: None,
        };
        list.iter().map(note).collect()
    }

    #[test]
    fn a_note_counts_once_at_its_pitch_and_time() {
        let written = notes(&[(60, 1.0), (60, 2.0), (64, 1.0)]);
        let heard = notes(&[(60, 1.04), (60, 1.01), (60, 2.06), (76, 1.0)]);
        assert_eq!(
            compare(&written, &heard),
            Tally {
                found: 1,
                written: 3,
                extra: 3
            }
        );
    }

    #[test]
    fn close_notes_are_paired_as_well_as_they_can_be() {
        let written = notes(&[(60, 1.0), (60, 1.06)]);
        let heard = notes(&[(60, 1.03), (60, 1.10)]);
        assert_eq!(
            compare(&written, &heard),
            Tally {
                found: 2,
                written: 2,
                extra: 0
            }
        );
        assert_eq!(
            compare(&written, &[]),
            Tally {
                found: 0,
                written: 2,
                extra: 0
            }
        );
    }
}

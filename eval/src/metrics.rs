//! Precision, recall and F-measure of notes, as `mir_eval` 0.8.2 defines them (`transcription.py`, `transcription_velocity.py`):
//! onsets within 50 ms, the same pitch, offsets within 50 ms or a fifth of the note, velocities within a tenth after a
//! straight line was laid through them. Differences are rounded to 4 decimals before they are compared. Pure.

use music::Note;
use serde::Serialize;

use crate::matching::largest;

pub(crate) const ONSET_TOLERANCE_SECONDS: f64 = 0.05;
const OFFSET_SHARE: f64 = 0.2;
const OFFSET_TOLERANCE_SECONDS: f64 = 0.05;
const VELOCITY_TOLERANCE: f64 = 0.1;

/// One measure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct Score {
    pub(crate) precision: f64,
    pub(crate) recall: f64,
    pub(crate) f: f64,
}

/// All measures of one clip.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct Measures {
    pub(crate) onset: Score,
    /// Onsets within 10 ms.
    pub(crate) onset_10ms: Score,
    pub(crate) offset: Score,
    pub(crate) velocity: Score,
}

pub(crate) fn measure(reference: &[Note], estimated: &[Note]) -> Measures {
    let score = |found| Score::of(found, reference.len(), estimated.len());
    let count = |given: &[Option<usize>]| given.iter().flatten().count();
    let with_offset = given(reference, estimated, ONSET_TOLERANCE_SECONDS, true);
    Measures {
        onset: score(count(&given(
            reference,
            estimated,
            ONSET_TOLERANCE_SECONDS,
            false,
        ))),
        onset_10ms: score(count(&given(reference, estimated, 0.01, false))),
        offset: score(count(&with_offset)),
        velocity: score(same_velocity(reference, estimated, &with_offset)),
    }
}

/// The pairs whose velocities are looked at, as `[reference, estimated]`. Another largest matching may pair other notes of one
/// pitch, so whoever counts again has to be told which.
pub(crate) fn pairs_with_offset(reference: &[Note], estimated: &[Note]) -> Vec<[usize; 2]> {
    given(reference, estimated, ONSET_TOLERANCE_SECONDS, true)
        .into_iter()
        .enumerate()
        .filter_map(|(wanted, heard)| heard.map(|heard| [wanted, heard]))
        .collect()
}

impl Score {
    /// No notes on either side count as nothing found, as in `mir_eval`.
    fn of(found: usize, reference: usize, estimated: usize) -> Score {
        let share = |whole: usize| {
            if whole == 0 {
                0.0
            } else {
                found as f64 / whole as f64
            }
        };
        let (precision, recall) = (share(estimated), share(reference));
        let f = if found == 0 {
            0.0
        } else {
            2.0 * precision * recall / (precision + recall)
        };
        Score {
            precision,
            recall,
            f,
        }
    }
}

fn given(
    reference: &[Note],
    estimated: &[Note],
    onset_tolerance: f64,
    with_offset: bool,
) -> Vec<Option<usize>> {
    let fits: Vec<Vec<usize>> = reference
        .iter()
        .map(|wanted| {
            let offset_tolerance =
                (OFFSET_SHARE * (wanted.offset - wanted.onset)).max(OFFSET_TOLERANCE_SECONDS);
            estimated
                .iter()
                .enumerate()
                .filter(|(_, heard)| {
                    heard.pitch == wanted.pitch
                        && apart(heard.onset, wanted.onset) <= onset_tolerance
                        && (!with_offset || apart(heard.offset, wanted.offset) <= offset_tolerance)
                })
                .map(|(index, _)| index)
                .collect()
        })
        .collect();
    largest(&fits, estimated.len())
}

fn apart(a: f64, b: f64) -> f64 {
    ((a - b).abs() * 10_000.0).round_ties_even() / 10_000.0
}

/// How many of the pairs also have the same velocity, once the estimated ones were fitted to the reference.
fn same_velocity(reference: &[Note], estimated: &[Note], given: &[Option<usize>]) -> usize {
    let velocity = |note: &Note| f64::from(note.velocity);
    let (lowest, highest) = reference
        .iter()
        .map(velocity)
        .fold((f64::MAX, f64::MIN), |(low, high), v| {
            (low.min(v), high.max(v))
        });
    let span = (highest - lowest).max(1.0);
    let pairs: Vec<(f64, f64)> = given
        .iter()
        .enumerate()
        .filter_map(|(wanted, heard)| {
            let heard = (*heard)?;
            Some((
                velocity(&estimated[heard]),
                (velocity(&reference[wanted]) - lowest) / span,
            ))
        })
        .collect();
    let (slope, intercept) = line(&pairs);
    pairs
        .iter()
        .filter(|(x, y)| (slope * x + intercept - y).abs() < VELOCITY_TOLERANCE)
        .count()
}

/// The line of least squares; where all `x` are one, the shortest answer (as `numpy.linalg.lstsq` gives).
fn line(pairs: &[(f64, f64)]) -> (f64, f64) {
    let n = pairs.len() as f64;
    if pairs.is_empty() {
        return (0.0, 0.0);
    }
    let mean_x = pairs.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = pairs.iter().map(|(_, y)| y).sum::<f64>() / n;
    let spread = pairs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
    if spread < 1e-9 {
        let shared = mean_y / (mean_x * mean_x + 1.0);
        return (shared * mean_x, shared);
    }
    let slope = pairs
        .iter()
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum::<f64>()
        / spread;
    (slope, mean_y - slope * mean_x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::note;

    #[test]
    fn each_tolerance_decides_its_own_measure() {
        let reference = [
            note(60, 0.0, 1.0, 40, 0),
            note(62, 1.0, 2.0, 80, 0),
            note(64, 2.0, 3.0, 120, 0),
            note(65, 3.0, 4.0, 60, 0),
        ];
        let estimated = [
            note(60, 0.05, 1.2, 40, 0),
            note(62, 1.04, 2.3, 80, 0),
            note(64, 2.0, 2.9, 120, 0),
            note(66, 3.0, 4.0, 60, 0),
            note(65, 3.0511, 4.0, 60, 0),
        ];
        let got = measure(&reference, &estimated);
        assert_eq!((got.onset.recall, got.onset.precision), (0.75, 0.6));
        assert_eq!(got.onset_10ms.recall, 0.25);
        assert_eq!(got.offset.recall, 0.5);
        assert_eq!(got.velocity.recall, 0.5);
        assert_eq!(pairs_with_offset(&reference, &estimated), [[0, 0], [2, 2]]);
    }

    #[test]
    fn a_difference_is_rounded_before_it_is_compared() {
        let reference = [note(60, 0.0, 1.0, 40, 0)];
        let on_the_edge = [note(60, 0.050_049, 1.0, 40, 0)];
        let beyond = [note(60, 0.050_051, 1.0, 40, 0)];
        assert_eq!(measure(&reference, &on_the_edge).onset.f, 1.0);
        assert_eq!(measure(&reference, &beyond).onset.f, 0.0);
    }

    #[test]
    fn velocities_are_compared_after_a_fit() {
        let reference: Vec<Note> = (0..5)
            .map(|i| note(60 + i, 0.0, 1.0, 20 + 20 * i, 0))
            .collect();
        let halved: Vec<Note> = (0..5)
            .map(|i| note(60 + i, 0.0, 1.0, 10 + 10 * i, 0))
            .collect();
        let flat: Vec<Note> = (0..5).map(|i| note(60 + i, 0.0, 1.0, 64, 0)).collect();
        assert_eq!(measure(&reference, &halved).velocity.f, 1.0);
        assert_eq!(measure(&reference, &flat).velocity.recall, 0.2);
    }

    #[test]
    fn silence_on_either_side_scores_nothing() {
        let one = [note(60, 0.0, 1.0, 40, 0)];
        for (reference, estimated) in [(&one[..], &[][..]), (&[][..], &one[..]), (&[][..], &[][..])]
        {
            assert_eq!(measure(reference, estimated).onset.f, 0.0);
        }
    }
}

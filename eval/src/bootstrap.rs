//! How far a mean over clips can be trusted: the middle 95 % of the means of pieces drawn again with replacement, each with all of
//! its clips. A piece sounds in several fonts and versions, and what is hard in one of them is hard in all, so its clips are no
//! draws of their own. Pure.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};

const DRAWS: usize = 2_000;

/// A mean and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interval {
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// `pieces` names the piece of each value. The same seed draws the same pieces, whichever network the values are of.
pub(crate) fn interval(values: &[f64], pieces: &[&str], seed: u64) -> Interval {
    let mut by_piece: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for (&value, &piece) in values.iter().zip(pieces) {
        let (sum, count) = by_piece.entry(piece).or_default();
        *sum += value;
        *count += 1;
    }
    let sums: Vec<(f64, usize)> = by_piece.into_values().collect();
    let whole = mean(sums.iter().copied());
    if sums.len() < 2 {
        return Interval {
            mean: whole,
            low: whole,
            high: whole,
        };
    }
    let mut random = StdRng::seed_from_u64(seed);
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| mean((0..sums.len()).map(|_| sums[random.random_range(0..sums.len())])))
        .collect();
    means.sort_by(f64::total_cmp);
    Interval {
        mean: whole,
        low: means[DRAWS / 40],
        high: means[DRAWS - 1 - DRAWS / 40],
    }
}

/// How much more the one reached than the other on the same clips. What makes a piece hard for both falls out of it, so it can
/// tell networks apart whose own intervals overlap.
pub(crate) fn difference(one: &[f64], other: &[f64], pieces: &[&str], seed: u64) -> Interval {
    let differences: Vec<f64> = one
        .iter()
        .zip(other)
        .map(|(one, other)| one - other)
        .collect();
    interval(&differences, pieces, seed)
}

/// Of sums and how many values are in each.
fn mean(drawn: impl Iterator<Item = (f64, usize)>) -> f64 {
    let (sum, count) = drawn.fold((0.0, 0_usize), |(sum, count), (value, values)| {
        (sum + value, count + values)
    });
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many values, 0 and 1 in turn, in so many pieces that each hold nothing but zeros or ones.
    fn halves(values: usize, pieces: usize) -> (Vec<f64>, Vec<String>) {
        (0..values)
            .map(|i| ((i % pieces % 2) as f64, format!("piece {:03}", i % pieces)))
            .unzip()
    }

    fn interval_of((values, names): &(Vec<f64>, Vec<String>)) -> Interval {
        let pieces: Vec<&str> = names.iter().map(String::as_str).collect();
        interval(values, &pieces, 7)
    }

    #[test]
    fn the_interval_holds_the_mean_and_narrows_with_more_pieces() {
        let (few, many) = (interval_of(&halves(8, 8)), interval_of(&halves(800, 800)));
        assert_eq!((few.mean, many.mean), (0.5, 0.5));
        assert!(few.low < 0.25 && few.high > 0.75, "{few:?}");
        assert!(many.low > 0.45 && many.high < 0.55, "{many:?}");
    }

    #[test]
    fn more_clips_of_the_same_pieces_do_not_narrow_it() {
        assert_eq!(
            interval_of(&halves(800, 8)),
            interval_of(&halves(8, 8)),
            "a hundred clips of a piece say as much as one"
        );
    }

    #[test]
    fn a_piece_with_more_clips_weighs_more_in_the_mean() {
        let got = interval(&[1.0, 1.0, 1.0, 0.0], &["a", "a", "a", "b"], 1);
        assert_eq!((got.mean, got.low, got.high), (0.75, 0.0, 1.0));
    }

    #[test]
    fn one_piece_has_no_interval() {
        for values in [&[0.3][..], &[0.2, 0.4][..]] {
            let pieces = vec!["a"; values.len()];
            let one = interval(values, &pieces, 1);
            assert_eq!((one.low, one.high), (one.mean, one.mean));
        }
    }

    #[test]
    fn a_small_lead_on_every_clip_is_seen_though_the_intervals_overlap() {
        let names: Vec<String> = (0..24).map(|i| format!("piece {i}")).collect();
        let pieces: Vec<&str> = names.iter().map(String::as_str).collect();
        let behind: Vec<f64> = (0..24).map(|i| f64::from(i) / 30.0).collect();
        let ahead: Vec<f64> = behind.iter().map(|f| f + 0.01).collect();
        let (a, b) = (interval(&ahead, &pieces, 3), interval(&behind, &pieces, 3));
        assert!(a.low < b.high, "{a:?} {b:?}");
        let lead = difference(&ahead, &behind, &pieces, 3);
        assert!(lead.low > 0.009 && lead.high < 0.011, "{lead:?}");
        let behind = difference(&behind, &ahead, &pieces, 3);
        assert!(behind.high < -0.009, "{behind:?}");
    }

    #[test]
    fn a_lead_on_one_piece_in_two_is_not_taken_for_one() {
        let names: Vec<String> = (0..8).map(|i| format!("piece {i}")).collect();
        let pieces: Vec<&str> = names.iter().map(String::as_str).collect();
        let one: Vec<f64> = (0..8).map(|i| f64::from(i % 2)).collect();
        let got = difference(&one, &[0.5; 8], &pieces, 3);
        assert!(
            got.mean == 0.0 && got.low < 0.0 && got.high > 0.0,
            "{got:?}"
        );
    }
}

//! How far a mean over clips can be trusted: the middle 95 % of the means of clips drawn again with replacement. Pure.

use rand::{Rng, SeedableRng, rngs::StdRng};

const DRAWS: usize = 2_000;

/// A mean and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Interval {
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

pub(crate) fn interval(values: &[f64], seed: u64) -> Interval {
    let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| {
        values.sum::<f64>() / count.max(1) as f64
    };
    let whole = mean(&mut values.iter().copied(), values.len());
    if values.len() < 2 {
        return Interval {
            mean: whole,
            low: whole,
            high: whole,
        };
    }
    let mut random = StdRng::seed_from_u64(seed);
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let mut drawn = (0..values.len()).map(|_| values[random.random_range(0..values.len())]);
            mean(&mut drawn, values.len())
        })
        .collect();
    means.sort_by(f64::total_cmp);
    Interval {
        mean: whole,
        low: means[DRAWS / 40],
        high: means[DRAWS - 1 - DRAWS / 40],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_mean_and_narrows_with_more_clips() {
        let few: Vec<f64> = (0..8).map(|i| f64::from(i % 2)).collect();
        let many: Vec<f64> = (0..800).map(|i| f64::from(i % 2)).collect();
        let (few, many) = (interval(&few, 7), interval(&many, 7));
        assert_eq!((few.mean, many.mean), (0.5, 0.5));
        assert!(few.low < 0.25 && few.high > 0.75, "{few:?}");
        assert!(many.low > 0.45 && many.high < 0.55, "{many:?}");
    }

    #[test]
    fn one_clip_has_no_interval() {
        let one = interval(&[0.3], 1);
        assert_eq!((one.low, one.mean, one.high), (0.3, 0.3, 0.3));
    }
}

//! One query of one head: scores, their softmax, the weighted sum of values. It knows no tensors and no threads; what else runs beside
//! it changes no bit of its result.

use crate::cpu::{Lanes, Work};

/// Memory for a row's scores, made once for many rows.
pub(super) struct Scratch(Vec<f32>);

impl Scratch {
    pub(super) fn new(length: usize) -> Self {
        Scratch(vec![0.0; length])
    }
}

pub(super) struct Head<'a> {
    pub(super) query: &'a [f32],
    /// As many as are in use, each as wide as the query.
    pub(super) keys: &'a [f32],
    pub(super) values: &'a [f32],
    pub(super) scratch: &'a mut Scratch,
    pub(super) out: &'a mut [f32],
}

impl Work for Head<'_> {
    type Out = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let width = self.query.len();
        let count = self.keys.len() / width;
        let scores = &mut self.scratch.0[..count];
        let mut highest = f32::NEG_INFINITY;
        for (score, key) in scores.iter_mut().zip(self.keys.chunks_exact(width)) {
            *score = dot::<V>(self.query, key);
            highest = highest.max(*score);
        }
        for score in scores.iter_mut() {
            *score = exponential(*score - highest);
        }
        let sum = sum(scores);
        let mut column = 0;
        while column + 4 * V::LANES <= width {
            columns::<V, 4>(self.values, scores, width, column, self.out);
            column += 4 * V::LANES;
        }
        while column + V::LANES <= width {
            columns::<V, 1>(self.values, scores, width, column, self.out);
            column += V::LANES;
        }
        for column in column..width {
            let values = self.values.iter().skip(column).step_by(width);
            self.out[column] = values
                .zip(scores.iter())
                .map(|(value, weight)| value * weight)
                .sum();
        }
        for out in self.out.iter_mut() {
            *out /= sum;
        }
    }
}

#[inline(always)]
fn dot<V: Lanes>(query: &[f32], key: &[f32]) -> f32 {
    let width = query.len();
    let mut total = 0.0;
    let mut at = 0;
    if width >= V::LANES {
        let mut lanes = V::splat(0.0);
        while at + V::LANES <= width {
            lanes = V::read(query, at).mul_add(V::read(key, at), lanes);
            at += V::LANES;
        }
        let mut parts = [0f32; 16];
        lanes.write(&mut parts, 0);
        // In halves, so that no addition waits for the one before it.
        let mut half = 8;
        while half > 0 {
            for lane in 0..half {
                parts[lane] += parts[lane + half];
            }
            half /= 2;
        }
        total = parts[0];
    }
    for at in at..width {
        total += query[at] * key[at];
    }
    total
}

/// The weighted sum of `WIDE` vectors of columns.
#[inline(always)]
fn columns<V: Lanes, const WIDE: usize>(
    values: &[f32],
    weights: &[f32],
    width: usize,
    column: usize,
    out: &mut [f32],
) {
    let mut sums = [V::splat(0.0); WIDE];
    for (row, weight) in values.chunks_exact(width).zip(weights) {
        let weight = V::splat(*weight);
        let row = &row[column..column + WIDE * V::LANES];
        for (wide, sum) in sums.iter_mut().enumerate() {
            *sum = weight.mul_add(V::read(row, wide * V::LANES), *sum);
        }
    }
    for (wide, sum) in sums.iter().enumerate() {
        sum.write(out, column + wide * V::LANES);
    }
}

/// Several sums side by side.
#[inline(always)]
fn sum(numbers: &[f32]) -> f32 {
    let (rounds, rest) = numbers.as_chunks::<16>();
    let mut sums = [0f32; 16];
    for round in rounds {
        for (sum, number) in sums.iter_mut().zip(round) {
            *sum += number;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

/// Of a number not above zero, to about one unit in the last place; plain arithmetic that compilers vectorise.
#[inline(always)]
fn exponential(number: f32) -> f32 {
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    // Adding and taking away this rounds to whole numbers.
    const ROUND: f32 = 12_582_912.0;
    // Below, nothing is left in a softmax.
    let number = if number > -87.0 { number } else { -87.0 };
    let whole = (number * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let rest = (number - whole * HIGH) - whole * LOW;
    let series = 1.0
        + rest
            * (1.0
                + rest
                    * (0.5
                        + rest
                            * (0.166_666_67
                                + rest
                                    * (0.041_666_668
                                        + rest * (0.008_333_334 + rest * 0.001_388_889)))));
    series * f32::from_bits((whole as i32 + 127).cast_unsigned() << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Isa;
    use crate::cpu::noise::noise;

    #[test]
    fn heads_are_those_of_plain_sums_whatever_their_width() {
        for (width, count) in [(64, 300), (16, 1), (16, 17), (24, 40), (3, 5), (80, 33)] {
            let query: Vec<f32> = noise(1, width).iter().map(|number| number * 4.0).collect();
            let (keys, values) = (noise(2, width * count), noise(3, width * count));
            let scores: Vec<f64> = keys
                .chunks_exact(width)
                .map(|key| {
                    query
                        .iter()
                        .zip(key)
                        .map(|(a, b)| f64::from(*a) * f64::from(*b))
                        .sum()
                })
                .collect();
            let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
            let total: f64 = weights.iter().sum();
            for isa in Isa::all() {
                let mut out = vec![9f32; width];
                // Longer than needed, with rubbish in it.
                let mut scratch = Scratch(vec![f32::NAN; count + 5]);
                isa.run(Head {
                    query: &query,
                    keys: &keys,
                    values: &values,
                    scratch: &mut scratch,
                    out: &mut out,
                });
                for (column, out) in out.iter().enumerate() {
                    let exact: f64 = values
                        .chunks_exact(width)
                        .zip(&weights)
                        .map(|(row, weight)| f64::from(row[column]) * weight / total)
                        .sum();
                    let gap = (f64::from(*out) - exact).abs();
                    assert!(
                        gap < 2e-6,
                        "{isa:?}: {gap}, {width} wide, {count} positions"
                    );
                }
            }
        }
    }

    #[test]
    fn exponentials_are_right_to_two_units_in_the_last_place() {
        for at in 0..87_000 {
            let number = -(at as f32) / 1_000.0;
            let exact = f64::from(number).exp();
            let gap = (f64::from(exponential(number)) - exact).abs() / exact;
            assert!(gap < 2.5e-7, "{gap} at {number}");
        }
        assert_eq!(exponential(0.0), 1.0);
        assert!(exponential(-1e30) < 1e-37);
    }
}

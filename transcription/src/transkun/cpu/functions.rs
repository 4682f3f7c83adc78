//! Elementwise functions of the network, in plain arithmetic that compilers vectorise.

use crate::cpu::{Isa, Lanes, Work};

/// `x` times the share of a normal distribution below `x`.
///
/// The error function is a quotient of polynomials, fitted to it on 0..5.7 for the least relative error (2.7e-8 before rounding); beyond
/// that it is one to the last digit.
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    const EDGE: f32 = 5.7;
    let t = if x > EDGE { EDGE } else { x };
    let t = if t < -EDGE { -EDGE } else { t };
    let u = t * t;
    let above = 0.797_884_5
        + u * (0.068_879_05
            + u * (0.009_413_252
                + u * (3.475_365_1e-4 + u * (1.257_815_3e-5 + u * 4.338_805_1e-8))));
    let below = 1.0
        + u * (0.252_993_33
            + u * (0.028_964_415
                + u * (0.001_913_230_3 + u * (7.471_056e-5 + u * 1.161_901_3e-6))));
    let erf = t * above / below;
    let erf = if erf > 1.0 { 1.0 } else { erf };
    let erf = if erf < -1.0 { -1.0 } else { erf };
    0.5 * x * (1.0 + erf)
}

/// The exponential of numbers that are not positive; below -87 it is zero.
#[inline(always)]
pub(super) fn exponential(x: f32) -> f32 {
    // Adding it leaves a whole number in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.5 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = x - whole * HIGH - whole * LOW;
    let series = 1.0
        + rest
            * (1.0
                + rest
                    * (0.5
                        + rest
                            * (0.166_666_67
                                + rest
                                    * (0.041_666_67
                                        + rest * (0.008_333_334 + rest * 0.001_388_889)))));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    let value = series * power;
    if x < -87.0 { 0.0 } else { value }
}

/// Makes weights of the first `count` numbers of a row: exponentials that sum to one. What follows becomes zero.
#[inline(always)]
pub(super) fn soften(row: &mut [f32], count: usize) {
    const LANES: usize = 16;
    for number in &mut row[count..] {
        *number = f32::NEG_INFINITY;
    }
    let (pieces, []) = row.as_chunks_mut::<LANES>() else {
        return;
    };
    let mut highest = [f32::NEG_INFINITY; LANES];
    for piece in pieces.iter() {
        for (highest, number) in highest.iter_mut().zip(piece) {
            *highest = if *number > *highest {
                *number
            } else {
                *highest
            };
        }
    }
    let highest = highest
        .iter()
        .fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a });
    let mut sums = [0f32; LANES];
    for piece in pieces.iter_mut() {
        for (sum, number) in sums.iter_mut().zip(piece) {
            *number = exponential(*number - highest);
            *sum += *number;
        }
    }
    let whole = 1.0 / sums.iter().sum::<f32>();
    for piece in pieces {
        for number in piece {
            *number *= whole;
        }
    }
}

/// `1 / sqrt(mean of squares + 1e-6)`.
#[inline(always)]
pub(super) fn inverse_size(row: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0f32; LANES];
    let (pieces, rest) = row.as_chunks::<LANES>();
    for piece in pieces {
        for (sum, number) in sums.iter_mut().zip(piece) {
            *sum += number * number;
        }
    }
    let sum = sums.iter().sum::<f32>() + rest.iter().map(|number| number * number).sum::<f32>();
    1.0 / (sum / row.len() as f32 + 1e-6).sqrt()
}

/// Scales and shifts each of a pixel's channels, and rounds them off with [`gelu`] where that is asked.
pub(super) fn scale_shift(
    isa: Isa,
    numbers: &mut [f32],
    scale: &[f32],
    shift: &[f32],
    round: bool,
) {
    isa.run(ScaleShift {
        numbers,
        scale,
        shift,
        round,
    });
}

struct ScaleShift<'a> {
    numbers: &'a mut [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    round: bool,
}

impl Work for ScaleShift<'_> {
    type Out = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        for pixel in self.numbers.chunks_exact_mut(self.scale.len()) {
            let terms = self.scale.iter().zip(self.shift);
            if self.round {
                for (number, (scale, shift)) in pixel.iter_mut().zip(terms) {
                    *number = gelu(*number * scale + shift);
                }
            } else {
                for (number, (scale, shift)) in pixel.iter_mut().zip(terms) {
                    *number = *number * scale + shift;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_within_two_units() {
        for at in 0..900_000 {
            let x = at as f32 * -1e-4;
            let (ours, exact) = (exponential(x), f64::from(x).exp());
            assert!(
                (f64::from(ours) - exact).abs() <= 3e-7 * exact + 2e-38,
                "{x}: {ours}"
            );
        }
        assert_eq!(exponential(f32::NEG_INFINITY), 0.0);
        assert_eq!(exponential(0.0), 1.0);
    }

    #[test]
    fn gelu_is_x_times_the_normal_distribution() {
        // Phi by its own Taylor series in float64, which converges everywhere.
        let phi = |x: f64| {
            let (mut term, mut sum) = (x, x);
            for k in 1..200 {
                term *= -x * x / (2.0 * f64::from(k));
                sum += term / f64::from(2 * k + 1);
            }
            0.5 + sum / std::f64::consts::TAU.sqrt()
        };
        for at in -60_000..60_000 {
            let x = at as f32 * 1e-4;
            let exact = f64::from(x) * phi(f64::from(x));
            assert!((f64::from(gelu(x)) - exact).abs() < 1.5e-6, "{x}");
        }
        assert_eq!(gelu(0.0), 0.0);
        assert!((gelu(50.0) - 50.0).abs() < 2e-5, "{}", gelu(50.0));
        assert!(gelu(-50.0).abs() < 1e-5, "{}", gelu(-50.0));
    }

    #[test]
    fn weights_sum_to_one_and_the_padding_has_none() {
        let mut row: Vec<f32> = (0..32).map(|at| at as f32 * 0.3).collect();
        soften(&mut row, 20);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(row[20..].iter().all(|weight| *weight == 0.0));
        assert!((row[19] / row[18] - 0.3f32.exp()).abs() < 1e-5);
    }
}

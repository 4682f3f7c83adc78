//! Logarithm and logistic function of many numbers. Written in plain arithmetic that compilers vectorise: no step depends on the
//! vectors' width, so every processor gives the same bits.

use super::{Isa, Lanes, Work};

/// Each number's natural logarithm, to about one unit in the last place. For positive, normal numbers.
pub(crate) fn logarithms(isa: Isa, numbers: &mut [f32]) {
    isa.run(Each(numbers, logarithm));
}

/// Each number's `1 / (1 + exp(-x))`, within 1e-7.
pub(crate) fn logistics(isa: Isa, numbers: &mut [f32]) {
    isa.run(Each(numbers, logistic));
}

/// `sqrt((real * scale)^2 + (imaginary * scale)^2)`, each step rounded by itself.
pub(crate) fn magnitudes(isa: Isa, real: &[f32], imaginary: &[f32], scale: f32, out: &mut [f32]) {
    isa.run(Magnitudes {
        real,
        imaginary,
        scale,
        out,
    });
}

struct Magnitudes<'a> {
    real: &'a [f32],
    imaginary: &'a [f32],
    scale: f32,
    out: &'a mut [f32],
}

impl Work for Magnitudes<'_> {
    type Out = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let parts = self.real.iter().zip(self.imaginary);
        for (out, (real, imaginary)) in self.out.iter_mut().zip(parts) {
            let (real, imaginary) = (real * self.scale, imaginary * self.scale);
            *out = (real * real + imaginary * imaginary).sqrt();
        }
    }
}

struct Each<'a, F>(&'a mut [f32], F);

impl<F: Fn(f32) -> f32> Work for Each<'_, F> {
    type Out = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Each(numbers, function) = self;
        for number in numbers {
            *number = function(*number);
        }
    }
}

/// `number = mantissa * 2^exponent` with a mantissa around one; its logarithm is twice the area tangent of `(m - 1) / (m + 1)`.
#[inline(always)]
fn logarithm(number: f32) -> f32 {
    const ROOT_HALF: u32 = 0x3f35_04f3;
    // High and low part of the logarithm of two, so that the product with a small whole number is exact.
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    let shifted = number.to_bits().wrapping_sub(ROOT_HALF);
    let exponent = (shifted as i32 >> 23) as f32;
    let mantissa = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(ROOT_HALF));
    let above = mantissa - 1.0;
    let ratio = above / (2.0 + above);
    let square = ratio * ratio;
    let series = square
        * (0.666_666_7
            + square
                * (0.4 + square * (0.285_714_3 + square * (0.222_222_22 + square * 0.181_818_18))));
    // log(1 + f) = f - f^2/2 + s (f^2/2 + series): the large part of the sum is exact.
    let half = 0.5 * above * above;
    exponent * HIGH + (above - (half - (ratio * (half + series) + exponent * LOW)))
}

/// The exponential of a number not above zero, then the quotient on the side where nothing cancels.
#[inline(always)]
fn logistic(number: f32) -> f32 {
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    // Adding and taking away this rounds to whole numbers.
    const ROUND: f32 = 12_582_912.0;
    // exp(-87) is still a normal number.
    let below = -number.abs().min(87.0);
    let shifted = below * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = (below - whole * HIGH) - whole * LOW;
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
    let power = f32::from_bits((whole as i32 + 127).cast_unsigned() << 23);
    let exponential = series * power;
    let small = exponential / (1.0 + exponential);
    if number < 0.0 { small } else { 1.0 - small }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_right_to_a_unit_in_the_last_place() {
        let numbers: Vec<f32> = (0..200_000u32)
            .map(|at| f32::from_bits(0x2edb_e6ff + at * 4_787)) // 1e-10 to beyond 1e4
            .chain([
                1.0,
                0.999_999_94,
                1.000_000_1,
                std::f32::consts::E,
                f32::MIN_POSITIVE,
                f32::MAX,
            ])
            .collect();
        let mut plain: Option<Vec<f32>> = None;
        for isa in Isa::all() {
            let mut ours = numbers.clone();
            logarithms(isa, &mut ours);
            for (ours, number) in ours.iter().zip(&numbers) {
                let exact = f64::from(*number).ln();
                let unit = f64::from((exact as f32).abs().next_up() - (exact as f32).abs());
                let gap = (f64::from(*ours) - exact).abs() / unit;
                assert!(
                    gap <= 1.5,
                    "{isa:?}: {ours} is {gap} units from the logarithm of {number}"
                );
            }
            assert_eq!(plain.get_or_insert_with(|| ours.clone()), &ours, "{isa:?}");
        }
    }

    #[test]
    fn logistics_are_within_1e_7_and_small_ones_relatively_so() {
        let numbers: Vec<f32> = (-120_000..120_000)
            .map(|at| at as f32 * 7.3e-4)
            .chain([0.0, -0.0, 1e30, -1e30])
            .collect();
        let mut plain: Option<Vec<f32>> = None;
        for isa in Isa::all() {
            let mut ours = numbers.clone();
            logistics(isa, &mut ours);
            for (ours, number) in ours.iter().zip(&numbers) {
                let exact = 1.0 / (1.0 + (-f64::from(*number).clamp(-87.0, 87.0)).exp());
                let gap = (f64::from(*ours) - exact).abs();
                assert!(
                    gap < 1e-7 && gap <= 5e-7 * exact,
                    "{isa:?}: {ours} is {gap} from the value at {number}"
                );
            }
            assert_eq!(plain.get_or_insert_with(|| ours.clone()), &ours, "{isa:?}");
        }
    }
}

//! Sums of weighted rows: `out[o][t] = bias[o] + sum over k of weight[k][o] * input[offset[k] + t]`, eight outputs at a time, or four.
//!
//! A convolution whose vectors run along one axis is such a sum: its taps are rows that begin a little later or lie a little
//! further down. So is a small matrix product. Each output is one chain along `k`, in that order, whatever the vectors' width.

#![expect(
    unsafe_code,
    reason = "the innermost loop reads what was checked once before it"
)]

use super::{Isa, Lanes, Work};

/// Outputs of a full sum.
pub(crate) const OUTPUTS: usize = 8;
/// Columns come in such pieces, the widest vector there is.
pub(crate) const PIECE: usize = 16;

/// `N` sums over the same rows, eight or four.
pub(crate) struct Sum<'a, const N: usize> {
    pub(crate) input: &'a [f32],
    /// Where each row begins.
    pub(crate) offsets: &'a [u32],
    /// `[row][output]`.
    pub(crate) weights: &'a [f32],
    pub(crate) bias: &'a [f32; N],
    /// Multiples of [`PIECE`].
    pub(crate) columns: usize,
    /// Negative sums become zero.
    pub(crate) relu: bool,
}

impl<const N: usize> Sum<'_, N> {
    /// Writes output `o` at `starts[o]`; outputs without a start are not written.
    pub(crate) fn into(self, isa: Isa, output: &mut [f32], starts: &[usize]) {
        isa.run(self.checked(output, starts));
    }

    /// As `into`, each step rounded once on every processor.
    pub(crate) fn into_fused(self, isa: Isa, output: &mut [f32], starts: &[usize]) {
        isa.run_fused(self.checked(output, starts));
    }

    #[inline]
    fn checked<'a>(
        &'a self,
        output: &'a mut [f32],
        starts: &'a [usize],
    ) -> impl Work<Out = ()> + 'a {
        assert_eq!(self.columns % PIECE, 0, "columns come in whole pieces");
        assert_eq!(
            self.weights.len(),
            self.offsets.len() * N,
            "a weight for each output and row"
        );
        let last = self.offsets.iter().fold(0, |last, row| last.max(*row));
        assert!(
            last as usize + self.columns <= self.input.len(),
            "a row ends outside of the input"
        );
        assert!(starts.len() <= N, "no more starts than outputs");
        const { assert!(N == 4 || N == OUTPUTS) }
        for start in starts {
            assert!(
                start + self.columns <= output.len(),
                "an output ends outside of its slice"
            );
        }
        Checked {
            sum: self,
            output,
            starts,
        }
    }
}

/// A sum whose rows and outputs lie inside their slices.
struct Checked<'a, const N: usize> {
    sum: &'a Sum<'a, N>,
    output: &'a mut [f32],
    starts: &'a [usize],
}

impl<const N: usize> Work for Checked<'_, N> {
    type Out = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let mut column = 0;
        let Checked {
            sum,
            output,
            starts,
        } = self;
        // More vectors of columns share each weight's load, where there are registers for the sums of them all.
        while V::ROWS == OUTPUTS && N == 4 && column + 6 * V::LANES <= sum.columns {
            all_outputs::<V, N, 6>(sum, output, starts, column);
            column += 6 * V::LANES;
        }
        while V::ROWS == OUTPUTS && column + 3 * V::LANES <= sum.columns {
            all_outputs::<V, N, 3>(sum, output, starts, column);
            column += 3 * V::LANES;
        }
        while column + 2 * V::LANES <= sum.columns {
            all_outputs::<V, N, 2>(sum, output, starts, column);
            column += 2 * V::LANES;
        }
        while column < sum.columns {
            all_outputs::<V, N, 1>(sum, output, starts, column);
            column += V::LANES;
        }
    }
}

#[inline(always)]
fn all_outputs<V: Lanes, const N: usize, const WIDE: usize>(
    sum: &Sum<'_, N>,
    output: &mut [f32],
    starts: &[usize],
    column: usize,
) {
    if V::ROWS >= N {
        block::<V, N, N, WIDE>(sum, output, starts, column, 0);
    } else {
        block::<V, N, 4, WIDE>(sum, output, starts, column, 0);
        if starts.len() > 4 {
            block::<V, N, 4, WIDE>(sum, output, starts, column, 4);
        }
    }
}

/// `ROWS` outputs from `first` on, `WIDE` vectors of columns from `column` on: as many sums as registers hold.
#[inline(always)]
fn block<V: Lanes, const N: usize, const ROWS: usize, const WIDE: usize>(
    sum: &Sum<'_, N>,
    output: &mut [f32],
    starts: &[usize],
    column: usize,
    first: usize,
) {
    let mut sums = [[V::splat(0.0); WIDE]; ROWS];
    for (row, sums) in sums.iter_mut().enumerate() {
        *sums = [V::splat(sum.bias[first + row]); WIDE];
    }
    let input = sum.input[column..].as_ptr();
    for (offset, weights) in sum.offsets.iter().zip(sum.weights.chunks_exact(N)) {
        let mut numbers = [V::splat(0.0); WIDE];
        for (wide, number) in numbers.iter_mut().enumerate() {
            // SAFETY: `checked` saw that `columns` numbers lie behind every offset; `column` and its vectors are among them.
            *number = unsafe { V::load(input.add(*offset as usize + wide * V::LANES)) };
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            let weight = V::splat(weights[first + row]);
            for (sum, number) in sums.iter_mut().zip(&numbers) {
                *sum = weight.mul_add(*number, *sum);
            }
        }
    }
    for (sums, start) in sums.iter().zip(starts.iter().skip(first)) {
        for (wide, value) in sums.iter().enumerate() {
            let value = if sum.relu {
                value.max(V::splat(0.0))
            } else {
                *value
            };
            value.write(output, start + column + wide * V::LANES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::noise::noise;

    #[test]
    fn sums_are_those_of_a_plain_loop() {
        sums_of::<OUTPUTS>();
        sums_of::<4>();
    }

    fn sums_of<const N: usize>() {
        for (rows, columns, outputs) in [
            (0, 16, 8),
            (1, 48, 8),
            (7, 64, 5),
            (100, 176, 1),
            (333, 80, 8),
        ] {
            let input = noise(1, rows * 3 + columns + 50);
            let offsets: Vec<u32> = (0..rows as u32)
                .map(|row| row * 7919 % (rows as u32 * 3 + 50))
                .collect();
            let outputs = outputs.min(N);
            let weights = noise(2, rows * N);
            let bias: [f32; N] = noise(3, N).try_into().unwrap();
            let starts: Vec<usize> = (0..outputs)
                .map(|output| (outputs - 1 - output) * (columns + 3))
                .collect();
            for relu in [false, true] {
                for isa in Isa::all() {
                    let sum = || Sum {
                        input: &input,
                        offsets: &offsets,
                        weights: &weights,
                        bias: &bias,
                        columns,
                        relu,
                    };
                    let mut loose = vec![9f32; outputs * (columns + 3)];
                    let mut fused = loose.clone();
                    sum().into(isa, &mut loose, &starts);
                    sum().into_fused(isa, &mut fused, &starts);
                    for (output, start) in starts.iter().enumerate() {
                        for column in 0..columns {
                            let number = |row: usize| input[offsets[row] as usize + column];
                            let exact = (0..rows).fold(f64::from(bias[output]), |sum, row| {
                                sum + f64::from(weights[row * N + output]) * f64::from(number(row))
                            });
                            let chain = (0..rows).fold(bias[output], |sum, row| {
                                weights[row * N + output].mul_add(number(row), sum)
                            });
                            let clip = |value: f64| if relu { value.max(0.0) } else { value };
                            let at = start + column;
                            let gap = (f64::from(loose[at]) - clip(exact)).abs();
                            assert!(gap < 5e-6, "{isa:?}: {gap} with {rows} rows");
                            assert_eq!(f64::from(fused[at]), clip(f64::from(chain)), "{isa:?}");
                        }
                        assert_eq!(
                            &loose[start + columns..][..3],
                            [9.0; 3],
                            "nothing is written beyond a row"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_outside_is_refused() {
        let sum = |offset: u32| {
            std::panic::catch_unwind(|| {
                let sum = Sum {
                    input: &[0.0; 20],
                    offsets: &[offset],
                    weights: &[0.0; 8],
                    bias: &[0.0; 8],
                    columns: 16,
                    relu: false,
                };
                sum.into(Isa::detect(), &mut [0.0; 16], &[0]);
            })
        };
        assert!(sum(4).is_ok());
        assert!(sum(5).is_err());
    }
}

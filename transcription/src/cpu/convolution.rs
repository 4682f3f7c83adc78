//! Convolutions over `[channel][row][column]`, whose columns are time, as sums of weighted rows. No padding along time: column `t` of
//! the output reads columns `t ..` of the input. Rows outside are the caller's to supply, as rows of zeros.

use super::Isa;
use super::aligned::Aligned;
use super::rows::Sum;

/// How a kernel's weights lie: `[output][channel][time][row]`.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) outputs: usize,
    pub(crate) channels: usize,
    pub(crate) times: usize,
    pub(crate) rows: usize,
}

/// `N` sums are made together, eight or four.
pub(crate) struct Convolution<const N: usize> {
    taps: Vec<Tap>,
    blocks: Vec<Block<N>>,
}

/// Weights of sums that are made together, `[tap][sum]`.
struct Block<const N: usize> {
    weights: Aligned,
    bias: [f32; N],
}

/// What a tap reads.
#[derive(Clone, Copy)]
struct Tap {
    channel: usize,
    row: usize,
    time: usize,
}

impl<const N: usize> Convolution<N> {
    /// Of many outputs, a multiple of `N`: channels of one row are summed together.
    pub(crate) fn many(weights: &[f32], bias: &[f32], shape: Shape) -> Self {
        let taps = taps(shape, shape.rows);
        let blocks = (0..shape.outputs / N).map(|block| {
            let first = block * N;
            Block::new(
                &taps,
                |tap, sum| weights[at(shape, first + sum, tap)],
                |sum| bias[first + sum],
            )
        });
        Convolution {
            blocks: blocks.collect(),
            taps,
        }
    }

    /// Of one output: neighbouring rows of it are summed together. Weights of rows that only the others read are zero, so four at a
    /// time waste less than eight.
    pub(crate) fn single(weights: &[f32], bias: f32, shape: Shape) -> Self {
        let taps = taps(shape, shape.rows + N - 1);
        let weight = |tap: Tap, sum: usize| match tap.row.checked_sub(sum) {
            Some(row) if row < shape.rows => weights[at(shape, 0, Tap { row, ..tap })],
            _ => 0.0,
        };
        let block = Block::new(&taps, weight, |_| bias);
        Convolution {
            blocks: vec![block],
            taps,
        }
    }

    /// Where each tap's row begins in an input, given where each channel's row does.
    pub(crate) fn offsets(&self, start: impl Fn(usize, usize) -> usize) -> Vec<u32> {
        self.taps
            .iter()
            .map(|tap| (start(tap.channel, tap.row) + tap.time) as u32)
            .collect()
    }

    /// All outputs of one row, or `N` rows of the one output: output or row `s` goes to `start(s)`.
    pub(crate) fn run(
        &self,
        isa: Isa,
        (input, offsets): (&[f32], &[u32]),
        columns: usize,
        relu: bool,
        (output, start): (&mut [f32], impl Fn(usize) -> usize),
    ) {
        for (index, block) in self.blocks.iter().enumerate() {
            let starts: [usize; N] = std::array::from_fn(|sum| start(index * N + sum));
            let sum = Sum {
                input,
                offsets,
                weights: &block.weights,
                bias: &block.bias,
                columns,
                relu,
            };
            sum.into(isa, output, &starts);
        }
    }
}

impl<const N: usize> Block<N> {
    fn new(taps: &[Tap], weight: impl Fn(Tap, usize) -> f32, bias: impl Fn(usize) -> f32) -> Self {
        let weights: Vec<f32> = taps
            .iter()
            .flat_map(|tap| (0..N).map(move |sum| (*tap, sum)))
            .map(|(tap, sum)| weight(tap, sum))
            .collect();
        Block {
            weights: Aligned::copy_of(&weights),
            bias: std::array::from_fn(bias),
        }
    }
}

fn at(shape: Shape, output: usize, tap: Tap) -> usize {
    ((output * shape.channels + tap.channel) * shape.times + tap.time) * shape.rows + tap.row
}

fn taps(shape: Shape, rows: usize) -> Vec<Tap> {
    let mut taps = Vec::with_capacity(shape.channels * rows * shape.times);
    for channel in 0..shape.channels {
        for row in 0..rows {
            taps.extend((0..shape.times).map(|time| Tap { channel, row, time }));
        }
    }
    taps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::noise::noise;

    const ROW: usize = 48;
    const COLUMNS: usize = 32;

    /// The definition, in float64.
    fn plain(
        input: &[f32],
        rows: usize,
        weights: &[f32],
        shape: Shape,
        output: usize,
        row: usize,
        column: usize,
    ) -> f64 {
        let mut sum = 0.0;
        for channel in 0..shape.channels {
            for time in 0..shape.times {
                for tap in 0..shape.rows {
                    let number = input[(channel * rows + row + tap) * ROW + column + time];
                    let weight = weights[((output * shape.channels + channel) * shape.times
                        + time)
                        * shape.rows
                        + tap];
                    sum += f64::from(number) * f64::from(weight);
                }
            }
        }
        sum
    }

    #[test]
    fn many_outputs_with_a_stride_are_by_the_definition() {
        let shape = Shape {
            outputs: 16,
            channels: 3,
            times: 5,
            rows: 4,
        };
        let rows = 22;
        let (input, weights, bias) = (
            noise(1, 3 * rows * ROW),
            noise(2, 16 * 3 * 20),
            noise(3, 16),
        );
        for isa in Isa::all() {
            let convolution = Convolution::<8>::many(&weights, &bias, shape);
            let offsets = convolution.offsets(|channel, row| (channel * rows + row) * ROW);
            for row in 0..7 {
                let mut output = vec![0f32; 16 * COLUMNS];
                convolution.run(
                    isa,
                    (&input[row * 3 * ROW..], &offsets),
                    COLUMNS,
                    false,
                    (&mut output, |output| output * COLUMNS),
                );
                for (at, number) in output.iter().enumerate() {
                    let exact = plain(
                        &input,
                        rows,
                        &weights,
                        shape,
                        at / COLUMNS,
                        row * 3,
                        at % COLUMNS,
                    ) + f64::from(bias[at / COLUMNS]);
                    assert!(
                        (f64::from(*number) - exact).abs() < 2e-6,
                        "{isa:?}: {number} for {exact}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_single_output_is_by_the_definition() {
        let shape = Shape {
            outputs: 1,
            channels: 2,
            times: 7,
            rows: 5,
        };
        let rows = 20;
        let (input, weights) = (noise(1, 2 * rows * ROW), noise(2, 2 * 35));
        for isa in Isa::all() {
            let convolution = Convolution::<4>::single(&weights, 0.25, shape);
            let offsets = convolution.offsets(|channel, row| (channel * rows + row) * ROW);
            let mut output = vec![0f32; 16 * COLUMNS];
            for first in [0, 4, 8, 12] {
                convolution.run(
                    isa,
                    (&input[first * ROW..], &offsets),
                    COLUMNS,
                    true,
                    (&mut output, |row| (first + row) * COLUMNS),
                );
            }
            for (at, number) in output.iter().enumerate() {
                let exact = (plain(&input, rows, &weights, shape, 0, at / COLUMNS, at % COLUMNS)
                    + 0.25)
                    .max(0.0);
                assert!(
                    (f64::from(*number) - exact).abs() < 2e-6,
                    "{isa:?}: {number} for {exact}"
                );
            }
        }
    }
}

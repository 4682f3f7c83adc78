//! Pictures with a border of zeros, and the convolutions between them: a pixel's channels lie side by side, so that three neighbouring
//! pixels are one run of numbers, and a convolution is a product of rows.

use super::functions::scale_shift;
use crate::cpu::Isa;
use crate::cpu::crew::Crew;
use crate::cpu::product::{Finish, PANEL, Packed, Rows, product};
use crate::transkun::config::GROUPS;

/// `[row][column][channel]`, one row and one column of zeros around.
pub(super) struct Image {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) channels: usize,
    numbers: Vec<f32>,
}

impl Image {
    pub(super) fn new((rows, columns): (usize, usize), channels: usize) -> Self {
        Image {
            rows,
            columns,
            channels,
            numbers: vec![0.0; (rows + 2) * (columns + 2) * channels],
        }
    }

    /// Numbers from one row to the next.
    fn stride(&self) -> usize {
        (self.columns + 2) * self.channels
    }

    /// A row without its border.
    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.numbers[(row + 1) * self.stride() + self.channels..][..self.columns * self.channels]
    }

    /// Everything without the border.
    pub(super) fn inside(&self) -> Vec<f32> {
        (0..self.rows)
            .flat_map(|row| self.row(row))
            .copied()
            .collect()
    }

    /// All rows without their borders.
    pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let (stride, channels, columns) = (self.stride(), self.channels, self.columns);
        self.numbers
            .chunks_exact_mut(stride)
            .skip(1)
            .take(self.rows)
            .map(move |row| &mut row[channels..][..columns * channels])
    }
}

/// A convolution of 3 x 3.
pub(super) struct Convolution {
    weights: Packed,
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
    /// Rows and columns from one output to the next.
    steps: (usize, usize),
}

impl Convolution {
    /// `weights`: `[output][input][3][3]`.
    pub(super) fn new(weights: &[f32], bias: Vec<f32>, steps: (usize, usize)) -> Self {
        let outputs = bias.len();
        let inputs = weights.len() / outputs / 9;
        Convolution {
            weights: Packed::new(9 * inputs, outputs, |depth, output| {
                let (place, input) = (depth / inputs, depth % inputs);
                weights[(output * inputs + input) * 9 + place]
            }),
            bias,
            inputs,
            outputs,
            steps,
        }
    }

    /// One row of the output: as many pixels as `out` has room for.
    pub(super) fn row(&self, isa: Isa, input: &Image, row: usize, out: &mut [f32]) {
        let stride = input.stride();
        let rows = Rows {
            numbers: &input.numbers,
            start: row * self.steps.0 * stride,
            stride: self.steps.1 * self.inputs,
            taps: &[0, stride, 2 * stride],
            depth: 3 * self.inputs,
            count: out.len() / self.outputs,
        };
        for panel in 0..self.weights.panels() {
            let columns = PANEL.min(self.outputs - panel * PANEL);
            let mut finish = Store {
                out: &mut out[panel * PANEL..],
                stride: self.outputs,
                bias: &self.bias[panel * PANEL..][..columns],
            };
            product(isa, rows, self.weights.panel(panel), &mut finish);
        }
    }
}

struct Store<'a> {
    out: &'a mut [f32],
    stride: usize,
    bias: &'a [f32],
}

impl Finish for Store<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize, sums: &[f32; PANEL]) {
        let out = &mut self.out[row * self.stride..][..self.bias.len()];
        for ((out, sum), bias) in out.iter_mut().zip(sums).zip(self.bias) {
            *out = sum + bias;
        }
    }
}

/// A norm over each group of channels of the whole picture, rounded off behind it where that is asked.
pub(super) struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    pub(super) round: bool,
}

/// A row's sum and sum of squares for each group.
pub(super) type Sums = [[f64; 2]; GROUPS];

impl Norm {
    pub(super) fn new(weight: Vec<f32>, bias: Vec<f32>, round: bool) -> Self {
        Norm {
            weight,
            bias,
            round,
        }
    }

    /// What each channel is multiplied by, and what is added, given the sums of all rows in order.
    pub(super) fn terms(&self, sums: &[Sums], pixels: usize) -> (Vec<f32>, Vec<f32>) {
        let channels = self.weight.len();
        let size = channels / GROUPS;
        let count = (pixels * size) as f64;
        let mut terms = (Vec::new(), Vec::new());
        for (channel, (weight, bias)) in self.weight.iter().zip(&self.bias).enumerate() {
            let group = channel / size;
            let total = |which: usize| sums.iter().map(|row| row[group][which]).sum::<f64>();
            let mean = total(0) / count;
            let variance = (total(1) / count - mean * mean).max(0.0);
            let scale = f64::from(*weight) / (variance + 1e-5).sqrt();
            terms.0.push(scale as f32);
            terms.1.push((f64::from(*bias) - mean * scale) as f32);
        }
        terms
    }

    pub(super) fn apply(&self, isa: Isa, row: &mut [f32], terms: &(Vec<f32>, Vec<f32>)) {
        scale_shift(isa, row, &terms.0, &terms.1, self.round);
    }
}

/// The sums of a row.
pub(super) fn sums_of(row: &[f32], channels: usize) -> Sums {
    let size = channels / GROUPS;
    let mut sums = [[0f64; 2]; GROUPS];
    for pixel in row.chunks_exact(channels) {
        for (sums, group) in sums.iter_mut().zip(pixel.chunks_exact(size)) {
            let mut part = [[0f64; 8]; 2];
            for eight in group.chunks(8) {
                for (lane, number) in eight.iter().enumerate() {
                    let number = f64::from(*number);
                    part[0][lane] += number;
                    part[1][lane] += number * number;
                }
            }
            sums[0] += part[0].iter().sum::<f64>();
            sums[1] += part[1].iter().sum::<f64>();
        }
    }
    sums
}

/// A convolution and its norm, from one picture to the next.
pub(super) fn layer(
    crew: Crew,
    isa: Isa,
    (convolution, norm): &(Convolution, Norm),
    input: &Image,
    output: &mut Image,
) {
    let channels = output.channels;
    let mut sums = vec![Sums::default(); output.rows];
    crew.share(
        output.rows_mut().zip(&mut sums),
        || (),
        |(), row, (out, sums)| {
            convolution.row(isa, input, row, out);
            *sums = sums_of(out, channels);
        },
    );
    let terms = norm.terms(&sums, output.rows * output.columns);
    crew.share(
        output.rows_mut(),
        || (),
        |(), _, row| norm.apply(isa, row, &terms),
    );
}

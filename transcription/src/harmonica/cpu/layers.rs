//! The network's layers on planes: convolutions, the step from bins to semitones, harmonic layers, and the two kinds of block made of them.
//! Every sum over inputs goes through [`tile`]; what differs is the list of offsets.

use std::ops::Range;

use super::super::config::{CHUNK, HARMONIC_SHIFTS};
use super::planes::{Affine, Planes, ROW, activate, add_and_activate, norm, skip};
use super::tile::{Offsets, Shape, shape, tile};
use crate::cpu::Isa;

/// Weights by name, as the converted file has them.
pub(crate) type Weights<'a> = dyn Fn(&str) -> Vec<f32> + 'a;

/// Weights of a layer in the order in which a tile walks over them.
pub(crate) struct Packed {
    pub(crate) shape: Shape,
    outputs: usize,
    taps: usize,
    /// `[block][tap][rows of a tile]`
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Packed {
    /// `weights` is `[output][tap]`.
    pub(crate) fn new(isa: Isa, weights: &[f32], bias: Vec<f32>) -> Self {
        let outputs = bias.len();
        let taps = weights.len() / outputs;
        let shape = shape(isa, outputs);
        let mut packed = Vec::with_capacity(weights.len());
        for block in 0..outputs / shape.rows {
            for tap in 0..taps {
                packed.extend(
                    (0..shape.rows).map(|row| weights[(block * shape.rows + row) * taps + tap]),
                );
            }
        }
        Packed {
            shape,
            outputs,
            taps,
            weights: packed,
            bias,
        }
    }

    /// Multiply-adds of as many tiles, each over so many taps: those that are done, with what a last tile does again.
    pub(crate) fn products(&self, tiles: usize, taps: usize) -> usize {
        tiles * self.shape.columns * self.outputs * taps
    }

    /// All outputs at the tile's places, from the taps `from..from + offsets.len()`.
    #[expect(clippy::too_many_arguments, reason = "a tile's geometry, once a tile")]
    pub(crate) fn run(
        &self,
        isa: Isa,
        x: &[f32],
        at: usize,
        offsets: &Offsets<'_>,
        from: usize,
        y: &mut [f32],
        y_at: usize,
        y_stride: usize,
    ) {
        let rows = self.shape.rows;
        for block in 0..self.outputs / rows {
            tile(
                isa,
                self.shape,
                x,
                at,
                offsets,
                &self.weights[(block * self.taps + from) * rows..(block + 1) * self.taps * rows],
                &self.bias[block * rows..],
                &mut y[block * rows * y_stride + y_at..],
                y_stride,
            );
        }
    }
}

/// Where tiles of `columns` start so that they cover `length` places; the last one may cover some again.
pub(crate) fn starts(length: usize, columns: usize) -> impl Iterator<Item = usize> {
    (0..length.div_ceil(columns)).map(move |index| (index * columns).min(length - columns))
}

/// A square convolution that keeps the plane's size. A norm follows it, which takes any bias away again: it is left out, and what it would round off.
struct Conv {
    packed: Packed,
    inputs: usize,
    kernel: usize,
}

impl Conv {
    fn new(isa: Isa, weights: &Weights<'_>, name: &str, inputs: usize, kernel: usize) -> Self {
        let none = vec![0.0; weights(&format!("{name}.bias")).len()];
        Conv {
            packed: Packed::new(isa, &weights(&format!("{name}.weight")), none),
            inputs,
            kernel,
        }
    }

    fn products(&self, rows: usize) -> usize {
        let tiles = starts(rows * ROW, self.packed.shape.columns).count();
        self.packed.products(tiles, self.packed.taps)
    }

    /// Raw sums of all rows, `[output][rows][ROW]`.
    fn run(&self, isa: Isa, x: &Planes, sums: &mut [f32]) {
        let half = (self.kernel / 2) as i32;
        let mut offsets = Vec::with_capacity(self.inputs * self.kernel * self.kernel);
        for channel in 0..self.inputs {
            for up in -half..=half {
                for time in -half..=half {
                    offsets.push((channel * x.stride()) as i32 + up * ROW as i32 + time);
                }
            }
        }
        let offsets = Offsets::new(&offsets);
        let places = x.rows * ROW;
        for at in starts(places, self.packed.shape.columns) {
            self.packed.run(
                isa,
                &x.numbers,
                x.start(0) + at,
                &offsets,
                0,
                sums,
                at,
                places,
            );
        }
    }
}

/// An instance norm's two numbers a channel.
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Norm {
    fn new(weights: &Weights<'_>, name: &str) -> Self {
        Norm {
            weight: weights(&format!("{name}.weight")),
            bias: weights(&format!("{name}.bias")),
        }
    }

    /// Hands each channel's raw sums and their norm to `then`.
    fn each(&self, isa: Isa, sums: &[f32], mut then: impl FnMut(usize, &[f32], Affine)) {
        let each = sums.len() / self.weight.len();
        for (channel, plane) in sums.chunks_exact(each).enumerate() {
            let mut found = Affine {
                centre: 0.0,
                scale: 0.0,
                offset: 0.0,
            };
            norm(
                isa,
                plane,
                self.weight[channel],
                self.bias[channel],
                &mut found,
            );
            then(channel, plane, found);
        }
    }
}

/// `relu(past + norm2(conv2(relu(norm1(conv1(x))))))`
pub(crate) struct Residual {
    convs: [Conv; 2],
    norms: [Norm; 2],
    /// One weight and one bias a channel, where the block widens its single input.
    skip: Option<[Vec<f32>; 2]>,
}

impl Residual {
    pub(crate) fn new(
        isa: Isa,
        weights: &Weights<'_>,
        name: &str,
        inputs: usize,
        channels: usize,
        kernel: usize,
    ) -> Self {
        let conv =
            |part: &str, inputs| Conv::new(isa, weights, &format!("{name}.{part}"), inputs, kernel);
        Residual {
            convs: [conv("conv1", inputs), conv("conv2", channels)],
            norms: [
                Norm::new(weights, &format!("{name}.norm1")),
                Norm::new(weights, &format!("{name}.norm2")),
            ],
            skip: (inputs != channels).then(|| {
                [
                    weights(&format!("{name}.skip.weight")),
                    weights(&format!("{name}.skip.bias")),
                ]
            }),
        }
    }

    pub(crate) fn products(&self, rows: usize) -> usize {
        self.convs.iter().map(|conv| conv.products(rows)).sum()
    }

    /// In place; `inner` and `sums` are room to work in.
    pub(crate) fn run(&self, isa: Isa, x: &mut Planes, inner: &mut Planes, sums: &mut [f32]) {
        self.inside(isa, x, inner, sums);
        self.norms[1].each(isa, sums, |channel, sums, norm| {
            add_and_activate(isa, sums, norm, x.plane_mut(channel));
        });
    }

    /// From the single plane of the spectrum to the stem's channels.
    pub(crate) fn widen(
        &self,
        isa: Isa,
        input: &Planes,
        x: &mut Planes,
        inner: &mut Planes,
        sums: &mut [f32],
    ) {
        self.inside(isa, input, inner, sums);
        let Some([weight, bias]) = &self.skip else {
            return;
        };
        self.norms[1].each(isa, sums, |channel, sums, norm| {
            let by = Affine {
                centre: 0.0,
                scale: weight[channel],
                offset: bias[channel],
            };
            skip(isa, input.plane(0), by, x.plane_mut(channel));
            add_and_activate(isa, sums, norm, x.plane_mut(channel));
        });
    }

    fn inside(&self, isa: Isa, x: &Planes, inner: &mut Planes, sums: &mut [f32]) {
        self.convs[0].run(isa, x, sums);
        self.norms[0].each(isa, sums, |channel, sums, norm| {
            activate(isa, sums, norm, inner.plane_mut(channel));
        });
        self.convs[1].run(isa, inner, sums);
    }
}

/// Three bins become a semitone.
pub(crate) struct Down {
    packed: Packed,
    inputs: usize,
}

impl Down {
    pub(crate) fn new(isa: Isa, weights: &Weights<'_>, inputs: usize) -> Self {
        Down {
            packed: Packed::new(isa, &weights("down.weight"), weights("down.bias")),
            inputs,
        }
    }

    pub(crate) fn products(&self, rows: usize) -> usize {
        let tiles = rows * starts(ROW, self.packed.shape.columns).count();
        self.packed.products(tiles, self.packed.taps)
    }

    pub(crate) fn run(&self, isa: Isa, x: &Planes, to: &mut Planes) {
        let offsets: Vec<i32> = (0..self.inputs)
            .flat_map(|channel| (0..3).map(move |row| (channel, row)))
            .map(|(channel, row)| (channel * x.stride() + row * ROW) as i32)
            .collect();
        let offsets = Offsets::new(&offsets);
        let (start, stride) = (to.start(0), to.stride());
        for row in 0..to.rows {
            for at in starts(ROW, self.packed.shape.columns) {
                self.packed.run(
                    isa,
                    &x.numbers,
                    x.start(0) + 3 * row * ROW + at,
                    &offsets,
                    0,
                    &mut to.numbers,
                    start + row * ROW + at,
                    stride,
                );
            }
        }
        to.clear_ends();
    }
}

/// `relu(x + norm(sum over shifts of W_shift x[pitch + shift]))`
pub(crate) struct Harmonic {
    packed: Packed,
    norm: Norm,
    channels: usize,
}

impl Harmonic {
    pub(crate) fn new(isa: Isa, weights: &Weights<'_>, name: &str, channels: usize) -> Self {
        Harmonic {
            // No bias, as in `Conv`.
            packed: Packed::new(
                isa,
                &weights(&format!("{name}.conv.weight")),
                vec![0.0; channels],
            ),
            norm: Norm::new(weights, &format!("{name}.norm")),
            channels,
        }
    }

    pub(crate) fn products(&self, rows: usize) -> usize {
        let columns = self.packed.shape.columns;
        starts(rows * ROW, columns)
            .map(|at| shifts(at, columns, rows).len() * self.channels)
            .map(|taps| self.packed.products(1, taps))
            .sum()
    }

    pub(crate) fn run(&self, isa: Isa, x: &mut Planes, sums: &mut [f32]) {
        let offsets: Vec<i32> = HARMONIC_SHIFTS
            .iter()
            .flat_map(|shift| (0..self.channels).map(move |channel| (*shift, channel)))
            .map(|(shift, channel)| (channel * x.stride()) as i32 + shift as i32 * ROW as i32)
            .collect();
        let all = Offsets::new(&offsets);
        let places = x.rows * ROW;
        let columns = self.packed.shape.columns;
        for at in starts(places, columns) {
            let shifts = shifts(at, columns, x.rows);
            let part = all.part(shifts.start * self.channels..shifts.end * self.channels);
            self.packed.run(
                isa,
                &x.numbers,
                x.start(0) + at,
                &part,
                shifts.start * self.channels,
                sums,
                at,
                places,
            );
        }
        self.norm.each(isa, sums, |channel, sums, norm| {
            add_and_activate(isa, sums, norm, x.plane_mut(channel));
        });
    }
}

/// The harmonic shifts that a tile at this place of `rows` rows needs: those that lead every row of it past the plane would only add zeros. The rest are
/// neighbours in the list.
fn shifts(at: usize, columns: usize, rows: usize) -> Range<usize> {
    let (first, last) = ((at / ROW) as i64, ((at + columns - 1) / ROW) as i64);
    let from = HARMONIC_SHIFTS
        .iter()
        .position(|shift| last + shift >= 0)
        .unwrap_or(0);
    let until = HARMONIC_SHIFTS
        .iter()
        .rposition(|shift| first + shift < rows as i64)
        .map_or(from, |at| at + 1);
    from..until
}

/// Lays a chunk's spectrum, `[bins][CHUNK]`, into the one plane of `to`.
pub(crate) fn lay(spectrum: &[f32], to: &mut Planes) {
    for (from, to) in spectrum
        .chunks_exact(CHUNK)
        .zip(to.plane_mut(0).chunks_exact_mut(ROW))
    {
        to[..CHUNK].copy_from_slice(from);
    }
}

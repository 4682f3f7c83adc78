//! The two inner loops that nearly all time goes into. Both keep a tile of sums in registers and walk once over the terms.
//!
//! * [`tile`]: sums of shifted inputs, `y[m][n] = bias[m] + sum over taps of weight[tap][m] * x[offset[tap] + n]`. Convolutions, harmonic
//!   layers and LSTM gates are all of this shape; they differ in their offsets alone.
//! * [`dots`]: a group of kernels against frames of a signal that overlap, `y[f][k] = sum over taps of kernel[tap][k] * x[f * HOP + start + tap]`.

use crate::cpu::{Isa, Lanes, Work};

/// Kernels of one group of [`dots`].
pub(crate) const GROUP: usize = 16;

/// Terms that [`dots`] adds up in float32 before the sum joins the whole in float64: thirty thousand in one chain would lose the sixth digit.
const RUN: usize = 64;

/// A tile's size: sums of `rows` outputs at `columns` places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// The best tile for so many outputs (a multiple of four): as many sums as fit into the registers, and few loads for each.
pub(crate) fn shape(isa: Isa, outputs: usize) -> Shape {
    assert_eq!(outputs % 4, 0, "channels come in fours");
    isa.run(ShapeFor(outputs))
}

struct ShapeFor(usize);

impl Work for ShapeFor {
    type Out = Shape;

    #[inline(always)]
    fn run<V: Lanes>(self) -> Shape {
        let (rows, vectors) = match V::LANES {
            16 if self.0.is_multiple_of(8) => (8, 3),
            16 => (4, 6),
            8 => (4, 3),
            _ => (4, 2),
        };
        let columns = vectors * V::LANES;
        Shape { rows, columns }
    }
}

/// One tile. `shape` must be the one that [`shape`] gave for this `isa`.
///
/// `x` holds the inputs; the tile's first place is `x[at]`. `weights` has `rows` numbers a tap. Row `m` goes to `y[m * stride..]`.
#[expect(
    clippy::too_many_arguments,
    reason = "one call a tile: a struct would be built millions of times"
)]
pub(crate) fn tile(
    isa: Isa,
    shape: Shape,
    x: &[f32],
    at: usize,
    offsets: &Offsets<'_>,
    weights: &[f32],
    bias: &[f32],
    y: &mut [f32],
    stride: usize,
) {
    let Shape { rows, columns } = shape;
    let lowest = at as isize + offsets.lowest as isize;
    let highest = at as isize + offsets.highest as isize + columns as isize;
    assert!(
        lowest >= 0 && highest <= x.len() as isize,
        "inputs of a tile"
    );
    assert!(weights.len() >= offsets.list.len() * rows && bias.len() >= rows);
    assert!(
        y.len() >= (rows - 1) * stride + columns,
        "outputs of a tile"
    );
    #[cfg(test)]
    counted::add(rows * columns * offsets.list.len());
    isa.run(Tile {
        shape,
        x,
        at,
        offsets: offsets.list,
        weights,
        bias,
        y,
        stride,
    });
}

/// Multiply-adds that this thread's tiles did.
#[cfg(test)]
pub(crate) mod counted {
    use std::cell::Cell;

    thread_local!(static DONE: Cell<usize> = const { Cell::new(0) });

    pub(super) fn add(products: usize) {
        DONE.set(DONE.get() + products);
    }

    pub(crate) fn take() -> usize {
        DONE.replace(0)
    }
}

/// A tile whose bounds [`tile`] has checked.
struct Tile<'a> {
    shape: Shape,
    x: &'a [f32],
    at: usize,
    offsets: &'a [i32],
    weights: &'a [f32],
    bias: &'a [f32],
    y: &'a mut [f32],
    stride: usize,
}

impl Work for Tile<'_> {
    type Out = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        match (V::LANES, self.shape.rows) {
            (16, 8) => self.sums::<V, 8, 3>(),
            (16, _) => self.sums::<V, 4, 6>(),
            (8, _) => self.sums::<V, 4, 3>(),
            _ => self.sums::<V, 4, 2>(),
        }
    }
}

/// Where each tap's input lies, relative to the output's place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offsets<'a> {
    list: &'a [i32],
    lowest: i32,
    highest: i32,
}

impl<'a> Offsets<'a> {
    /// `lowest` and `highest` are found once for a layer; a part of its taps keeps them.
    pub(crate) fn new(list: &'a [i32]) -> Self {
        Offsets {
            list,
            lowest: list.iter().copied().min().unwrap_or(0),
            highest: list.iter().copied().max().unwrap_or(0),
        }
    }

    /// Some of them; where they reach is not looked up again.
    pub(crate) fn part(&self, range: std::ops::Range<usize>) -> Offsets<'a> {
        Offsets {
            list: &self.list[range],
            ..*self
        }
    }
}

impl Tile<'_> {
    #[expect(unsafe_code, reason = "the inner loop; `tile` checks its bounds")]
    #[inline(always)]
    fn sums<V: Lanes, const M: usize, const N: usize>(self) {
        let (bias, y) = (self.bias.as_ptr(), self.y.as_mut_ptr());
        let mut sums = [[V::splat(0.0); N]; M];
        let mut weight = self.weights.as_ptr();
        // SAFETY: `tile` saw that `M` rows of `N` vectors are this tile's shape, that all reads of inputs lie between the lowest and the
        // highest offset and so in the plane, and that weights, biases and outputs are long enough.
        unsafe {
            let x = self.x.as_ptr().add(self.at);
            for offset in self.offsets {
                let from = x.offset(*offset as isize);
                let mut inputs = [V::splat(0.0); N];
                for (n, input) in inputs.iter_mut().enumerate() {
                    *input = V::load(from.add(n * V::LANES));
                }
                for (m, row) in sums.iter_mut().enumerate() {
                    let factor = V::splat(*weight.add(m));
                    for (sum, input) in row.iter_mut().zip(inputs) {
                        *sum = factor.mul_add(input, *sum).settled();
                    }
                }
                weight = weight.add(M);
            }
            // Last, and so rounded once: where the inputs are tiny, each addition to a large bias would lose some of what a norm then magnifies.
            for (m, row) in sums.iter().enumerate() {
                let bias = V::splat(*bias.add(m));
                for (n, sum) in row.iter().enumerate() {
                    sum.add(bias).store(y.add(m * self.stride + n * V::LANES));
                }
            }
        }
    }
}

/// A group of kernels against `frames` frames: `y[f * GROUP + k]`. `kernels` has [`GROUP`] numbers a tap, the first of them for sample `start` of a frame.
pub(crate) fn dots<const HOP: usize>(
    isa: Isa,
    x: &[f32],
    start: usize,
    frames: usize,
    kernels: &[f32],
    y: &mut [f32],
) {
    let taps = kernels.len() / GROUP;
    let mut frame = 0;
    while frame < frames {
        frame += isa.run(Dots::<HOP> {
            x: &x[frame * HOP..],
            start,
            left: frames - frame,
            kernels: &kernels[..taps * GROUP],
            y: &mut y[frame * GROUP..],
        });
    }
}

/// Some of the frames that are left; says how many.
struct Dots<'a, const HOP: usize> {
    x: &'a [f32],
    start: usize,
    left: usize,
    kernels: &'a [f32],
    y: &'a mut [f32],
}

impl<const HOP: usize> Work for Dots<'_, HOP> {
    type Out = usize;

    #[inline(always)]
    fn run<V: Lanes>(self) -> usize {
        match (V::LANES, self.left) {
            (16, 26..) => self.frames::<V, 26, 1>(),
            (16, 6..) => self.frames::<V, 6, 1>(),
            (16, _) => self.frames::<V, 1, 1>(),
            (8, 6..) => self.frames::<V, 6, 2>(),
            (8, _) => self.frames::<V, 1, 2>(),
            (_, 2..) => self.frames::<V, 2, 4>(),
            _ => self.frames::<V, 1, 4>(),
        }
    }
}

impl<const HOP: usize> Dots<'_, HOP> {
    /// `F` frames; `R` vectors make a group.
    #[expect(
        unsafe_code,
        reason = "the inner loop; its bounds are checked before it"
    )]
    #[inline(always)]
    fn frames<V: Lanes, const F: usize, const R: usize>(self) -> usize {
        let Dots {
            x,
            start,
            kernels,
            y,
            ..
        } = self;
        let taps = kernels.len() / GROUP;
        assert_eq!(R * V::LANES, GROUP, "vectors of a group");
        assert!(
            x.len() >= (F - 1) * HOP + start + taps,
            "samples of some frames"
        );
        assert!(y.len() >= F * GROUP, "room for some frames");
        let mut whole = [[0f64; GROUP]; F];
        let mut part = [[0f32; GROUP]; F];
        let mut tap = start;
        for kernels in kernels.chunks(RUN * GROUP) {
            let mut sums = [[V::splat(0.0); R]; F];
            for kernel in kernels.chunks_exact(GROUP) {
                // SAFETY: a tap's kernel holds `R` vectors; the last frame's last tap lies in `x`, as was checked above.
                unsafe {
                    let mut vectors = [V::splat(0.0); R];
                    for (r, vector) in vectors.iter_mut().enumerate() {
                        *vector = V::load(kernel.as_ptr().add(r * V::LANES));
                    }
                    for (f, sum) in sums.iter_mut().enumerate() {
                        let sample = V::splat(*x.get_unchecked(f * HOP + tap));
                        for (sum, vector) in sum.iter_mut().zip(vectors) {
                            *sum = sample.mul_add(vector, *sum);
                        }
                    }
                }
                tap += 1;
            }
            for (part, sum) in part.iter_mut().zip(&sums) {
                for (r, sum) in sum.iter().enumerate() {
                    sum.write(part, r * V::LANES);
                }
            }
            for (whole, part) in whole.iter_mut().zip(&part) {
                for (whole, part) in whole.iter_mut().zip(part) {
                    *whole += f64::from(*part);
                }
            }
        }
        for (y, whole) in y.chunks_exact_mut(GROUP).zip(&whole) {
            for (y, whole) in y.iter_mut().zip(whole) {
                *y = *whole as f32;
            }
        }
        F
    }
}

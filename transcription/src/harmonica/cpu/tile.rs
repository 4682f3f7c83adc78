//! The two inner loops that nearly all time goes into. Both keep a tile of sums in registers and walk once over the terms.
//!
//! * [`tile`]: sums of shifted inputs, `y[m][n] = bias[m] + sum over taps of weight[tap][m] * x[offset[tap] + n]`. Convolutions, harmonic
//!   layers and LSTM gates are all of this shape; they differ in their offsets alone.
//! * [`dots`]: a group of kernels against frames of a signal that overlap, `y[f][k] = sum over taps of kernel[tap][k] * x[f * hop + tap]`.

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Isa, Portable, Simd};

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
    let (rows, columns) = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if outputs.is_multiple_of(8) => (8, 48),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => (4, 96),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => (4, 24),
        Isa::Portable => (4, 8),
    };
    Shape { rows, columns }
}

/// One tile. `shape` must be the one that [`shape`] gave for this `isa`.
///
/// `x` holds the inputs; the tile's first place is `x[at]`. `weights` has `rows` numbers a tap. Row `m` goes to `y[m * stride..]`.
#[expect(
    clippy::too_many_arguments,
    reason = "one call a tile: a struct would be built millions of times"
)]
#[expect(unsafe_code, reason = "the loops below are checked here, once a tile")]
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
    // SAFETY: every offset lies between the lowest and the highest, so all reads lie in `x`; the other lengths were checked above;
    // the variant's instructions are there because `Isa` says so.
    unsafe {
        let x = x.as_ptr().add(at);
        let (list, weights, bias, y) = (
            offsets.list,
            weights.as_ptr(),
            bias.as_ptr(),
            y.as_mut_ptr(),
        );
        match (isa, rows) {
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, 8) => tile_8_512(x, list, weights, bias, y, stride),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, _) => tile_4_512(x, list, weights, bias, y, stride),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, _) => tile_4_256(x, list, weights, bias, y, stride),
            (Isa::Portable, _) => sums::<Portable, 4, 2>(x, list, weights, bias, y, stride),
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

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "called by `tile`, which checked everything")]
#[target_feature(enable = "avx512f")]
unsafe fn tile_8_512(
    x: *const f32,
    offsets: &[i32],
    weights: *const f32,
    bias: *const f32,
    y: *mut f32,
    stride: usize,
) {
    unsafe { sums::<Avx512, 8, 3>(x, offsets, weights, bias, y, stride) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "called by `tile`, which checked everything")]
#[target_feature(enable = "avx512f")]
unsafe fn tile_4_512(
    x: *const f32,
    offsets: &[i32],
    weights: *const f32,
    bias: *const f32,
    y: *mut f32,
    stride: usize,
) {
    unsafe { sums::<Avx512, 4, 6>(x, offsets, weights, bias, y, stride) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "called by `tile`, which checked everything")]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_4_256(
    x: *const f32,
    offsets: &[i32],
    weights: *const f32,
    bias: *const f32,
    y: *mut f32,
    stride: usize,
) {
    unsafe { sums::<Avx2, 4, 3>(x, offsets, weights, bias, y, stride) }
}

#[expect(unsafe_code, reason = "the inner loop; `tile` checks its bounds")]
#[inline(always)]
unsafe fn sums<S: Simd, const M: usize, const N: usize>(
    x: *const f32,
    offsets: &[i32],
    weights: *const f32,
    bias: *const f32,
    y: *mut f32,
    stride: usize,
) {
    unsafe {
        let mut sums = [[S::splat(0.0); N]; M];
        let mut weight = weights;
        for offset in offsets {
            let from = x.offset(*offset as isize);
            let mut inputs = [S::splat(0.0); N];
            for (n, input) in inputs.iter_mut().enumerate() {
                *input = S::load(from.add(n * S::LANES));
            }
            for (m, row) in sums.iter_mut().enumerate() {
                let factor = S::splat(*weight.add(m));
                for (sum, input) in row.iter_mut().zip(inputs) {
                    *sum = S::fma(factor, input, *sum);
                }
            }
            weight = weight.add(M);
        }
        // Last, and so rounded once: where the inputs are tiny, each addition to a large bias would lose some of what a norm then magnifies.
        let one = S::splat(1.0);
        for (m, row) in sums.iter().enumerate() {
            let bias = S::splat(*bias.add(m));
            for (n, sum) in row.iter().enumerate() {
                S::store(y.add(m * stride + n * S::LANES), S::fma(*sum, one, bias));
            }
        }
    }
}

/// A group of kernels against `frames` frames: `y[f * GROUP + k]`. `kernels` has [`GROUP`] numbers a tap.
#[expect(unsafe_code, reason = "the loops below are checked here, once a group")]
pub(crate) fn dots(isa: Isa, x: &[f32], hop: usize, frames: usize, kernels: &[f32], y: &mut [f32]) {
    let taps = kernels.len() / GROUP;
    assert!(frames == 0 || x.len() >= (frames - 1) * hop + taps);
    assert!(y.len() >= frames * GROUP);
    let mut frame = 0;
    while frame < frames {
        let left = frames - frame;
        // SAFETY: the frames from here on, `step` of them at most `left`, lie inside `x` and `y`, as was checked above; the
        // variant's instructions are there because `Isa` says so.
        let step = unsafe {
            let (x, y) = (
                x.as_ptr().add(frame * hop),
                y.as_mut_ptr().add(frame * GROUP),
            );
            let kernels = kernels.as_ptr();
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => dots_512(x, hop, left, kernels, taps, y),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => dots_256(x, hop, left, kernels, taps, y),
                Isa::Portable => several::<Portable, 2, 4>(x, hop, left, kernels, taps, y),
            }
        };
        frame += step;
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "called by `dots`, which checked everything")]
#[target_feature(enable = "avx512f")]
unsafe fn dots_512(
    x: *const f32,
    hop: usize,
    left: usize,
    kernels: *const f32,
    taps: usize,
    y: *mut f32,
) -> usize {
    unsafe {
        if left >= 26 {
            return several::<Avx512, 26, 1>(x, hop, left, kernels, taps, y);
        }
        several::<Avx512, 6, 1>(x, hop, left, kernels, taps, y)
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "called by `dots`, which checked everything")]
#[target_feature(enable = "avx2,fma")]
unsafe fn dots_256(
    x: *const f32,
    hop: usize,
    left: usize,
    kernels: *const f32,
    taps: usize,
    y: *mut f32,
) -> usize {
    unsafe { several::<Avx2, 6, 2>(x, hop, left, kernels, taps, y) }
}

/// `F` frames, or one where fewer are left; `R` vectors make a group. Gives the frames done.
#[expect(unsafe_code, reason = "the inner loop; `dots` checks its bounds")]
#[inline(always)]
unsafe fn several<S: Simd, const F: usize, const R: usize>(
    x: *const f32,
    hop: usize,
    left: usize,
    kernels: *const f32,
    taps: usize,
    y: *mut f32,
) -> usize {
    unsafe {
        if left >= F {
            frames::<S, F, R>(x, hop, kernels, taps, y);
            F
        } else {
            frames::<S, 1, R>(x, hop, kernels, taps, y);
            1
        }
    }
}

#[expect(unsafe_code, reason = "the inner loop; `dots` checks its bounds")]
#[inline(always)]
unsafe fn frames<S: Simd, const F: usize, const R: usize>(
    x: *const f32,
    hop: usize,
    kernels: *const f32,
    taps: usize,
    y: *mut f32,
) {
    unsafe {
        let mut whole = [[0f64; GROUP]; F];
        let mut part = [[0f32; GROUP]; F];
        let mut from = 0;
        while from < taps {
            let until = taps.min(from + RUN);
            let mut sums = [[S::splat(0.0); R]; F];
            for tap in from..until {
                let mut kernel = [S::splat(0.0); R];
                for (r, part) in kernel.iter_mut().enumerate() {
                    *part = S::load(kernels.add(tap * GROUP + r * S::LANES));
                }
                for (f, sum) in sums.iter_mut().enumerate() {
                    let sample = S::splat(*x.add(f * hop + tap));
                    for (sum, part) in sum.iter_mut().zip(kernel) {
                        *sum = S::fma(sample, part, *sum);
                    }
                }
            }
            for (part, sum) in part.iter_mut().zip(&sums) {
                for (r, sum) in sum.iter().enumerate() {
                    S::store(part.as_mut_ptr().add(r * S::LANES), *sum);
                }
            }
            for (whole, part) in whole.iter_mut().zip(&part) {
                for (whole, part) in whole.iter_mut().zip(part) {
                    *whole += f64::from(*part);
                }
            }
            from = until;
        }
        for (f, whole) in whole.iter().enumerate() {
            for (k, whole) in whole.iter().enumerate() {
                *y.add(f * GROUP + k) = *whole as f32;
            }
        }
    }
}

//! Fourier transforms of 288 points, for many columns at once: each vector holds the same point of neighbouring columns, so there is
//! nothing to shuffle.
//!
//! `forward` leaves the frequencies in an order of its own ([`frequency`]) and `inverse` takes them in that order: whoever only
//! multiplies in between need not care. Columns are complex; two real signals travel as one, real and imaginary, through any
//! product with the spectrum of a real kernel.

use std::array::from_fn;
use std::f64::consts::TAU;

use super::{Isa, Lanes, Work};

// Written out, since a closure would be compiled by itself, for no particular processor.
macro_rules! eight_times {
    ($at:ident => $value:expr) => {
        [
            eight_times!(0, $at => $value), eight_times!(1, $at => $value), eight_times!(2, $at => $value), eight_times!(3, $at => $value),
            eight_times!(4, $at => $value), eight_times!(5, $at => $value), eight_times!(6, $at => $value), eight_times!(7, $at => $value),
        ]
    };
    ($number:literal, $at:ident => $value:expr) => {{
        let $at: usize = $number;
        $value
    }};
}

macro_rules! six_times {
    ($at:ident => $value:expr) => {
        [
            eight_times!(0, $at => $value), eight_times!(1, $at => $value), eight_times!(2, $at => $value), eight_times!(3, $at => $value),
            eight_times!(4, $at => $value), eight_times!(5, $at => $value),
        ]
    };
}

/// Points of a transform: `LONG * SHORT * SHORT`.
pub(crate) const POINTS: usize = 288;
const LONG: usize = 8;
const SHORT: usize = 6;
/// Points of each transform that is left after the first step.
const INNER: usize = SHORT * SHORT;
/// Numbers that the work between two steps needs, for the widest vectors.
const SCRATCH: usize = POINTS * 2 * 16;

/// The frequency at a place of a transform's output.
pub(crate) fn frequency(place: usize) -> usize {
    place / INNER + LONG * (place / SHORT % SHORT) + LONG * SHORT * (place % SHORT)
}

/// The turns between the steps, `[cos, -sin]`.
pub(crate) struct Fourier {
    /// `[point of the inner transform][which of eight]`.
    outer: Vec<[[f32; 2]; LONG]>,
    inner: [[[f32; 2]; SHORT]; SHORT],
}

/// Real columns begin at `offsets[point]`, imaginary ones `imaginary` further on.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) offsets: &'a [u32],
    pub(crate) imaginary: usize,
}

impl Rows<'_> {
    #[inline(always)]
    fn at(&self, point: usize, column: usize) -> (usize, usize) {
        let real = self.offsets[point] as usize + column;
        (real, real + self.imaginary)
    }
}

/// Added to each number on the way out; what is negative then becomes zero.
#[derive(Clone, Copy)]
pub(crate) struct BiasRelu(pub(crate) f32);

impl Fourier {
    pub(crate) fn new() -> Self {
        let turn = |points: usize, times: usize| {
            let angle = TAU * times as f64 / points as f64;
            [angle.cos() as f32, -angle.sin() as f32]
        };
        Fourier {
            outer: (0..INNER)
                .map(|point| from_fn(|which| turn(POINTS, point * which)))
                .collect(),
            inner: from_fn(|point| from_fn(|which| turn(INNER, point * which))),
        }
    }

    /// Transforms `columns` columns, a multiple of 16: point `n` from row `n` of `from`, place `p` into row `p` of `to`.
    pub(crate) fn forward(
        &self,
        isa: Isa,
        columns: usize,
        (input, from): (&[f32], Rows<'_>),
        (output, to): (&mut [f32], Rows<'_>),
    ) {
        isa.run(Forward {
            fourier: self,
            columns,
            input,
            from,
            output,
            to,
        });
    }

    /// The way back, without the division by [`POINTS`]; only as many points as `to` has rows are written.
    pub(crate) fn inverse(
        &self,
        isa: Isa,
        columns: usize,
        (input, from): (&[f32], Rows<'_>),
        (output, to): (&mut [f32], Rows<'_>),
        bias: BiasRelu,
    ) {
        isa.run(Inverse {
            fourier: self,
            columns,
            input,
            from,
            output,
            to,
            bias,
        });
    }
}

struct Forward<'a> {
    fourier: &'a Fourier,
    columns: usize,
    input: &'a [f32],
    from: Rows<'a>,
    output: &'a mut [f32],
    to: Rows<'a>,
}

impl Work for Forward<'_> {
    type Out = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let mut scratch = Scratch([0f32; SCRATCH]);
        let work = &mut scratch.0;
        for column in (0..self.columns).step_by(V::LANES) {
            for (point, turns) in self.fourier.outer.iter().enumerate() {
                let outputs: [Complex<V>; LONG] = eight(eight_times!(which => {
                    let (real, imaginary) = self.from.at(point + which * INNER, column);
                    Complex {
                        re: V::read(self.input, real),
                        im: V::read(self.input, imaginary),
                    }
                }));
                for which in 0..LONG {
                    let turned = if which == 0 {
                        outputs[0]
                    } else {
                        outputs[which].turn(turns[which])
                    };
                    turned.keep(work, which * INNER + point);
                }
            }
            for block in 0..LONG {
                for (point, turns) in self.fourier.inner.iter().enumerate() {
                    let first = block * INNER + point;
                    let outputs: [Complex<V>; SHORT] =
                        six(six_times!(which => Complex::kept(work, first + which * SHORT)));
                    for which in 0..SHORT {
                        let turned = if which == 0 {
                            outputs[0]
                        } else {
                            outputs[which].turn(turns[which])
                        };
                        turned.keep(work, first + which * SHORT);
                    }
                }
                for inner in 0..SHORT {
                    let first = block * INNER + inner * SHORT;
                    let outputs: [Complex<V>; SHORT] =
                        six(six_times!(which => Complex::kept(work, first + which)));
                    for (which, value) in outputs.iter().enumerate() {
                        let (real, imaginary) = self.to.at(first + which, column);
                        value.re.write(self.output, real);
                        value.im.write(self.output, imaginary);
                    }
                }
            }
        }
    }
}

struct Inverse<'a> {
    fourier: &'a Fourier,
    columns: usize,
    input: &'a [f32],
    from: Rows<'a>,
    output: &'a mut [f32],
    to: Rows<'a>,
    bias: BiasRelu,
}

impl Work for Inverse<'_> {
    type Out = ();

    /// The forward steps in the opposite order. Real and imaginary change places on the way in and on the way out, which turns a
    /// forward transform into an inverse one.
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let mut scratch = Scratch([0f32; SCRATCH]);
        let work = &mut scratch.0;
        let (bias, zero) = (V::splat(self.bias.0), V::splat(0.0));
        let points = self.to.offsets.len();
        for column in (0..self.columns).step_by(V::LANES) {
            for block in 0..LONG {
                for inner in 0..SHORT {
                    let first = block * INNER + inner * SHORT;
                    let outputs: [Complex<V>; SHORT] = six(six_times!(which => {
                        let (real, imaginary) = self.from.at(first + which, column);
                        Complex {
                            re: V::read(self.input, imaginary),
                            im: V::read(self.input, real),
                        }
                    }));
                    for (which, value) in outputs.iter().enumerate() {
                        value.keep(work, first + which);
                    }
                }
                for (point, turns) in self.fourier.inner.iter().enumerate() {
                    let first = block * INNER + point;
                    let outputs: [Complex<V>; SHORT] = six(six_times!(which => {
                        let value = Complex::kept(work, first + which * SHORT);
                        if which == 0 {
                            value
                        } else {
                            value.turn(turns[which])
                        }
                    }));
                    for (which, value) in outputs.iter().enumerate() {
                        value.keep(work, first + which * SHORT);
                    }
                }
            }
            for (point, turns) in self.fourier.outer.iter().enumerate() {
                let outputs: [Complex<V>; LONG] = eight(eight_times!(which => {
                    let value = Complex::kept(work, which * INNER + point);
                    if which == 0 {
                        value
                    } else {
                        value.turn(turns[which])
                    }
                }));
                for (which, value) in outputs.iter().enumerate() {
                    let point = point + which * INNER;
                    if point < points {
                        let (real, imaginary) = self.to.at(point, column);
                        value.im.add(bias).max(zero).write(self.output, real);
                        value.re.add(bias).max(zero).write(self.output, imaginary);
                    }
                }
            }
        }
    }
}

#[repr(align(64))]
struct Scratch([f32; SCRATCH]);

#[derive(Clone, Copy)]
struct Complex<V> {
    re: V,
    im: V,
}

impl<V: Lanes> Complex<V> {
    #[inline(always)]
    fn kept(work: &[f32; SCRATCH], place: usize) -> Self {
        let at = place * 2 * V::LANES;
        Complex {
            re: V::read(work, at),
            im: V::read(work, at + V::LANES),
        }
    }

    #[inline(always)]
    fn keep(self, work: &mut [f32; SCRATCH], place: usize) {
        let at = place * 2 * V::LANES;
        self.re.write(work, at);
        self.im.write(work, at + V::LANES);
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Complex {
            re: self.re.add(other.re),
            im: self.im.add(other.im),
        }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Complex {
            re: self.re.sub(other.re),
            im: self.im.sub(other.im),
        }
    }

    #[inline(always)]
    fn scale(self, factor: f32) -> Self {
        Complex {
            re: self.re.mul(V::splat(factor)),
            im: self.im.mul(V::splat(factor)),
        }
    }

    /// Times `-i`.
    #[inline(always)]
    fn quarter(self) -> Self {
        Complex {
            re: self.im,
            im: V::splat(0.0).sub(self.re),
        }
    }

    /// Times `re + i im`.
    #[inline(always)]
    fn turn(self, [re, im]: [f32; 2]) -> Self {
        let (re, im) = (V::splat(re), V::splat(im));
        Complex {
            re: self.re.mul(re).sub(self.im.mul(im)),
            im: self.re.mul_add(im, self.im.mul(re)),
        }
    }
}

#[inline(always)]
fn three<V: Lanes>(x: [Complex<V>; 3]) -> [Complex<V>; 3] {
    const HALF_ROOT_OF_THREE: f32 = 0.866_025_4;
    let sum = x[1].add(x[2]);
    let middle = x[0].sub(sum.scale(0.5));
    let side = x[1].sub(x[2]).scale(HALF_ROOT_OF_THREE).quarter();
    [x[0].add(sum), middle.add(side), middle.sub(side)]
}

#[inline(always)]
fn four<V: Lanes>(x: [Complex<V>; 4]) -> [Complex<V>; 4] {
    let (even, odd) = (x[0].add(x[2]), x[1].add(x[3]));
    let (half, quarter) = (x[0].sub(x[2]), x[1].sub(x[3]).quarter());
    [
        even.add(odd),
        half.add(quarter),
        even.sub(odd),
        half.sub(quarter),
    ]
}

/// By threes and twos; their order makes turns between them unnecessary.
#[inline(always)]
fn six<V: Lanes>(x: [Complex<V>; 6]) -> [Complex<V>; 6] {
    let a = three([x[0], x[2], x[4]]);
    let b = three([x[3], x[5], x[1]]);
    [
        a[0].add(b[0]),
        a[1].sub(b[1]),
        a[2].add(b[2]),
        a[0].sub(b[0]),
        a[1].add(b[1]),
        a[2].sub(b[2]),
    ]
}

#[inline(always)]
fn eight<V: Lanes>(x: [Complex<V>; 8]) -> [Complex<V>; 8] {
    let even = four([x[0], x[2], x[4], x[6]]);
    let odd = four([x[1], x[3], x[5], x[7]]);
    let eighth = std::f32::consts::FRAC_1_SQRT_2;
    let turned = [
        odd[0],
        odd[1].add(odd[1].quarter()).scale(eighth),
        odd[2].quarter(),
        odd[3].quarter().sub(odd[3]).scale(eighth),
    ];
    eight_times!(at => {
        if at < 4 {
            even[at % 4].add(turned[at % 4])
        } else {
            even[at % 4].sub(turned[at % 4])
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::noise::noise;

    const COLUMNS: usize = 32;

    fn offsets(points: usize) -> Vec<u32> {
        (0..points as u32)
            .map(|point| point * 2 * COLUMNS as u32)
            .collect()
    }

    fn rows(offsets: &[u32]) -> Rows<'_> {
        Rows {
            offsets,
            imaginary: COLUMNS,
        }
    }

    #[test]
    fn every_frequency_is_the_sum_that_defines_it() {
        let input = noise(4, POINTS * 2 * COLUMNS);
        let offsets = offsets(POINTS);
        for isa in Isa::all() {
            let mut output = vec![0f32; input.len()];
            Fourier::new().forward(
                isa,
                COLUMNS,
                (&input, rows(&offsets)),
                (&mut output, rows(&offsets)),
            );
            for place in 0..POINTS {
                for column in [0, 13, 31] {
                    let (mut re, mut im) = (0f64, 0f64);
                    for point in 0..POINTS {
                        let (sin, cos) = (-TAU * (point * frequency(place) % POINTS) as f64
                            / POINTS as f64)
                            .sin_cos();
                        let (a, b) = (
                            f64::from(input[point * 2 * COLUMNS + column]),
                            f64::from(input[(point * 2 + 1) * COLUMNS + column]),
                        );
                        re += a * cos - b * sin;
                        im += a * sin + b * cos;
                    }
                    let at = place * 2 * COLUMNS + column;
                    let gap = (f64::from(output[at]) - re)
                        .abs()
                        .max((f64::from(output[at + COLUMNS]) - im).abs());
                    // The sums are about ten in size.
                    assert!(
                        gap < 1e-5,
                        "{isa:?}: {gap} at frequency {}",
                        frequency(place)
                    );
                }
            }
        }
    }

    #[test]
    fn there_and_back_is_the_same_with_bias_and_without_the_negative() {
        let input = noise(5, POINTS * 2 * COLUMNS);
        let (all, some) = (offsets(POINTS), offsets(264));
        for isa in Isa::all() {
            let fourier = Fourier::new();
            let mut spectrum = vec![0f32; input.len()];
            fourier.forward(
                isa,
                COLUMNS,
                (&input, rows(&all)),
                (&mut spectrum, rows(&all)),
            );
            let mut back = vec![9f32; input.len()];
            fourier.inverse(
                isa,
                COLUMNS,
                (&spectrum, rows(&all)),
                (&mut back, rows(&some)),
                BiasRelu(20.0),
            );
            let written = 264 * 2 * COLUMNS;
            for (at, (number, original)) in back[..written].iter().zip(&input).enumerate() {
                let expected = (f64::from(*original) * POINTS as f64 + 20.0).max(0.0);
                assert!(
                    (f64::from(*number) - expected).abs() < 1e-4,
                    "{isa:?}: {number} for {expected} at {at}"
                );
            }
            assert!(back[..written].contains(&0.0), "some were negative");
            assert!(
                back[written..].iter().all(|number| *number == 9.0),
                "rows not asked for are not written"
            );
        }
    }

    #[test]
    fn each_frequency_has_one_place() {
        let mut seen: Vec<usize> = (0..POINTS).map(frequency).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..POINTS).collect::<Vec<_>>());
    }
}

//! How activations lie in memory: one plane a channel, a row of 160 numbers for the 156 frames of a chunk, zeros around.
//!
//! The four numbers behind each row stay zero, so a convolution may look past either end of a row, and the zero rows above and below let
//! it look past the plane. A shift in pitch or time is then nothing but an offset, whatever the place.

use super::super::config::CHUNK;
use crate::cpu::for_each_isa;

/// Numbers from one row to the next.
pub(crate) const ROW: usize = 160;
/// Planes of equal places would meet in the same few lines of the cache.
const SKEW: usize = 16;

/// Planes with zeros around them: what a layer reads.
pub(crate) struct Planes {
    pub(crate) numbers: Vec<f32>,
    pub(crate) channels: usize,
    pub(crate) rows: usize,
    /// Zero rows above and below each plane.
    border: usize,
}

impl Planes {
    pub(crate) fn new(channels: usize, rows: usize, border: usize) -> Self {
        let mut planes = Planes {
            numbers: Vec::new(),
            channels,
            rows,
            border,
        };
        planes.numbers = vec![0.0; planes.start(channels) + SKEW];
        planes
    }

    /// Numbers from one plane to the next.
    pub(crate) fn stride(&self) -> usize {
        (self.rows + self.border) * ROW + SKEW
    }

    /// The first row of a plane.
    pub(crate) fn start(&self, channel: usize) -> usize {
        SKEW + self.border * ROW + channel * self.stride()
    }

    /// The rows of a plane, `ROW` numbers each.
    pub(crate) fn plane(&self, channel: usize) -> &[f32] {
        &self.numbers[self.start(channel)..][..self.rows * ROW]
    }

    pub(crate) fn plane_mut(&mut self, channel: usize) -> &mut [f32] {
        let start = self.start(channel);
        &mut self.numbers[start..][..self.rows * ROW]
    }

    /// Puts the zeros behind each row back.
    pub(crate) fn clear_ends(&mut self) {
        for channel in 0..self.channels {
            for row in self.plane_mut(channel).chunks_exact_mut(ROW) {
                row[CHUNK..].fill(0.0);
            }
        }
    }
}

/// What an instance norm does to one plane: `(number - centre) * scale + offset`. Taking the centre away first keeps a plane that is nearly
/// constant from drowning in its own rounding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Affine {
    pub(crate) centre: f32,
    pub(crate) scale: f32,
    pub(crate) offset: f32,
}

/// Lanes that sums are kept in, whatever the processor: the result does not depend on it.
const LANES: usize = 16;

for_each_isa! {
    /// The norm of a plane of raw sums: mean and biased variance over all rows, in two passes, summed row by row in float64.
    pub(crate) fn norm = norm_body(plane: &[f32], weight: f32, bias: f32, found: &mut Affine)
}

#[inline(always)]
fn norm_body(plane: &[f32], weight: f32, bias: f32, found: &mut Affine) {
    let count = (plane.len() / ROW * CHUNK) as f64;
    // From a number in the middle, so that a plane that is nearly constant (silence) loses nothing: the norm would magnify it 300 times.
    let near = plane[plane.len() / ROW / 2 * ROW + CHUNK / 2];
    let mean = f64::from(near) + sum(plane, |number| number - near) / count;
    let centre = mean as f32;
    let variance = sum(plane, |number| (number - centre) * (number - centre)) / count;
    // The mean was rounded; what that added to every square is known.
    let rounding = mean - f64::from(centre);
    let variance = (variance - rounding * rounding).max(0.0);
    let scale = f64::from(weight) / (variance + 1e-5).sqrt();
    *found = Affine {
        centre,
        scale: scale as f32,
        offset: (f64::from(bias) - rounding * scale) as f32,
    };
}

/// Sums over the frames of every row.
#[inline(always)]
fn sum(plane: &[f32], of: impl Fn(f32) -> f32) -> f64 {
    let mut total = [0f64; LANES];
    for row in plane.chunks_exact(ROW) {
        let (whole, rest) = row[..CHUNK].as_chunks::<LANES>();
        let mut lanes = [0f32; LANES];
        for part in whole {
            for (lane, number) in lanes.iter_mut().zip(part) {
                *lane += of(*number);
            }
        }
        for (lane, number) in lanes.iter_mut().zip(rest) {
            *lane += of(*number);
        }
        for (total, lane) in total.iter_mut().zip(lanes) {
            *total += f64::from(lane);
        }
    }
    total.iter().sum()
}

for_each_isa! {
    /// `to = max(0, norm of from)`
    pub(crate) fn activate = activate_body(from: &[f32], norm: Affine, to: &mut [f32])
}

#[inline(always)]
fn activate_body(from: &[f32], norm: Affine, to: &mut [f32]) {
    for (from, to) in from.chunks_exact(ROW).zip(to.chunks_exact_mut(ROW)) {
        for (from, to) in from[..CHUNK].iter().zip(&mut to[..CHUNK]) {
            *to = ((from - norm.centre) * norm.scale + norm.offset).max(0.0);
        }
    }
}

for_each_isa! {
    /// `to = max(0, to + norm of from)`
    pub(crate) fn add_and_activate = add_and_activate_body(from: &[f32], norm: Affine, to: &mut [f32])
}

#[inline(always)]
fn add_and_activate_body(from: &[f32], norm: Affine, to: &mut [f32]) {
    for (from, to) in from.chunks_exact(ROW).zip(to.chunks_exact_mut(ROW)) {
        for (from, to) in from[..CHUNK].iter().zip(&mut to[..CHUNK]) {
            *to = (*to + ((from - norm.centre) * norm.scale + norm.offset)).max(0.0);
        }
    }
}

for_each_isa! {
    /// `to = from * skip.scale + skip.offset`: the stem's one-by-one convolution of its single input.
    pub(crate) fn skip = skip_body(from: &[f32], skip: Affine, to: &mut [f32])
}

#[inline(always)]
fn skip_body(from: &[f32], skip: Affine, to: &mut [f32]) {
    for (from, to) in from.chunks_exact(ROW).zip(to.chunks_exact_mut(ROW)) {
        for (from, to) in from[..CHUNK].iter().zip(&mut to[..CHUNK]) {
            *to = from * skip.scale + skip.offset;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Isa;

    #[test]
    fn a_norm_sees_the_frames_alone_and_survives_a_large_mean() {
        for (mean, spread) in [(0.0, 1.0), (1000.0, 0.5), (0.0, 0.0), (5.0, 0.0)] {
            let mut plane = vec![9e9f32; 3 * ROW];
            let mut numbers = Vec::new();
            for (at, row) in plane.chunks_exact_mut(ROW).enumerate() {
                for (time, number) in row[..CHUNK].iter_mut().enumerate() {
                    *number = (mean
                        + spread * (((at * CHUNK + time) * 37 % 101) as f64 / 50.0 - 1.0))
                        as f32;
                    numbers.push(f64::from(*number));
                }
            }
            let count = numbers.len() as f64;
            let true_mean = numbers.iter().sum::<f64>() / count;
            let variance = numbers
                .iter()
                .map(|number| (number - true_mean).powi(2))
                .sum::<f64>()
                / count;
            for isa in Isa::all() {
                let mut found = Affine {
                    centre: 0.0,
                    scale: 0.0,
                    offset: 0.0,
                };
                norm(isa, &plane, 2.0, 0.25, &mut found);
                for number in &numbers {
                    let expected = (number - true_mean) / (variance + 1e-5).sqrt() * 2.0 + 0.25;
                    let value = (*number as f32 - found.centre) * found.scale + found.offset;
                    let gap = (f64::from(value) - expected).abs();
                    assert!(gap < 2e-6, "{isa:?} {mean} {spread}: {value} {expected}");
                }
            }
        }
    }
}

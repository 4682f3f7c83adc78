//! The constant-Q transform on the CPU, summed in the order in which the package's runtime sums: one fused multiply-add after the
//! other along the taps. Next to silence a bin holds little but rounding, and the logarithm behind it makes that audible: with
//! another order the maps differ by up to 1e-4, with this one the transform is equal to the last bit.
//!
//! Knows nothing of `tch`. Vectors run across time, never along the taps, so any width gives the same sums: the samples of a level
//! lie in as many rows as there are samples from one frame to the next, and a filter's taps are rows of frames.

use super::config::{FRAMES, HOP, WINDOW};
use crate::cpu::Isa;
use crate::cpu::aligned::Aligned;
use crate::cpu::functions::magnitudes;
use crate::cpu::rows::{OUTPUTS, PIECE, Sum};

const TAPS: usize = 256;
const OCTAVES: usize = 9;
/// Filters of an octave.
const FILTERS: usize = 36;
/// Bins of the transform: the highest of nine octaves.
pub(super) const BINS: usize = 309;
/// Bins of the lowest octave that fall away.
const DROPPED: usize = OCTAVES * FILTERS - BINS;
/// Frames as rows hold them: whole vectors.
pub(super) const COLUMNS: usize = FRAMES.next_multiple_of(PIECE);
/// Filters of one sum: half its outputs are their real parts, half their imaginary ones.
const GROUP: usize = OUTPUTS / 2;
/// Rows that eight neighbouring outputs of the low-pass read: each begins two samples after the last.
const LOW_PASS_ROWS: usize = TAPS + 2 * (OUTPUTS - 1);
const NO_BIAS: [f32; OUTPUTS] = [0.0; OUTPUTS];

/// Kernels as the transform wants them.
pub(super) struct ConstantQ {
    isa: Isa,
    /// Four filters each, lowest first.
    groups: Vec<Group>,
    /// `[row][output]`.
    low_pass: Vec<f32>,
    scale: Vec<f32>,
}

struct Group {
    /// Outside of these taps all four are zero; adding zeros changes no sum.
    taps: std::ops::Range<usize>,
    /// `[tap][four real, four imaginary]`.
    weights: Vec<f32>,
}

/// What a transform works in, so that windows need not ask for memory.
pub(super) struct Room {
    levels: Vec<Level>,
    parts: Aligned,
    offsets: Vec<u32>,
}

impl Room {
    pub(super) fn new() -> Self {
        Room {
            levels: (0..OCTAVES).map(Level::new).collect(),
            parts: Aligned::zeros(OUTPUTS * COLUMNS),
            offsets: Vec::with_capacity(LOW_PASS_ROWS),
        }
    }
}

/// A window at one of nine rates: sample `i * hop + phase` is column `i` of row `phase`.
struct Level {
    hop: usize,
    samples: usize,
    /// Columns in front of the first and behind the last.
    margin: usize,
    stride: usize,
    numbers: Aligned,
}

impl Level {
    fn new(octave: usize) -> Self {
        let hop = HOP >> octave;
        let margin = (TAPS / 2 / hop + 1 + OUTPUTS * 2 / hop).next_multiple_of(PIECE);
        let stride = COLUMNS + 2 * margin;
        Level {
            hop,
            samples: WINDOW >> octave,
            margin,
            stride,
            numbers: Aligned::zeros(hop * stride),
        }
    }

    /// Where the row begins whose column 0 is sample `sample`.
    fn row(&self, sample: isize) -> usize {
        let hop = self.hop as isize;
        let column = self.margin as isize + sample.div_euclid(hop);
        sample.rem_euclid(hop) as usize * self.stride + column as usize
    }

    /// Zeros before the first sample and behind the last.
    fn clear_margins(&mut self) {
        for phase in 0..self.hop {
            let row = &mut self.numbers[phase * self.stride..][..self.stride];
            let count = (self.samples - phase).div_ceil(self.hop);
            row[..self.margin].fill(0.0);
            row[self.margin + count..].fill(0.0);
        }
    }

    fn fill(&mut self, window: &[f32]) {
        for first in (0..self.hop).step_by(PIECE) {
            for (column, frame) in window.chunks(self.hop).enumerate() {
                let samples = frame.iter().skip(first).take(PIECE);
                for (phase, sample) in samples.enumerate() {
                    self.numbers[(first + phase) * self.stride + self.margin + column] = *sample;
                }
            }
        }
        self.clear_margins();
    }

    /// Mirrored samples on both sides, the edge itself not repeated.
    fn reflect(&mut self) {
        let last = self.samples as isize - 1;
        for distance in 1..=TAPS as isize / 2 {
            let (before, after) = (self.row(-distance), self.row(last + distance));
            self.numbers[before] = self.numbers[self.row(distance)];
            self.numbers[after] = self.numbers[self.row(last - distance)];
        }
    }
}

impl ConstantQ {
    /// `real` and `imaginary`: `[36, TAPS]`; `low_pass`: `[TAPS]`; `scale`: `[BINS]`.
    pub(super) fn new(
        isa: Isa,
        real: &[f32],
        imaginary: &[f32],
        low_pass: &[f32],
        scale: Vec<f32>,
    ) -> Self {
        let group = |first: usize| {
            let weight = |tap: usize, output: usize| {
                let kernels = if output < GROUP { real } else { imaginary };
                kernels[(first + output % GROUP) * TAPS + tap]
            };
            let used = |tap: &usize| (0..OUTPUTS).any(|output| weight(*tap, output) != 0.0);
            let begin = (0..TAPS).find(used).unwrap_or(0);
            let end = (0..TAPS).rev().find(used).map_or(0, |last| last + 1);
            Group {
                taps: begin..end,
                weights: (begin..end)
                    .flat_map(|tap| (0..OUTPUTS).map(move |output| (tap, output)))
                    .map(|(tap, output)| weight(tap, output))
                    .collect(),
            }
        };
        ConstantQ {
            isa,
            groups: (0..FILTERS).step_by(GROUP).map(group).collect(),
            low_pass: (0..LOW_PASS_ROWS * OUTPUTS)
                .map(|at| {
                    let tap = (at / OUTPUTS).checked_sub(at % OUTPUTS * 2);
                    tap.and_then(|tap| low_pass.get(tap))
                        .copied()
                        .unwrap_or(0.0)
                })
                .collect(),
            scale,
        }
    }

    /// Magnitudes `[BINS][COLUMNS]` of one window, into `magnitude`; columns beyond [`FRAMES`] mean nothing.
    pub(super) fn transform(&self, window: &[f32], room: &mut Room, magnitude: &mut [f32]) {
        debug_assert_eq!((window.len(), magnitude.len()), (WINDOW, COLUMNS * BINS));
        let Room {
            levels,
            parts,
            offsets,
        } = room;
        levels[0].fill(window);
        for octave in 0..OCTAVES {
            let (upper, lower) = levels.split_at_mut(octave + 1);
            let level = &mut upper[octave];
            if let Some(next) = lower.first_mut() {
                self.halve(level, next, offsets);
            }
            level.reflect();
            self.filter(octave, level, offsets, parts, magnitude);
        }
    }

    /// All filters of an octave at every frame, and their magnitudes at their bins.
    fn filter(
        &self,
        octave: usize,
        level: &Level,
        offsets: &mut Vec<u32>,
        parts: &mut [f32],
        magnitude: &mut [f32],
    ) {
        let starts: [usize; OUTPUTS] = std::array::from_fn(|output| output * COLUMNS);
        for (index, group) in self.groups.iter().enumerate() {
            let bins = ((OCTAVES - 1 - octave) * FILTERS + index * GROUP)..;
            if bins.start + GROUP <= DROPPED {
                continue;
            }
            let rows = group.taps.clone();
            offsets.clear();
            offsets.extend(rows.map(|tap| level.row(tap as isize - TAPS as isize / 2) as u32));
            let sum = Sum {
                input: &level.numbers,
                offsets,
                weights: &group.weights,
                bias: &NO_BIAS,
                columns: COLUMNS,
                relu: false,
            };
            sum.into_fused(self.isa, parts, &starts);
            let (real, imaginary) = parts.split_at(GROUP * COLUMNS);
            let parts = real
                .chunks_exact(COLUMNS)
                .zip(imaginary.chunks_exact(COLUMNS));
            for (bin, (real, imaginary)) in bins.zip(parts) {
                let Some(bin) = bin.checked_sub(DROPPED) else {
                    continue;
                };
                let row = &mut magnitude[bin * COLUMNS..][..COLUMNS];
                magnitudes(self.isa, real, imaginary, self.scale[bin], row);
            }
        }
    }

    /// The low-pass at every second sample, zeros around the signal.
    fn halve(&self, level: &Level, next: &mut Level, offsets: &mut Vec<u32>) {
        for first in (0..next.hop).step_by(OUTPUTS) {
            offsets.clear();
            let begin = 2 * first as isize - (TAPS as isize / 2 - 1);
            let samples = begin..begin + LOW_PASS_ROWS as isize;
            offsets.extend(samples.map(|sample| level.row(sample) as u32));
            let phases = first..(first + OUTPUTS).min(next.hop);
            let starts: Vec<usize> = phases.map(|phase| next.row(phase as isize)).collect();
            let sum = Sum {
                input: &level.numbers,
                offsets,
                weights: &self.low_pass,
                bias: &NO_BIAS,
                columns: COLUMNS,
                relu: false,
            };
            sum.into_fused(self.isa, &mut next.numbers, &starts);
        }
        next.clear_margins();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::noise::noise;

    fn reflect(level: &[f32]) -> Vec<f32> {
        let pad = TAPS / 2;
        let before = level[1..=pad].iter().rev();
        let after = level[level.len() - 1 - pad..level.len() - 1].iter().rev();
        before.chain(level).chain(after).copied().collect()
    }

    /// A transform of noise-like kernels and samples, each bin by the definition: one chain of fused multiply-adds.
    #[test]
    fn every_bin_is_one_chain_along_the_taps() {
        let kernels = |seed| -> Vec<f32> {
            let kernels = noise(seed, FILTERS * TAPS);
            // Higher filters are shorter, as the real ones are.
            let used = |at: usize| (at % TAPS).abs_diff(TAPS / 2) < 108 - at / TAPS;
            kernels
                .iter()
                .enumerate()
                .map(|(at, weight)| if used(at) { *weight } else { 0.0 })
                .collect()
        };
        let (real, imaginary) = (kernels(1), kernels(2));
        let low_pass: Vec<f32> = noise(3, TAPS).iter().map(|weight| weight / 64.0).collect();
        let scale: Vec<f32> = (0..BINS).map(|at| 200.0 - at as f32 / 2.0).collect();
        for isa in Isa::all() {
            let transform = ConstantQ::new(isa, &real, &imaginary, &low_pass, scale.clone());
            let mut room = Room::new();
            let mut magnitude = vec![0f32; COLUMNS * BINS];
            // The second window must not hear the first.
            transform.transform(&noise(9, WINDOW), &mut room, &mut magnitude);
            let window = noise(4, WINDOW);
            transform.transform(&window, &mut room, &mut magnitude);
            let mut level = window;
            for octave in 0..OCTAVES {
                let padded = reflect(&level);
                for frame in [0, 1, 85, 170, 171] {
                    for filter in 0..FILTERS {
                        let bin = (OCTAVES - 1 - octave) * FILTERS + filter;
                        let Some(bin) = bin.checked_sub(DROPPED) else {
                            continue;
                        };
                        let chain = |kernels: &[f32]| {
                            (0..TAPS).fold(0f32, |sum, tap| {
                                kernels[filter * TAPS + tap]
                                    .mul_add(padded[frame * (HOP >> octave) + tap], sum)
                            })
                        };
                        let (re, im) = (chain(&real) * scale[bin], chain(&imaginary) * scale[bin]);
                        assert_eq!(
                            magnitude[bin * COLUMNS + frame].to_bits(),
                            (re * re + im * im).sqrt().to_bits(),
                            "{isa:?}: octave {octave}, filter {filter}, frame {frame}"
                        );
                    }
                }
                let at = |at: usize| {
                    at.checked_sub(127)
                        .and_then(|at| level.get(at))
                        .copied()
                        .unwrap_or(0.0)
                };
                level = (0..level.len() / 2)
                    .map(|out| {
                        (0..TAPS).fold(0f32, |sum, tap| {
                            low_pass[tap].mul_add(at(out * 2 + tap), sum)
                        })
                    })
                    .collect();
            }
        }
    }
}

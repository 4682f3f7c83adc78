//! The constant-Q transform on the CPU, summed in the order in which the package's runtime sums: one fused multiply-add after the
//! other along the taps. Next to silence a bin holds little but rounding, and the logarithm behind it makes that audible: with
//! another order the maps differ by up to 1e-4, with this one the transform is equal to the last bit.
//!
//! Knows nothing of `tch`. Vectors run across filters or across time, never along the taps, so any width gives the same sums.

use super::config::{FRAMES, HOP, WINDOW};

const TAPS: usize = 256;
const OCTAVES: usize = 9;
/// Real, then imaginary filters of one octave.
const FILTERS: usize = 72;
/// Filters that one pass keeps in registers, and frames that share a load of them.
const FILTER_BLOCK: usize = 24;
const FRAME_BLOCK: usize = 4;
/// Outputs of the low-pass that one pass keeps in registers.
const LOW_PASS_BLOCK: usize = 64;
/// Bins of the transform: the highest of nine octaves of 36.
pub(super) const BINS: usize = 309;

/// Kernels as the transform wants them.
pub(super) struct ConstantQ {
    /// `[tap][filter]`.
    kernels: Vec<[f32; FILTERS]>,
    /// Outside of these taps all kernels are zero; adding zeros changes no sum.
    taps: std::ops::Range<usize>,
    low_pass: Vec<f32>,
    scale: Vec<f32>,
}

impl ConstantQ {
    /// `real` and `imaginary`: `[36, TAPS]`; `low_pass`: `[TAPS]`; `scale`: `[BINS]`.
    pub(super) fn new(
        real: &[f32],
        imaginary: &[f32],
        low_pass: Vec<f32>,
        scale: Vec<f32>,
    ) -> Self {
        let kernels: Vec<[f32; FILTERS]> = (0..TAPS)
            .map(|tap| {
                let half = FILTERS / 2;
                std::array::from_fn(|filter| {
                    if filter < half {
                        real[filter * TAPS + tap]
                    } else {
                        imaginary[(filter - half) * TAPS + tap]
                    }
                })
            })
            .collect();
        let used = |taps: &[f32; FILTERS]| taps.iter().any(|weight| *weight != 0.0);
        let first = kernels.iter().position(used).unwrap_or(0);
        let last = kernels.iter().rposition(used).map_or(0, |last| last + 1);
        ConstantQ {
            kernels,
            taps: first..last,
            low_pass,
            scale,
        }
    }

    /// Magnitudes `[FRAMES][BINS]` of one window, into `magnitude`.
    pub(super) fn transform(&self, window: &[f32], magnitude: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            #[expect(
                unsafe_code,
                reason = "the processor was just asked whether it has these instructions"
            )]
            // SAFETY: `avx2` and `fma` are there.
            unsafe {
                self.transform_fma(window, magnitude);
            }
            return;
        }
        self.transform_anywhere(window, magnitude);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn transform_fma(&self, window: &[f32], magnitude: &mut [f32]) {
        self.transform_anywhere(window, magnitude);
    }

    #[inline(always)]
    fn transform_anywhere(&self, window: &[f32], magnitude: &mut [f32]) {
        debug_assert_eq!((window.len(), magnitude.len()), (WINDOW, FRAMES * BINS));
        let mut level = window.to_vec();
        let mut filtered = vec![[0f32; FILTERS]; FRAMES];
        for octave in 0..OCTAVES {
            self.filter(&reflect(&level), HOP >> octave, &mut filtered);
            self.magnitudes(octave, &filtered, magnitude);
            if octave + 1 < OCTAVES {
                level = self.halve(&level);
            }
        }
    }

    /// All filters at every `hop`th sample.
    #[inline(always)]
    fn filter(&self, padded: &[f32], hop: usize, filtered: &mut [[f32; FILTERS]]) {
        for (block, frames) in filtered.chunks_exact_mut(FRAME_BLOCK).enumerate() {
            let starts: [&[f32]; FRAME_BLOCK] =
                std::array::from_fn(|frame| &padded[(block * FRAME_BLOCK + frame) * hop..][..TAPS]);
            for first in (0..FILTERS).step_by(FILTER_BLOCK) {
                let mut sums = [[0f32; FILTER_BLOCK]; FRAME_BLOCK];
                for tap in self.taps.clone() {
                    let weights = &self.kernels[tap][first..first + FILTER_BLOCK];
                    for (sums, start) in sums.iter_mut().zip(&starts) {
                        let sample = start[tap];
                        for (sum, weight) in sums.iter_mut().zip(weights) {
                            *sum = weight.mul_add(sample, *sum);
                        }
                    }
                }
                for (frame, sums) in frames.iter_mut().zip(&sums) {
                    frame[first..first + FILTER_BLOCK].copy_from_slice(sums);
                }
            }
        }
    }

    /// Scales an octave's filters and puts their magnitudes at their bins; the lowest fifteen bins of the last octave fall away.
    #[inline(always)]
    fn magnitudes(&self, octave: usize, filtered: &[[f32; FILTERS]], magnitude: &mut [f32]) {
        let half = FILTERS / 2;
        let lowest = ((OCTAVES - 1 - octave) * half) as isize - (OCTAVES * half - BINS) as isize;
        for (frame, row) in filtered.iter().zip(magnitude.chunks_exact_mut(BINS)) {
            for filter in 0..half {
                let Ok(bin) = usize::try_from(lowest + filter as isize) else {
                    continue;
                };
                let (real, imaginary) = (
                    frame[filter] * self.scale[bin],
                    frame[filter + half] * self.scale[bin],
                );
                row[bin] = (real * real + imaginary * imaginary).sqrt();
            }
        }
    }

    /// The low-pass at every second sample, zeros around the signal.
    #[inline(always)]
    fn halve(&self, level: &[f32]) -> Vec<f32> {
        let outputs = level.len() / 2;
        // Even and odd samples apart, so that neighbouring outputs read neighbouring samples.
        let lead = TAPS / 2 - 1;
        let length = outputs + TAPS / 2 + LOW_PASS_BLOCK;
        let padded = |at: usize| {
            at.checked_sub(lead)
                .and_then(|at| level.get(at))
                .copied()
                .unwrap_or(0.0)
        };
        let even: Vec<f32> = (0..length).map(|at| padded(at * 2)).collect();
        let odd: Vec<f32> = (0..length).map(|at| padded(at * 2 + 1)).collect();
        let mut halved = vec![0f32; outputs];
        for (block, out) in halved.chunks_mut(LOW_PASS_BLOCK).enumerate() {
            let mut sums = [0f32; LOW_PASS_BLOCK];
            for (tap, weight) in self.low_pass.iter().enumerate() {
                let side = if tap % 2 == 0 { &even } else { &odd };
                let samples = &side[block * LOW_PASS_BLOCK + tap / 2..][..LOW_PASS_BLOCK];
                for (sum, sample) in sums.iter_mut().zip(samples) {
                    *sum = weight.mul_add(*sample, *sum);
                }
            }
            out.copy_from_slice(&sums[..out.len()]);
        }
        halved
    }
}

/// Half a kernel of mirrored samples on both sides, the edge itself not repeated.
fn reflect(level: &[f32]) -> Vec<f32> {
    let pad = TAPS / 2;
    let before = level[1..=pad].iter().rev();
    let after = level[level.len() - 1 - pad..level.len() - 1].iter().rev();
    before.chain(level).chain(after).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transform of noise-like kernels and samples, each bin by the definition: one chain of fused multiply-adds.
    #[test]
    fn every_bin_is_one_chain_along_the_taps() {
        let noise = |seed: u32| -> f32 {
            (seed.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let tap = |at: usize, salt: u32| {
            if (21..235).contains(&(at % TAPS)) {
                noise(at as u32 + salt)
            } else {
                0.0
            }
        };
        let real: Vec<f32> = (0..36 * TAPS).map(|at| tap(at, 1)).collect();
        let imaginary: Vec<f32> = (0..36 * TAPS).map(|at| tap(at, 77_777)).collect();
        let low_pass: Vec<f32> = (0..TAPS).map(|at| noise(at as u32 + 5) / 64.0).collect();
        let scale: Vec<f32> = (0..BINS).map(|at| 200.0 - at as f32 / 2.0).collect();
        let window: Vec<f32> = (0..WINDOW).map(|at| noise(at as u32 + 1_000_003)).collect();

        let transform = ConstantQ::new(&real, &imaginary, low_pass.clone(), scale.clone());
        let mut magnitude = vec![0f32; FRAMES * BINS];
        transform.transform(&window, &mut magnitude);

        let mut level = window;
        for octave in 0..OCTAVES {
            let padded = reflect(&level);
            for (frame, filter) in [(0, 0), (1, 35), (85, 17), (171, 20)] {
                let bin = (OCTAVES - 1 - octave) * 36 + filter;
                let Some(bin) = bin.checked_sub(OCTAVES * 36 - BINS) else {
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
                    magnitude[frame * BINS + bin].to_bits(),
                    (re * re + im * im).sqrt().to_bits(),
                    "octave {octave}"
                );
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

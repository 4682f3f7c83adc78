//! The front end: `log10(1 + |constant-Q transform|)` of the whole recording at 16 kHz, 264 bins from just below A0, a frame each 32 ms.
//! The kernels are those of nnAudio's `CQT1992v2` with librosa's normalisation, built here in float64 and rounded to float32.
//! Streaming: a frame needs 16,384 samples on either side; no more of the song is kept.
//!
//! It runs on the song's own thread, on any processor alike; only chunks of the result go to the device.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use super::config::{BINS, HOP, SAMPLE_RATE};
use super::cpu::Isa;
use super::cpu::tile::{GROUP, dots};

/// Samples that a frame sees.
const WIDTH: usize = 32_768;
/// Zeros before the first sample and after the last.
const PADDING: usize = WIDTH / 2;
/// Bins of a group: their real parts, then their imaginary ones.
const GROUP_BINS: usize = GROUP / 2;
/// Frames computed together: as many as the widest registers hold sums for.
const BLOCK: usize = 26;

/// Eight neighbouring bins, from the first sample that any of them hears to the last.
struct Group {
    /// Within the frame.
    start: usize,
    /// `[tap][GROUP]`
    taps: Vec<f32>,
}

/// The same for every song: 14 MB.
static GROUPS: LazyLock<Vec<Group>> = LazyLock::new(groups);

/// Length of a bin's kernel.
fn length(bin: usize) -> usize {
    let quality = 1.0 / (2f64.powf(1.0 / 36.0) - 1.0);
    (quality * f64::from(SAMPLE_RATE) / frequency(bin)).ceil() as usize
}

/// Hz. The lowest bin lies below A0, so that three bins are centred on each key.
fn frequency(bin: usize) -> f64 {
    27.5 * 2f64.powf(-1.0 / 36.0) * 2f64.powf(bin as f64 / 36.0)
}

/// Where a bin's kernel starts in the frame, and its complex taps, scaled as the package scales them.
fn kernel(bin: usize) -> (usize, Vec<(f32, f32)>) {
    let length = length(bin);
    // The middle of an odd kernel lies one sample earlier than that of an even one.
    let before = length.div_ceil(2);
    // A periodic Hann window sums to half its length.
    let sum = length as f64 / 2.0;
    let scale = (length as f32).sqrt();
    let (slow, fast) = (1.0 / length as f64, frequency(bin) / f64::from(SAMPLE_RATE));
    let mut taps = Vec::with_capacity(length);
    for first in (0..length).step_by(TURNS) {
        // A few turns of a pointer instead of as many sines; each run begins afresh.
        let mut window = Turn::new(TAU * slow * first as f64, TAU * slow);
        let mut tone = Turn::new(TAU * fast * (first as f64 - before as f64), TAU * fast);
        for _ in first..length.min(first + TURNS) {
            let size = (0.5 - 0.5 * window.cosine) / sum;
            // Rounded, then scaled in float32: the order of the package.
            let real = (size * tone.cosine) as f32 * scale;
            let imaginary = (size * tone.sine) as f32 * scale;
            taps.push((real, imaginary));
            window.step();
            tone.step();
        }
    }
    (PADDING - before, taps)
}

/// Steps between two exact sines.
const TURNS: usize = 64;

/// A pointer that turns by a fixed angle.
struct Turn {
    cosine: f64,
    sine: f64,
    by: (f64, f64),
}

impl Turn {
    fn new(angle: f64, step: f64) -> Self {
        let ((sine, cosine), (step_sine, step_cosine)) = (angle.sin_cos(), step.sin_cos());
        Turn {
            cosine,
            sine,
            by: (step_cosine, step_sine),
        }
    }

    fn step(&mut self) {
        let (cosine, sine) = self.by;
        (self.cosine, self.sine) = (
            self.cosine * cosine - self.sine * sine,
            self.sine * cosine + self.cosine * sine,
        );
    }
}

fn groups() -> Vec<Group> {
    (0..BINS / GROUP_BINS)
        .map(|group| {
            let kernels: Vec<_> = (0..GROUP_BINS)
                .map(|bin| kernel(group * GROUP_BINS + bin))
                .collect();
            let start = kernels.iter().map(|(start, _)| *start).min().unwrap_or(0);
            let end = kernels
                .iter()
                .map(|(start, taps)| start + taps.len())
                .max()
                .unwrap_or(start);
            let mut taps = vec![0f32; (end - start) * GROUP];
            for (bin, (first, kernel)) in kernels.iter().enumerate() {
                for (at, (real, imaginary)) in kernel.iter().enumerate() {
                    let place = (first - start + at) * GROUP + bin;
                    taps[place] = *real;
                    taps[place + GROUP_BINS] = *imaginary;
                }
            }
            Group { start, taps }
        })
        .collect()
}

/// Multiply-adds for one frame: for benchmarks.
pub fn products() -> usize {
    GROUPS.iter().map(|group| group.taps.len()).sum()
}

/// A recording's spectrum as it comes.
pub struct ConstantQ {
    isa: Isa,
    /// The padded recording from sample `done * HOP` on.
    signal: Vec<f32>,
    samples: usize,
    /// Frames made.
    done: usize,
    /// `[frame][GROUP]` of one group.
    products: Vec<f32>,
}

impl Default for ConstantQ {
    fn default() -> Self {
        ConstantQ::new(Isa::detect())
    }
}

impl ConstantQ {
    pub fn new(isa: Isa) -> Self {
        ConstantQ {
            isa,
            signal: vec![0.0; PADDING],
            samples: 0,
            done: 0,
            products: vec![0.0; BLOCK * GROUP],
        }
    }

    /// Takes samples at 16 kHz and appends frames of [`BINS`] numbers, in whole blocks.
    pub fn process(&mut self, samples: &[f32], frames: &mut Vec<f32>) {
        self.samples += samples.len();
        self.signal.extend_from_slice(samples);
        while self.signal.len() >= WIDTH + (BLOCK - 1) * HOP {
            self.block(BLOCK, frames);
        }
    }

    /// The recording has ended: appends the rest, and says how many frames there were in all.
    pub fn finish(&mut self, frames: &mut Vec<f32>) -> usize {
        let total = self.samples / HOP + 1;
        self.signal.resize(self.signal.len() + PADDING, 0.0);
        while self.done < total {
            self.block(BLOCK.min(total - self.done), frames);
        }
        total
    }

    fn block(&mut self, count: usize, frames: &mut Vec<f32>) {
        let first = frames.len();
        frames.resize(first + count * BINS, 0.0);
        let block = &mut frames[first..];
        for (index, group) in GROUPS.iter().enumerate() {
            dots::<HOP>(
                self.isa,
                &self.signal,
                group.start,
                count,
                &group.taps,
                &mut self.products,
            );
            for (frame, products) in self.products.chunks_exact(GROUP).take(count).enumerate() {
                let (real, imaginary) = products.split_at(GROUP_BINS);
                let bins = &mut block[frame * BINS + index * GROUP_BINS..][..GROUP_BINS];
                for ((bin, real), imaginary) in bins.iter_mut().zip(real).zip(imaginary) {
                    *bin = (1.0 + (real * real + imaginary * imaginary).sqrt()).log10();
                }
            }
        }
        self.signal.drain(..count * HOP);
        self.done += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_have_the_published_lengths_and_sizes() {
        for (bin, expected) in [
            (0, 30_510),
            (1, 29_928),
            (2, 29_358),
            (100, 4449),
            (200, 649),
            (263, 193),
        ] {
            assert_eq!(length(bin), expected, "bin {bin}");
            let (_, taps) = kernel(bin);
            let sum: f64 = taps
                .iter()
                .map(|(real, imaginary)| f64::from(*real).hypot(f64::from(*imaginary)))
                .sum();
            assert!((sum / (expected as f64).sqrt() - 1.0).abs() < 1e-5, "{sum}");
        }
        let largest = (0..BINS)
            .flat_map(|bin| kernel(bin).1)
            .map(|(real, imaginary)| real.hypot(imaginary))
            .fold(0f32, f32::max);
        assert!((largest - 0.143_95).abs() < 1e-5, "{largest}");
    }

    fn signal(length: usize) -> Vec<f32> {
        (0..length)
            .map(|at| {
                let seconds = at as f64 / 16_000.0;
                let tone = |hertz: f64| (TAU * hertz * seconds).sin();
                (0.4 * tone(27.5) + 0.2 * tone(440.0) + 0.1 * tone(3951.0)) as f32
            })
            .collect()
    }

    fn run(isa: Isa, samples: &[f32], piece: usize) -> (Vec<f32>, usize) {
        let mut transform = ConstantQ::new(isa);
        let mut frames = Vec::new();
        for part in samples.chunks(piece) {
            transform.process(part, &mut frames);
        }
        let total = transform.finish(&mut frames);
        assert_eq!(frames.len(), total * BINS);
        (frames, total)
    }

    #[test]
    fn every_width_gives_the_definition() {
        let samples = signal(40_000);
        // float64, from the kernels as they are.
        let expected = |frame: usize, bin: usize| {
            let (start, taps) = kernel(bin);
            let (mut real, mut imaginary) = (0f64, 0f64);
            for (at, (r, i)) in taps.iter().enumerate() {
                if let Some(sample) = (frame * HOP + start + at)
                    .checked_sub(PADDING)
                    .and_then(|at| samples.get(at))
                {
                    real += f64::from(*r) * f64::from(*sample);
                    imaginary += f64::from(*i) * f64::from(*sample);
                }
            }
            (1.0 + real.hypot(imaginary)).log10()
        };
        for isa in Isa::all() {
            let (frames, total) = run(isa, &samples, 777);
            assert_eq!(total, 40_000 / HOP + 1);
            for frame in [0, 1, 25, 26, 40, total - 1] {
                for bin in [0, 7, 8, 36, 100, 144, 145, 200, 258, 263] {
                    let found = f64::from(frames[frame * BINS + bin]);
                    let gap = (found - expected(frame, bin)).abs();
                    assert!(gap < 5e-7, "{isa:?} frame {frame} bin {bin}: {gap:e}");
                }
            }
        }
    }

    #[test]
    fn pieces_do_not_matter_and_short_songs_have_a_frame() {
        for length in [0, 1, 511, 512, 513, 20_000] {
            let samples = signal(length);
            let (whole, total) = run(Isa::detect(), &samples, length.max(1));
            assert_eq!(total, length / HOP + 1);
            assert_eq!(run(Isa::detect(), &samples, 100).0, whole, "{length}");
        }
        let (silence, _) = run(Isa::detect(), &[0.0; 5000], 5000);
        assert!(silence.iter().all(|bin| *bin == 0.0));
    }
}

//! Any rate to 16 kHz for profile `seed`: a sinc under a Hann window of six zero crossings, cut at 99 % of the lower rate. Streaming: it
//! keeps a filter's length of the recording and no more.

use super::config::SAMPLE_RATE;

/// Zero crossings on each side.
const CROSSINGS: f64 = 6.0;
/// Of the lower of the two rates.
const ROLLOFF: f64 = 0.99;

pub struct Resampler {
    /// Samples read and written in a round.
    down: usize,
    up: usize,
    /// Zeros before the first sample.
    width: usize,
    /// `[phase][tap]`; empty where nothing is to be done.
    kernels: Vec<f32>,
    taps: usize,
    /// The newest samples, from the next round's first tap on.
    pending: Vec<f32>,
    seen: u64,
    made: u64,
}

impl Resampler {
    pub fn new(rate: u32) -> Self {
        let divisor = gcd(rate.max(1), SAMPLE_RATE);
        let (down, up) = (
            (rate.max(1) / divisor) as usize,
            (SAMPLE_RATE / divisor) as usize,
        );
        let (kernels, width) = if down == up {
            (Vec::new(), 0)
        } else {
            kernels(down, up)
        };
        Resampler {
            down,
            up,
            width,
            kernels,
            taps: 2 * width + down,
            pending: vec![0.0; width],
            seen: 0,
            made: 0,
        }
    }

    /// Takes more of the recording and appends what can be said about it.
    pub fn process(&mut self, samples: &[f32], output: &mut Vec<f32>) {
        if self.kernels.is_empty() {
            output.extend_from_slice(samples);
            return;
        }
        self.seen += samples.len() as u64;
        self.pending.extend_from_slice(samples);
        self.rounds(u64::MAX, output);
    }

    /// The recording has ended: appends the rest, up to the length that the rates ask for.
    pub fn finish(&mut self, output: &mut Vec<f32>) {
        if self.kernels.is_empty() {
            return;
        }
        let total = (self.seen * self.up as u64).div_ceil(self.down as u64);
        self.pending
            .resize(self.pending.len() + self.width + self.down, 0.0);
        self.rounds(total, output);
    }

    fn rounds(&mut self, total: u64, output: &mut Vec<f32>) {
        let mut at = 0;
        while at + self.taps <= self.pending.len() && self.made < total {
            let samples = &self.pending[at..at + self.taps];
            for kernel in self.kernels.chunks_exact(self.taps) {
                if self.made == total {
                    break;
                }
                output.push(dot(samples, kernel));
                self.made += 1;
            }
            at += self.down;
        }
        self.pending.drain(..at);
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Several sums side by side: a processor waits for one.
fn dot(samples: &[f32], kernel: &[f32]) -> f32 {
    let (rounds, rest) = samples.as_chunks::<16>();
    let (taps, last) = kernel.as_chunks::<16>();
    let mut sums = [0f32; 16];
    for (samples, taps) in rounds.iter().zip(taps) {
        for ((sum, sample), tap) in sums.iter_mut().zip(samples).zip(taps) {
            *sum += sample * tap;
        }
    }
    let tail: f32 = rest
        .iter()
        .zip(last)
        .map(|(sample, tap)| sample * tap)
        .sum();
    sums.iter().sum::<f32>() + tail
}

/// The taps of each phase, and how far they reach to either side. A phase's own offset is rounded to float32 first, as the reference
/// library does it.
fn kernels(down: usize, up: usize) -> (Vec<f32>, usize) {
    let base = down.min(up) as f64 * ROLLOFF;
    let width = (CROSSINGS * down as f64 / base).ceil() as usize;
    let mut kernels = Vec::with_capacity(up * (2 * width + down));
    for phase in 0..up {
        let offset = f64::from(-(phase as f32) / up as f32);
        for tap in 0..2 * width + down {
            let place = (tap as f64 - width as f64) / down as f64;
            let turn = ((offset + place) * base).clamp(-CROSSINGS, CROSSINGS);
            let window = (turn * std::f64::consts::PI / CROSSINGS / 2.0)
                .cos()
                .powi(2);
            let angle = turn * std::f64::consts::PI;
            let sinc = if angle == 0.0 {
                1.0
            } else {
                angle.sin() / angle
            };
            kernels.push((sinc * window * base / down as f64) as f32);
        }
    }
    (kernels, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_give_the_same_as_the_whole_and_the_length_is_right() {
        for rate in [8_000, 11_025, 22_050, 44_100, 48_000, 96_000] {
            for length in [1usize, 7, 100, 5_000] {
                let samples: Vec<f32> = (0..length)
                    .map(|at| ((at * at % 97) as f32 - 48.0) / 50.0)
                    .collect();
                let by = |piece: usize| {
                    let (mut resampler, mut output) = (Resampler::new(rate), Vec::new());
                    for part in samples.chunks(piece) {
                        resampler.process(part, &mut output);
                    }
                    resampler.finish(&mut output);
                    output
                };
                let whole = by(length);
                assert_eq!(
                    whole.len() as u64,
                    (length as u64 * 16_000).div_ceil(u64::from(rate)),
                    "{length} at {rate}"
                );
                assert_eq!(by(1), whole);
                assert_eq!(by(333), whole);
            }
        }
    }

    #[test]
    fn a_tone_stays_a_tone() {
        for rate in [22_050, 44_100, 48_000] {
            let tone = |rate: u32, at: usize| {
                (std::f64::consts::TAU * 440.0 * at as f64 / f64::from(rate)).sin() as f32
            };
            let samples: Vec<f32> = (0..rate as usize).map(|at| tone(rate, at)).collect();
            let (mut resampler, mut output) = (Resampler::new(rate), Vec::new());
            resampler.process(&samples, &mut output);
            resampler.finish(&mut output);
            assert_eq!(output.len(), 16_000);
            for (at, sample) in output.iter().enumerate().take(15_800).skip(200) {
                let gap = (sample - tone(16_000, at)).abs();
                assert!(gap < 2e-3, "{gap} at {at} from {rate} Hz");
            }
        }
    }

    #[test]
    fn the_networks_own_rate_passes_untouched() {
        let (mut resampler, mut output) = (Resampler::new(16_000), Vec::new());
        resampler.process(&[1.0, -2.0], &mut output);
        resampler.finish(&mut output);
        assert_eq!(output, [1.0, -2.0]);
    }
}

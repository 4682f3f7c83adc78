//! Any rate to 16 kHz, as `scipy.signal.resample_poly` does it: a Kaiser-windowed sinc, summed in float32 in the order of the samples,
//! so that equal samples come out. Streaming: it keeps a filter's length of the recording and no more.

use super::config::SAMPLE_RATE;

/// Outputs computed side by side: a sum in order is a chain of additions, and the processor can do several chains at once.
const SIDE_BY_SIDE: usize = 4;

pub struct Resampler {
    up: usize,
    down: usize,
    /// `phases[r]` holds `length` taps in the order of the samples they meet.
    phases: Vec<f32>,
    length: usize,
    half: usize,
    /// The newest samples, with `length` zeros before the first.
    history: Vec<f32>,
    /// Index in the recording of `history[length]`.
    first: usize,
    seen: usize,
    made: usize,
}

impl Resampler {
    pub fn new(rate: u32) -> Self {
        let divisor = gcd(rate as usize, SAMPLE_RATE as usize);
        let (up, down) = (SAMPLE_RATE as usize / divisor, rate as usize / divisor);
        let half = 10 * up.max(down);
        let (phases, length) = if up == down {
            (Vec::new(), 0)
        } else {
            phases(&filter(up.max(down), half, up), up)
        };
        Resampler {
            up,
            down,
            phases,
            length,
            half,
            history: vec![0.0; length],
            first: 0,
            seen: 0,
            made: 0,
        }
    }

    /// Takes more of the recording and appends what can be said about it.
    pub fn process(&mut self, samples: &[f32], output: &mut Vec<f32>) {
        if self.length == 0 {
            output.extend_from_slice(samples);
            return;
        }
        self.history.extend_from_slice(samples);
        self.seen += samples.len();
        // Output m needs samples up to (m * down + half) / up.
        let ready = (self.seen * self.up)
            .saturating_sub(self.half)
            .div_ceil(self.down);
        self.make(ready, output);
        let needed = self.newest(self.made).saturating_sub(self.length - 1);
        if needed > self.first + (1 << 15) {
            self.history.drain(..needed - self.first);
            self.first = needed;
        }
    }

    /// The recording has ended: appends the rest.
    pub fn finish(&mut self, output: &mut Vec<f32>) {
        if self.length == 0 {
            return;
        }
        let total = (self.seen * self.up).div_ceil(self.down);
        self.history.resize(self.history.len() + self.length, 0.0);
        self.make(total, output);
    }

    /// The last sample that output `m` meets.
    fn newest(&self, m: usize) -> usize {
        (m * self.down + self.half) / self.up
    }

    fn make(&mut self, until: usize, output: &mut Vec<f32>) {
        output.reserve(until.saturating_sub(self.made));
        while self.made < until {
            let count = SIDE_BY_SIDE.min(until - self.made);
            // The last ones again where fewer are left.
            let lines: [(&[f32], &[f32]); SIDE_BY_SIDE] =
                std::array::from_fn(|at| self.line(self.made + at.min(count - 1)));
            let mut sums = [0f32; SIDE_BY_SIDE];
            for tap in 0..self.length {
                for (sum, (samples, taps)) in sums.iter_mut().zip(&lines) {
                    *sum += samples[tap] * taps[tap];
                }
            }
            output.extend_from_slice(&sums[..count]);
            self.made += count;
        }
    }

    /// The samples that output `m` meets and their taps.
    fn line(&self, m: usize) -> (&[f32], &[f32]) {
        let phase = (m * self.down + self.half) % self.up;
        // `history` begins `length` before `first`, and the line ends with the newest sample.
        let end = self.newest(m) + 1 + self.length - self.first;
        (
            &self.history[end - self.length..end],
            &self.phases[phase * self.length..][..self.length],
        )
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// scipy's filter: designed in float64, rounded to float32, then scaled by `up`.
fn filter(widest: usize, half: usize, up: usize) -> Vec<f32> {
    let cut = 1.0 / widest as f64;
    let scale = bessel_i0(5.0);
    let mut taps: Vec<f64> = (0..=2 * half)
        .map(|at| {
            let from_centre = at as f64 - half as f64;
            let place = from_centre / half as f64;
            let window = bessel_i0(5.0 * (1.0 - place * place).max(0.0).sqrt()) / scale;
            let turn = std::f64::consts::PI * cut * from_centre;
            let sinc = if from_centre == 0.0 {
                1.0
            } else {
                turn.sin() / turn
            };
            cut * sinc * window
        })
        .collect();
    let sum: f64 = taps.iter().sum();
    taps.iter_mut().for_each(|tap| *tap /= sum);
    taps.iter().map(|tap| *tap as f32 * up as f32).collect()
}

/// Modified Bessel function of the first kind; the series converges fast for the arguments here (at most 5).
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..60 {
        term *= quarter / f64::from(k * k);
        sum += term;
    }
    sum
}

/// Sorts the taps by phase, each phase padded in front with zeros to one length.
fn phases(taps: &[f32], up: usize) -> (Vec<f32>, usize) {
    let length = taps.len().div_ceil(up);
    let mut sorted = vec![0f32; up * length];
    for (at, tap) in taps.iter().enumerate() {
        // Samples ascend while the filter's index descends.
        sorted[at % up * length + length - 1 - at / up] = *tap;
    }
    (sorted, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: every sum over the whole recording.
    fn direct(samples: &[f32], rate: u32) -> Vec<f32> {
        let divisor = gcd(rate as usize, SAMPLE_RATE as usize);
        let (up, down) = (SAMPLE_RATE as usize / divisor, rate as usize / divisor);
        let half = 10 * up.max(down);
        let taps = filter(up.max(down), half, up);
        (0..(samples.len() * up).div_ceil(down))
            .map(|m| {
                let mut sum = 0f32;
                for (n, sample) in samples.iter().enumerate() {
                    let at = (half + m * down).wrapping_sub(n * up);
                    if let Some(tap) = taps.get(at) {
                        sum += sample * tap;
                    }
                }
                sum
            })
            .collect()
    }

    #[test]
    fn pieces_give_what_the_definition_gives_to_the_bit() {
        for rate in [8_000, 11_025, 22_050, 44_100, 48_000, 96_000] {
            for length in [1, 7, 100, 1500] {
                let samples: Vec<f32> = (0..length)
                    .map(|at| ((at * at % 97) as f32 - 48.0) / 50.0)
                    .collect();
                let expected = direct(&samples, rate);
                for piece in [1, 64, length] {
                    let mut resampler = Resampler::new(rate);
                    let mut output = Vec::new();
                    for part in samples.chunks(piece) {
                        resampler.process(part, &mut output);
                    }
                    resampler.finish(&mut output);
                    assert_eq!(output, expected, "{length} samples at {rate} Hz by {piece}");
                }
            }
        }
    }

    #[test]
    fn long_recordings_are_forgotten_as_they_pass() {
        let mut resampler = Resampler::new(44_100);
        let mut output = Vec::new();
        for _ in 0..200 {
            output.clear();
            resampler.process(&[0.25; 4410], &mut output);
        }
        assert!(resampler.history.len() < 1 << 17);
        assert!(output.iter().all(|sample| (sample - 0.25).abs() < 1e-3));
    }

    #[test]
    fn the_networks_own_rate_passes_untouched() {
        let mut resampler = Resampler::new(16_000);
        let mut output = Vec::new();
        resampler.process(&[1.0, -2.0], &mut output);
        resampler.finish(&mut output);
        assert_eq!(output, [1.0, -2.0]);
    }
}

//! `NormalizedLog` of the package (`layers/signal.py`) and the batch norm that follows it: magnitudes become decibels, and the range
//! of a window's decibels becomes the range from nothing to one.

use super::layout::{ROW, SPECTRUM_FRAME};
use crate::basic_pitch::config::{FRAMES, SILENT_SPREAD_DB};
use crate::basic_pitch::constant_q::{BINS, COLUMNS};
use crate::cpu::functions::logarithms;
use crate::cpu::{Isa, Lanes, Work};

/// What a vector holds at most.
const WIDEST: usize = 16;

pub(super) struct Normalisation {
    pub(super) scale: f32,
    pub(super) bias: f32,
}

impl Normalisation {
    /// Takes magnitudes `[BINS][COLUMNS]`, leaves them as logarithms and fills the spectrum's rows; the range in dB.
    pub(super) fn run(&self, isa: Isa, magnitude: &mut [f32], spectrum: &mut [f32]) -> f32 {
        isa.run(Power(magnitude));
        logarithms(isa, magnitude);
        let (low, high) = isa.run(Decibels(magnitude));
        let spread = high - low;
        let divisor = if spread < SILENT_SPREAD_DB {
            f32::INFINITY
        } else {
            spread
        };
        isa.run(Normal {
            decibels: magnitude,
            spectrum,
            low,
            divisor,
            scale: self.scale,
            bias: self.bias,
        });
        spread
    }
}

/// A little more than the square of each magnitude.
struct Power<'a>(&'a mut [f32]);

impl Work for Power<'_> {
    type Out = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        for magnitude in self.0 {
            *magnitude = *magnitude * *magnitude + 1e-10;
        }
    }
}

/// Natural logarithms become decibels; the lowest and the highest of all frames.
struct Decibels<'a>(&'a mut [f32]);

impl Work for Decibels<'_> {
    type Out = (f32, f32);

    #[inline(always)]
    fn run<V: Lanes>(self) -> (f32, f32) {
        let (mut low, mut high) = ([f32::INFINITY; WIDEST], [f32::NEG_INFINITY; WIDEST]);
        for row in self.0.chunks_exact_mut(COLUMNS) {
            let row = &mut row[..FRAMES];
            for numbers in row.chunks_mut(WIDEST) {
                for (at, number) in numbers.iter_mut().enumerate() {
                    // In two steps, as the package's runtime rounds.
                    *number = *number * 0.434_294_46 * 10.0;
                    low[at] = if *number < low[at] { *number } else { low[at] };
                    high[at] = if *number > high[at] {
                        *number
                    } else {
                        high[at]
                    };
                }
            }
        }
        (
            low.into_iter().fold(f32::INFINITY, f32::min),
            high.into_iter().fold(f32::NEG_INFINITY, f32::max),
        )
    }
}

struct Normal<'a> {
    decibels: &'a [f32],
    spectrum: &'a mut [f32],
    low: f32,
    divisor: f32,
    scale: f32,
    bias: f32,
}

impl Work for Normal<'_> {
    type Out = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let rows = self.spectrum.chunks_exact_mut(ROW);
        for (row, decibels) in rows.zip(self.decibels.chunks_exact(COLUMNS)).take(BINS) {
            for (out, decibels) in row.iter_mut().zip(&decibels[SPECTRUM_FRAME..FRAMES]) {
                *out = (decibels - self.low) / self.divisor * self.scale + self.bias;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::noise::noise;

    #[test]
    fn the_range_becomes_the_range_from_nothing_to_one() {
        let given: Vec<f32> = noise(1, BINS * COLUMNS)
            .iter()
            .map(|number| number + 0.5)
            .collect();
        for isa in Isa::all() {
            let (mut magnitude, mut spectrum) = (given.clone(), vec![9f32; (BINS + 1) * ROW]);
            let spread = Normalisation {
                scale: 2.0,
                bias: -0.5,
            }
            .run(isa, &mut magnitude, &mut spectrum);
            let decibels = |bin: usize, frame: usize| {
                10.0 * (f64::from(given[bin * COLUMNS + frame]).powi(2) + 1e-10).log10()
            };
            let all = (0..BINS).flat_map(|bin| (0..FRAMES).map(move |frame| decibels(bin, frame)));
            let (low, high) = all.fold((f64::MAX, f64::MIN), |(low, high), db| {
                (low.min(db), high.max(db))
            });
            assert!((f64::from(spread) - (high - low)).abs() < 1e-4, "{spread}");
            for bin in 0..BINS {
                for column in 0..FRAMES - SPECTRUM_FRAME {
                    let exact =
                        (decibels(bin, column + SPECTRUM_FRAME) - low) / (high - low) * 2.0 - 0.5;
                    assert!((f64::from(spectrum[bin * ROW + column]) - exact).abs() < 1e-6);
                }
            }
            assert!(
                spectrum[BINS * ROW..].iter().all(|number| *number == 9.0),
                "the row of zeros is not touched"
            );
        }
    }

    #[test]
    fn a_silent_window_is_empty() {
        let mut magnitude = vec![1e-7f32; BINS * COLUMNS];
        let mut spectrum = vec![9f32; (BINS + 1) * ROW];
        let normalisation = Normalisation {
            scale: 2.0,
            bias: -0.5,
        };
        assert!(normalisation.run(Isa::detect(), &mut magnitude, &mut spectrum) < SILENT_SPREAD_DB);
        assert_eq!(
            spectrum[..FRAMES - SPECTRUM_FRAME],
            [-0.5; FRAMES - SPECTRUM_FRAME]
        );
    }
}

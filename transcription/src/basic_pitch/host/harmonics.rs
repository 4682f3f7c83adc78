//! The first layer, 8 x 8 kernels of 3 frames x 39 bins over the harmonic stack: two thirds of the network's arithmetic when it is
//! done as written, a tenth of that along a Fourier transform of each frame's bins.
//!
//! Two frames travel as one complex column, a frame of the first half and its fellow of the second. The product with the kernels'
//! spectra is a sum of weighted rows in which real and imaginary parts are rows of their own.

use std::f64::consts::TAU;

use super::layout::{BIN_PAD, HIDDEN_ROWS, PADDED_CONTOURS, ROW, stack_row};
use crate::basic_pitch::config::CONTOURS;
use crate::cpu::Isa;
use crate::cpu::aligned::Aligned;
use crate::cpu::fourier::{BiasRelu, Fourier, POINTS, Rows, frequency};
use crate::cpu::rows::{OUTPUTS, Sum};

const CHANNELS: usize = 8;
const FRAMES: usize = 3;
const BINS: usize = 39;
/// Frames of the output that travel as real parts; as many follow as imaginary ones.
const HALF: usize = 80;
/// Columns of the spectra: two more are read, in whole vectors.
const WIDE: usize = 96;
/// Numbers of a frequency: real and imaginary rows of each channel, and a line more, so that frequencies spread over the cache.
const INPUT: usize = CHANNELS * 2 * WIDE + 16;
const OUTPUT: usize = CHANNELS * 2 * HALF + 16;
/// Rows that a frequency of the output sums: real and imaginary, of each channel, of each frame.
const TAPS: usize = CHANNELS * FRAMES * 2;

pub(super) struct Harmonics {
    fourier: Fourier,
    /// `[frequency][real or imaginary output][tap][output]`.
    spectra: Aligned,
    bias: [f32; CHANNELS],
    /// Each channel's rows in the spectrum.
    inputs: Vec<Vec<u32>>,
    taps: Vec<u32>,
    input_places: Vec<u32>,
    output_places: Vec<u32>,
    outputs: Vec<u32>,
}

pub(super) struct Room {
    input: Aligned,
    output: Aligned,
}

impl Room {
    pub(super) fn new() -> Self {
        Room {
            input: Aligned::zeros(POINTS * INPUT),
            output: Aligned::zeros(POINTS * OUTPUT),
        }
    }
}

impl Harmonics {
    /// `weights`: `[8][8][3][39]`.
    pub(super) fn new(weights: &[f32], bias: [f32; CHANNELS]) -> Self {
        let mut spectra = Vec::with_capacity(POINTS * 2 * TAPS * OUTPUTS);
        let turns: [(f64, f64); POINTS] =
            std::array::from_fn(|turn| (TAU * turn as f64 / POINTS as f64).sin_cos());
        for place in 0..POINTS {
            // One kernel's response at this frequency, as a correlation centred on its bin, divided for the way back.
            let response = |output: usize, channel: usize, frame: usize| {
                let kernel =
                    &weights[((output * CHANNELS + channel) * FRAMES + frame) * BINS..][..BINS];
                let (mut re, mut im) = (0f64, 0f64);
                for (bin, weight) in kernel.iter().enumerate() {
                    let turn = frequency(place) * (bin + POINTS - BINS / 2) % POINTS;
                    let (sin, cos) = turns[turn];
                    re += f64::from(*weight) * cos;
                    im += f64::from(*weight) * sin;
                }
                ((re / POINTS as f64) as f32, (im / POINTS as f64) as f32)
            };
            let mut real = Vec::with_capacity(TAPS * OUTPUTS);
            let mut imaginary = Vec::with_capacity(TAPS * OUTPUTS);
            for channel in 0..CHANNELS {
                for frame in 0..FRAMES {
                    let responses: [(f32, f32); OUTPUTS] =
                        std::array::from_fn(|output| response(output, channel, frame));
                    // The input's real part, then its imaginary part.
                    real.extend(responses.map(|(re, _)| re));
                    real.extend(responses.map(|(_, im)| -im));
                    imaginary.extend(responses.map(|(_, im)| im));
                    imaginary.extend(responses.map(|(re, _)| re));
                }
            }
            spectra.append(&mut real);
            spectra.append(&mut imaginary);
        }
        let taps = (0..TAPS).map(|tap| {
            let (channel, frame, part) = (tap / (2 * FRAMES), tap / 2 % FRAMES, tap % 2);
            ((channel * 2 + part) * WIDE + frame) as u32
        });
        let rows = |channel: usize| {
            (0..POINTS)
                .map(|bin| stack_row(channel, bin as isize) as u32)
                .collect()
        };
        Harmonics {
            fourier: Fourier::new(),
            spectra: Aligned::copy_of(&spectra),
            bias,
            inputs: (0..CHANNELS).map(rows).collect(),
            taps: taps.collect(),
            input_places: (0..POINTS).map(|place| (place * INPUT) as u32).collect(),
            output_places: (0..POINTS).map(|place| (place * OUTPUT) as u32).collect(),
            outputs: (0..CONTOURS)
                .map(|bin| ((bin + BIN_PAD) * ROW) as u32)
                .collect(),
        }
    }

    /// From the spectrum to `[channel][padded bin][ROW]`, relu done. Column 0 reads the spectrum's columns 0 to 2.
    pub(super) fn run(&self, isa: Isa, spectrum: &[f32], room: &mut Room, hidden: &mut [f32]) {
        for (channel, offsets) in self.inputs.iter().enumerate() {
            let from = Rows {
                offsets,
                imaginary: HALF,
            };
            let to = Rows {
                offsets: &self.input_places,
                imaginary: WIDE,
            };
            let output = &mut room.input[channel * 2 * WIDE..];
            self.fourier
                .forward(isa, WIDE, (spectrum, from), (output, to));
        }
        let places = room.input.chunks_exact(INPUT);
        let outputs = room.output.chunks_exact_mut(OUTPUT);
        let spectra = self.spectra.chunks_exact(2 * TAPS * OUTPUTS);
        for ((input, output), spectra) in places.zip(outputs).zip(spectra) {
            for (part, weights) in spectra.chunks_exact(TAPS * OUTPUTS).enumerate() {
                let starts: [usize; OUTPUTS] =
                    std::array::from_fn(|output| (output * 2 + part) * HALF);
                let sum = Sum {
                    input,
                    offsets: &self.taps,
                    weights,
                    bias: &[0.0; OUTPUTS],
                    columns: HALF,
                    relu: false,
                };
                sum.into(isa, output, &starts);
            }
        }
        for (channel, bias) in self.bias.iter().enumerate() {
            let from = Rows {
                offsets: &self.output_places,
                imaginary: HALF,
            };
            let to = Rows {
                offsets: &self.outputs,
                imaginary: HALF,
            };
            let input = &room.output[channel * 2 * HALF..];
            let output = &mut hidden[channel * HIDDEN_ROWS * ROW..][..PADDED_CONTOURS * ROW];
            self.fourier
                .inverse(isa, HALF, (input, from), (output, to), BiasRelu(*bias));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basic_pitch::config::HARMONIC_SHIFTS;
    use crate::basic_pitch::constant_q;
    use crate::basic_pitch::host::layout::SPECTRUM_ROWS;
    use crate::cpu::noise::noise;

    #[test]
    fn the_layer_is_the_convolution_that_it_stands_for() {
        let weights = noise(1, CHANNELS * CHANNELS * FRAMES * BINS);
        let bias: [f32; CHANNELS] = noise(2, CHANNELS).try_into().unwrap();
        let mut spectrum = noise(3, SPECTRUM_ROWS * ROW);
        spectrum[constant_q::BINS * ROW..].fill(0.0);
        // A stacked channel's bin: the spectrum's, where both lie inside.
        let stacked = |channel: usize, bin: isize, column: usize| {
            let shifted = bin + HARMONIC_SHIFTS[channel];
            let inside = (0..CONTOURS as isize).contains(&bin)
                && (0..constant_q::BINS as isize).contains(&shifted);
            if inside {
                f64::from(spectrum[shifted as usize * ROW + column])
            } else {
                0.0
            }
        };
        for isa in Isa::all() {
            let layer = Harmonics::new(&weights, bias);
            let mut hidden = Aligned::zeros(CHANNELS * HIDDEN_ROWS * ROW);
            layer.run(isa, &spectrum, &mut Room::new(), &mut hidden);
            for output in 0..CHANNELS {
                for bin in [0, 1, 18, 19, 100, 150, 244, 245, 263] {
                    for column in [0, 79, 80, 159] {
                        let mut exact = f64::from(bias[output]);
                        for channel in 0..CHANNELS {
                            for frame in 0..FRAMES {
                                for tap in 0..BINS {
                                    let weight = weights[((output * CHANNELS + channel) * FRAMES
                                        + frame)
                                        * BINS
                                        + tap];
                                    exact += f64::from(weight)
                                        * stacked(
                                            channel,
                                            (bin + tap) as isize - 19,
                                            column + frame,
                                        );
                                }
                            }
                        }
                        let ours = f64::from(
                            hidden[(output * HIDDEN_ROWS + bin + BIN_PAD) * ROW + column],
                        );
                        // Sums of a thousand products; the values are a few units in size.
                        assert!(
                            (ours - exact.max(0.0)).abs() < 5e-6,
                            "{isa:?}: {ours} for {exact}, output {output}, bin {bin}, column {column}"
                        );
                    }
                }
                for pad in [0, 1, CONTOURS + 2, CONTOURS + 3] {
                    assert!(
                        hidden[(output * HIDDEN_ROWS + pad) * ROW..][..ROW]
                            .iter()
                            .all(|number| *number == 0.0)
                    );
                }
            }
        }
    }
}

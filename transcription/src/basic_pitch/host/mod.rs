//! The network on the CPU, in kernels of our own (`crate::cpu`), one window at a time on one thread: no window's result depends on
//! what shares its batch. Batch norms are folded into the weights; time runs along columns.
//!
//! Knows nothing of `tch`: libtorch's convolutions of few channels reach a fraction of what the processor can do.

mod harmonics;
mod layout;
mod log_power;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use safetensors::SafeTensors;

use super::bends;
use super::config::{CONTOURS, KEPT, PITCHES};
use super::constant_q::{self, ConstantQ};
use super::maps::WindowMaps;
use crate::Error;
use crate::cpu::Isa;
use crate::cpu::aligned::Aligned;
use crate::cpu::convolution::{Convolution, Shape};
use crate::cpu::functions::logistics;
use crate::cpu::rows::OUTPUTS;
use crate::registry::tensors::numbers;
use harmonics::Harmonics;
use layout::*;
use log_power::Normalisation;

/// Rows of a single output that are made together: of eight, most weights would be zeros.
const TOGETHER: usize = 4;

/// A convolution and where its taps' rows begin for the first row of its output.
struct Layer<const N: usize> {
    convolution: Convolution<N>,
    offsets: Vec<u32>,
}

pub(super) struct Host {
    isa: Isa,
    transform: ConstantQ,
    normalisation: Normalisation,
    contour_hidden: Harmonics,
    contour: Layer<TOGETHER>,
    note_hidden: Layer<OUTPUTS>,
    note: Layer<TOGETHER>,
    onset_hidden: Convolution<OUTPUTS>,
    /// Its taps' rows for each pitch: the stack's channels are rows of the spectrum, each shifted and cut on its own.
    onset_hidden_offsets: Vec<Vec<u32>>,
    onset: Layer<TOGETHER>,
    /// Rooms that no thread works in at the moment.
    rooms: Mutex<Vec<Room>>,
}

/// What a window needs on its way.
struct Room {
    transform: constant_q::Room,
    magnitude: Aligned,
    spectrum: Aligned,
    harmonics: harmonics::Room,
    hidden: Aligned,
    contour: Aligned,
    note_hidden: Aligned,
    /// The note map, then the onsets' hidden channels.
    onset_input: Aligned,
    onset: Aligned,
}

impl Room {
    fn new() -> Self {
        Room {
            transform: constant_q::Room::new(),
            magnitude: Aligned::zeros(constant_q::BINS * constant_q::COLUMNS),
            spectrum: Aligned::zeros(SPECTRUM_ROWS * ROW),
            harmonics: harmonics::Room::new(),
            hidden: Aligned::zeros(8 * HIDDEN_ROWS * ROW),
            contour: Aligned::zeros(PADDED_CONTOURS * ROW),
            note_hidden: Aligned::zeros(32 * PADDED_PITCHES * ROW),
            onset_input: Aligned::zeros(33 * PADDED_PITCHES * ROW),
            onset: Aligned::zeros(PITCHES * ROW),
        }
    }
}

impl<const N: usize> Layer<N> {
    /// `channel_rows`: rows of each channel of the input.
    fn new(convolution: Convolution<N>, channel_rows: usize) -> Self {
        Layer {
            offsets: convolution.offsets(|channel, row| (channel * channel_rows + row) * ROW),
            convolution,
        }
    }
}

impl Host {
    pub(super) fn load(weights: &SafeTensors<'_>, isa: Isa) -> Result<Self, Error> {
        let get = |name: &str, shape: &[i64]| numbers(weights, name, shape);
        let parts = |name: &str, shape: Shape| -> Result<(Vec<f32>, Vec<f32>), Error> {
            let sizes = [shape.outputs, shape.channels, shape.times, shape.rows];
            Ok((
                get(&format!("{name}.weight"), &sizes.map(|size| size as i64))?,
                get(&format!("{name}.bias"), &[shape.outputs as i64])?,
            ))
        };
        let shape = |outputs, channels, [times, rows]: [usize; 2]| Shape {
            outputs,
            channels,
            times,
            rows,
        };
        let single = |name: &str, shape: Shape, channel_rows| -> Result<Layer<TOGETHER>, Error> {
            let (weights, bias) = parts(name, shape)?;
            let convolution = Convolution::single(&weights, bias[0], shape);
            Ok(Layer::new(convolution, channel_rows))
        };
        let many = |name: &str, shape: Shape| -> Result<Convolution<OUTPUTS>, Error> {
            let (weights, bias) = parts(name, shape)?;
            Ok(Convolution::many(&weights, &bias, shape))
        };
        let contour_hidden_bias = get("contour_hidden.bias", &[8])?;
        let onset_hidden = many("onset_hidden", shape(32, 8, [5, 5]))?;
        let note_hidden = many("note_hidden", shape(32, 1, [7, 7]))?;
        let onset_hidden_offsets = (0..PITCHES).map(|pitch| {
            onset_hidden.offsets(|channel, row| {
                let bin = (pitch * 3 + row) as isize - 1;
                stack_row(channel, bin) + ONSET_COLUMN
            })
        });
        Ok(Host {
            isa,
            transform: ConstantQ::new(
                isa,
                &get("cqt.real", &[36, 1, 256])?,
                &get("cqt.imaginary", &[36, 1, 256])?,
                &get("cqt.low_pass", &[1, 1, 256])?,
                get("cqt.scale", &[constant_q::BINS as i64, 1])?,
            ),
            normalisation: Normalisation {
                scale: get("norm.scale", &[1])?[0],
                bias: get("norm.bias", &[1])?[0],
            },
            contour_hidden: Harmonics::new(
                &get("contour_hidden.weight", &[8, 8, 3, 39])?,
                std::array::from_fn(|channel| contour_hidden_bias[channel]),
            ),
            contour: single("contour", shape(1, 8, [5, 5]), HIDDEN_ROWS)?,
            note_hidden: Layer::new(note_hidden, PADDED_CONTOURS),
            note: single("note", shape(1, 32, [7, 3]), PADDED_PITCHES)?,
            onset_hidden_offsets: onset_hidden_offsets.collect(),
            onset_hidden,
            onset: single("onset", shape(1, 33, [3, 3]), PADDED_PITCHES)?,
            rooms: Mutex::default(),
        })
    }

    /// The maps of windows of `WINDOW` samples each, on as many threads; `contour`: with the contour map itself.
    pub(super) fn forward(
        &self,
        windows: &[&[f32]],
        threads: usize,
        contour: bool,
    ) -> Vec<WindowMaps> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut room = self.lock().pop().unwrap_or_else(Room::new);
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(window) = windows.get(index) else {
                    break;
                };
                done.push((index, self.window(window, &mut room, contour)));
            }
            self.lock().push(room);
            done
        };
        let mut done = std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads.min(windows.len()))
                .map(|_| scope.spawn(work))
                .collect();
            let mut done = work();
            for helper in helpers {
                match helper.join() {
                    Ok(more) => done.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        });
        done.sort_unstable_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, maps)| maps).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Room>> {
        // Rooms hold nothing that outlives a window.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self, samples: &[f32], room: &mut Room, with_contour: bool) -> WindowMaps {
        let isa = self.isa;
        let Room {
            transform,
            magnitude,
            spectrum,
            harmonics,
            hidden,
            contour,
            note_hidden,
            onset_input,
            onset,
        } = room;
        self.transform.transform(samples, transform, magnitude);
        let log_spread_db = self.normalisation.run(isa, magnitude, spectrum);
        self.contour_hidden.run(isa, spectrum, harmonics, hidden);
        for first in (0..CONTOURS).step_by(TOGETHER) {
            let input = (&hidden[first * ROW..], &*self.contour.offsets);
            let start = |row: usize| (BIN_PAD + first + row) * ROW;
            let convolution = &self.contour.convolution;
            convolution.run(isa, input, CONTOUR_COLUMNS, false, (contour, start));
        }
        logistics(isa, &mut contour[BIN_PAD * ROW..][..CONTOURS * ROW]);
        // Rows of a map are made as soon as those around them are there, while these are in the cache.
        let mut made = 0;
        for pitch in 0..PITCHES {
            let input = (&contour[pitch * 3 * ROW..], &*self.note_hidden.offsets);
            let start = |channel| (channel * PADDED_PITCHES + PITCH_PAD + pitch) * ROW;
            let output = (&mut **note_hidden, start);
            let convolution = &self.note_hidden.convolution;
            convolution.run(isa, input, NOTE_HIDDEN_COLUMNS, true, output);
            while made < PITCHES && pitch >= (made + TOGETHER).min(PITCHES - 1) {
                let input = (&note_hidden[made * ROW..], &*self.note.offsets);
                let output = (&mut **onset_input, |row| (PITCH_PAD + made + row) * ROW);
                let convolution = &self.note.convolution;
                convolution.run(isa, input, PITCH_COLUMNS, false, output);
                made += TOGETHER;
            }
        }
        logistics(isa, &mut onset_input[PITCH_PAD * ROW..][..PITCHES * ROW]);
        let mut made = 0;
        for (pitch, offsets) in self.onset_hidden_offsets.iter().enumerate() {
            let start = |channel| ((channel + 1) * PADDED_PITCHES + PITCH_PAD + pitch) * ROW;
            let output = (&mut **onset_input, start);
            self.onset_hidden
                .run(isa, (spectrum, offsets), PITCH_COLUMNS, true, output);
            while made < PITCHES && pitch >= (made + TOGETHER).min(PITCHES - 1) {
                let input = (&onset_input[made * ROW..], &*self.onset.offsets);
                let output = (&mut **onset, |row| (made + row) * ROW);
                let convolution = &self.onset.convolution;
                convolution.run(isa, input, PITCH_COLUMNS, false, output);
                made += TOGETHER;
            }
        }
        logistics(isa, onset);
        let contour = &contour[BIN_PAD * ROW..][..CONTOURS * ROW];
        WindowMaps {
            note: frames(&onset_input[PITCH_PAD * ROW..][..PITCHES * ROW], KEPT_NOTE),
            onset: frames(onset, 0),
            bend: bends::of_columns(isa, contour, ROW, KEPT_CONTOUR),
            contour: if with_contour {
                frames(contour, KEPT_CONTOUR)
            } else {
                Vec::new()
            },
            log_spread_db,
            song_samples: None,
        }
    }
}

/// The kept frames of a map's rows, one after the other.
fn frames(rows: &[f32], first: usize) -> Vec<f32> {
    let width = rows.len() / ROW;
    let mut frames = vec![0f32; KEPT * width];
    // A few rows at a time, so that both sides stay in the cache.
    for (block, rows) in rows.chunks(8 * ROW).enumerate() {
        for (frame, out) in frames.chunks_exact_mut(width).enumerate() {
            let numbers = rows.chunks_exact(ROW).map(|row| row[first + frame]);
            for (out, number) in out[block * 8..].iter_mut().zip(numbers) {
                *out = number;
            }
        }
    }
    frames
}

//! The network in libtorch, for a GPU: harmonic stacking, then contour, note and onset maps. `basic_pitch/models.py` of 0.4.0, batch
//! norms folded in. Time runs along the third axis, frequency along the fourth.

use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

use super::bends;
use super::config::{CONTOURS, HARMONIC_SHIFTS, KEPT, OVERLAP, PITCHES};
use super::front_end::{BINS, FrontEnd};
use super::maps::WindowMaps;
use crate::Error;
use crate::registry::tensors::tensor;
use crate::shim::Autocast;
use crate::stages::mark;

struct Convolution {
    weight: Tensor,
    bias: Tensor,
    stride: [i64; 2],
    padding: [i64; 2],
}

impl Convolution {
    fn load(
        weights: &SafeTensors<'_>,
        name: &str,
        shape: [i64; 4],
        stride: i64,
        padding: [i64; 2],
        device: Device,
    ) -> Result<Self, Error> {
        Ok(Convolution {
            weight: tensor(weights, &format!("{name}.weight"), &shape, device)?,
            bias: tensor(weights, &format!("{name}.bias"), &shape[..1], device)?,
            stride: [1, stride],
            padding,
        })
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor, Error> {
        Ok(xs.f_conv2d(
            &self.weight,
            Some(&self.bias),
            self.stride,
            self.padding,
            [1, 1],
            1,
        )?)
    }
}

/// The loaded network.
pub(super) struct OnDevice {
    front_end: FrontEnd,
    contour_hidden: Convolution,
    contour: Convolution,
    note_hidden: Convolution,
    note: Convolution,
    onset_hidden: Convolution,
    onset: Convolution,
}

impl OnDevice {
    pub(super) fn load(weights: &SafeTensors<'_>, device: Device) -> Result<Self, Error> {
        let conv = |name, shape, stride, padding| {
            Convolution::load(weights, name, shape, stride, padding, device)
        };
        Ok(OnDevice {
            front_end: FrontEnd::load(weights, device)?,
            contour_hidden: conv("contour_hidden", [8, 8, 3, 39], 1, [1, 19])?,
            contour: conv("contour", [1, 8, 5, 5], 1, [2, 2])?,
            note_hidden: conv("note_hidden", [32, 1, 7, 7], 3, [3, 2])?,
            note: conv("note", [1, 32, 7, 3], 1, [3, 1])?,
            onset_hidden: conv("onset_hidden", [32, 8, 5, 5], 3, [2, 1])?,
            onset: conv("onset", [1, 33, 3, 3], 1, [1, 1])?,
        })
    }

    /// Runs a batch of windows of `WINDOW` samples each.
    pub(super) fn forward(
        &self,
        windows: &[&[f32]],
        contour_wanted: bool,
    ) -> Result<Vec<WindowMaps>, Error> {
        let batch = windows.len();
        let _no_grad = tch::no_grad_guard();
        let (spectrum, spread) = {
            // A spectrum is the logarithm of sums that cancel: with eight bits there is none.
            let _exact = Autocast::suspended(self.contour.bias.device());
            self.front_end.forward(windows)?
        };
        mark("constant-Q transform");
        let stacked = stack_harmonics(&spectrum)?;
        let contour = self
            .contour
            .forward(&self.contour_hidden.forward(&stacked)?.f_relu()?)?
            .f_sigmoid()?;
        mark("harmonics and contour");
        let note = self
            .note
            .forward(&self.note_hidden.forward(&contour)?.f_relu()?)?
            .f_sigmoid()?;
        mark("notes");
        let onset_hidden = self.onset_hidden.forward(&stacked)?.f_relu()?;
        let onset = self
            .onset
            .forward(&Tensor::f_cat(&[&note, &onset_hidden], 1)?)?
            .f_sigmoid()?;
        mark("onsets");
        let notes = kept(&note, batch * KEPT * PITCHES)?;
        let onsets = kept(&onset, batch * KEPT * PITCHES)?;
        let contours = kept(&contour, batch * KEPT * CONTOURS)?;
        let spreads = to_host(&spread, batch)?;
        mark("maps to the host");
        let row = |index: usize| {
            let pitches = index * KEPT * PITCHES..(index + 1) * KEPT * PITCHES;
            let contour = &contours[index * KEPT * CONTOURS..(index + 1) * KEPT * CONTOURS];
            let mut bend = Vec::with_capacity(KEPT * PITCHES);
            bends::extend(contour, &mut bend);
            WindowMaps {
                note: notes[pitches.clone()].to_vec(),
                onset: onsets[pitches].to_vec(),
                bend,
                contour: if contour_wanted {
                    contour.to_vec()
                } else {
                    Vec::new()
                },
                log_spread_db: spreads[index],
                song_samples: None,
            }
        };
        let maps = (0..batch).map(row).collect();
        mark("bends, on the host");
        Ok(maps)
    }
}

/// `HarmonicStacking` (`nn.py`): the spectrum `[batch, FRAMES, BINS]` shifted by each harmonic -> `[batch, 8, FRAMES, CONTOURS]`.
/// What a shift brings in is zero, not the batch norm of zero.
fn stack_harmonics(spectrum: &Tensor) -> Result<Tensor, Error> {
    let mut channels = Vec::with_capacity(HARMONIC_SHIFTS.len());
    for shift in HARMONIC_SHIFTS.map(|shift| shift as i64) {
        let channel = if shift >= 0 {
            let width = (BINS - shift).min(CONTOURS as i64);
            spectrum
                .f_narrow(2, shift, width)?
                .f_constant_pad_nd([0, CONTOURS as i64 - width])?
        } else {
            spectrum
                .f_narrow(2, 0, CONTOURS as i64 + shift)?
                .f_constant_pad_nd([-shift, 0])?
        };
        channels.push(channel);
    }
    Ok(Tensor::f_stack(&channels, 1)?)
}

/// Cuts half an overlap from both ends of `[batch, 1, FRAMES, bins]` and brings the rest to the host.
fn kept(map: &Tensor, length: usize) -> Result<Vec<f32>, Error> {
    to_host(&map.f_narrow(2, OVERLAP as i64 / 2, KEPT as i64)?, length)
}

fn to_host(map: &Tensor, length: usize) -> Result<Vec<f32>, Error> {
    let mut host = vec![0f32; length];
    map.f_contiguous()?
        .f_to_kind(Kind::Float)?
        .f_to_device(Device::Cpu)?
        .f_copy_data(&mut host, length)?;
    Ok(host)
}

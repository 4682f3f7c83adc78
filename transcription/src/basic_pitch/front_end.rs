//! The constant-Q transform in front of the network in libtorch: nnAudio's `CQT2010v2` with fixed kernels, then the package's
//! per-window log normalisation. Shapes: samples `[batch, WINDOW]` -> `[batch, FRAMES, BINS]`.
//!
//! Its sums are those of libtorch's convolutions; `constant_q` on the CPU is equal to the package's to the last bit.

use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

use super::config::{HOP, SILENT_SPREAD_DB, WINDOW};
use super::constant_q;
use crate::Error;
use crate::registry::tensors::tensor;

/// Bins of the transform: 36 an octave.
pub(super) const BINS: i64 = constant_q::BINS as i64;
const OCTAVES: usize = 9;
const TAPS: i64 = 256;

pub(super) struct FrontEnd {
    device: Device,
    /// Real and imaginary kernels of the top octave, `[72, 1, 256]`.
    kernels: Tensor,
    /// Half-band low-pass, `[1, 1, 256]`.
    low_pass: Tensor,
    /// `sqrt(kernel length)` of each bin, `[309, 1]`.
    scale: Tensor,
    norm_scale: f64,
    norm_bias: f64,
}

impl FrontEnd {
    pub(super) fn load(weights: &SafeTensors<'_>, device: Device) -> Result<Self, Error> {
        let real = tensor(weights, "cqt.real", &[36, 1, TAPS], device)?;
        let imaginary = tensor(weights, "cqt.imaginary", &[36, 1, TAPS], device)?;
        let low_pass = tensor(weights, "cqt.low_pass", &[1, 1, TAPS], device)?;
        let scale = tensor(weights, "cqt.scale", &[BINS, 1], device)?;
        Ok(FrontEnd {
            device,
            kernels: Tensor::f_cat(&[real, imaginary], 0)?,
            low_pass,
            scale,
            norm_scale: tensor(weights, "norm.scale", &[1], device)?.f_double_value(&[0])?,
            norm_bias: tensor(weights, "norm.bias", &[1], device)?.f_double_value(&[0])?,
        })
    }

    /// Takes windows of `WINDOW` samples; returns the normalised transform `[batch, FRAMES, BINS]` and each window's range of log
    /// power in dB, `[batch]`.
    pub(super) fn forward(&self, windows: &[&[f32]]) -> Result<(Tensor, Tensor), Error> {
        self.normalise(&self.transform(windows)?)
    }

    fn transform(&self, windows: &[&[f32]]) -> Result<Tensor, Error> {
        let samples = Tensor::f_from_slice(&windows.concat())?
            .f_view([windows.len() as i64, WINDOW as i64])?
            .f_to_device(self.device)?;
        let no_bias: Option<&Tensor> = None;
        let mut level = samples.f_unsqueeze(1)?;
        // One entry an octave, highest first: [batch, 36, FRAMES] of power.
        let mut real = Vec::with_capacity(OCTAVES);
        let mut imaginary = Vec::with_capacity(OCTAVES);
        for octave in 0..OCTAVES {
            let padded = level.f_reflection_pad1d([TAPS / 2, TAPS / 2])?;
            let both = padded.f_conv1d(&self.kernels, no_bias, (HOP >> octave) as i64, 0, 1, 1)?;
            real.push(both.f_narrow(1, 0, 36)?);
            imaginary.push(both.f_narrow(1, 36, 36)?);
            if octave + 1 < OCTAVES {
                level = level.f_conv1d(&self.low_pass, no_bias, 2, TAPS / 2 - 1, 1, 1)?;
            }
        }
        real.reverse();
        imaginary.reverse();
        let lowest = OCTAVES as i64 * 36 - BINS;
        let bins = |octaves: &[Tensor]| -> Result<Tensor, Error> {
            Ok(Tensor::f_cat(octaves, 1)?
                .f_narrow(1, lowest, BINS)?
                .f_mul(&self.scale)?
                .f_square()?)
        };
        Ok(bins(&real)?
            .f_add(&bins(&imaginary)?)?
            .f_sqrt()?
            .f_transpose(1, 2)?)
    }

    /// `NormalizedLog` of the package (`layers/signal.py`) and the batch norm that follows it.
    fn normalise(&self, magnitude: &Tensor) -> Result<(Tensor, Tensor), Error> {
        let log = magnitude
            .f_square()?
            .f_add_scalar(1e-10)?
            .f_log()?
            .f_mul_scalar(0.434_294_46)?
            .f_mul_scalar(10.0)?;
        let above = log.f_sub(&log.f_amin([1, 2], true)?)?;
        let spread = above.f_amax([1, 2], true)?;
        let silent = spread.f_lt(f64::from(SILENT_SPREAD_DB))?;
        let divisor = spread.f_masked_fill(&silent, f64::INFINITY)?;
        let normal = above
            .f_div(&divisor)?
            .f_mul_scalar(self.norm_scale)?
            .f_add_scalar(self.norm_bias)?;
        Ok((normal, spread.f_view([-1])?.f_to_kind(Kind::Float)?))
    }
}

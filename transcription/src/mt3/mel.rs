//! From frequencies to 512 bands, as each profile's library builds the triangles.

use tch::{Device, Kind, Tensor};

use super::config::{BANDS, FREQUENCIES, HIGHEST, LOWEST, Profile, SAMPLE_RATE};
use crate::Error;

/// `[FREQUENCIES, BANDS]`.
pub fn matrix(profile: Profile, device: Device) -> Result<Tensor, Error> {
    let matrix = match profile {
        Profile::Seed => in_hertz()?,
        Profile::Magenta => {
            Tensor::f_from_slice(&in_mels())?.f_reshape([FREQUENCIES as i64, BANDS as i64])?
        }
    };
    Ok(matrix.f_contiguous()?.f_to_device(device)?)
}

/// Triangles that are straight in Hz, every step in float32 by the library that the port itself uses.
fn in_hertz() -> Result<Tensor, Error> {
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let options = (Kind::Float, Device::Cpu);
    let bands = BANDS as i64;
    let frequencies =
        Tensor::f_linspace(0.0, f64::from(SAMPLE_RATE / 2), FREQUENCIES as i64, options)?;
    let points = Tensor::f_linspace(mel(LOWEST), mel(HIGHEST), bands + 2, options)?;
    let points = Tensor::f_pow_scalar(10.0, &points.f_div_scalar(2595.0)?)?
        .f_sub_scalar(1.0)?
        .f_mul_scalar(700.0)?;
    let widths = points
        .f_narrow(0, 1, bands + 1)?
        .f_sub(&points.f_narrow(0, 0, bands + 1)?)?;
    let slopes = points.f_unsqueeze(0)?.f_sub(&frequencies.f_unsqueeze(1)?)?;
    let down = slopes
        .f_narrow(1, 0, bands)?
        .f_mul_scalar(-1.0)?
        .f_div(&widths.f_narrow(0, 0, bands)?)?;
    let up = slopes
        .f_narrow(1, 2, bands)?
        .f_div(&widths.f_narrow(0, 1, bands)?)?;
    Ok(down.f_minimum(&up)?.f_clamp_min(0.0)?)
}

/// Triangles that are straight in mel; the frequency zero belongs to none.
fn in_mels() -> Vec<f32> {
    let mel = |hertz: f64| 1127.0 * (1.0 + hertz / 700.0).ln();
    let (low, high) = (mel(LOWEST), mel(HIGHEST));
    let edge = |at: usize| low + (high - low) * at as f64 / (BANDS + 1) as f64;
    let mut matrix = vec![0f32; FREQUENCIES * BANDS];
    for (bin, row) in matrix.chunks_exact_mut(BANDS).enumerate().skip(1) {
        let here = mel(bin as f64 * f64::from(SAMPLE_RATE / 2) / (FREQUENCIES - 1) as f64);
        for (band, weight) in row.iter_mut().enumerate() {
            let (from, centre, to) = (edge(band), edge(band + 1), edge(band + 2));
            let up = (here - from) / (centre - from);
            let down = (to - here) / (to - centre);
            *weight = up.min(down).max(0.0) as f32;
        }
    }
    matrix
}

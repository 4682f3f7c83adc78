//! What the device does at best: a product of large matrices, and a copy. And a proof that float32 is all there.

use std::fmt;
use std::time::Instant;

use tch::{Device, Kind, Tensor};
use transcription::{Error, device::synchronise};

const ROUNDS: usize = 5;
/// TF32 keeps 10 bits of the fraction: sums of 64 products are off by 2e-4 somewhere, in float32 by 1e-6.
const EXACT: f64 = 2e-5;
const TERMS: i64 = 64;

pub(crate) struct Roofline {
    /// Multiply-adds a second.
    pub(crate) products: f64,
    /// Read and written.
    pub(crate) bytes_a_second: f64,
    side: i64,
}

impl Roofline {
    pub(crate) fn measure(device: Device, side: i64, copy_bytes: usize) -> Result<Self, Error> {
        let _no_grad = tch::no_grad_guard();
        let options = (Kind::Float, device);
        let (a, b) = (
            Tensor::f_rand([side, side], options)?,
            Tensor::f_rand([side, side], options)?,
        );
        let product = best(device, || {
            drop(a.f_matmul(&b)?);
            Ok(())
        })?;
        let from = Tensor::f_ones([(copy_bytes / 4) as i64], options)?;
        let mut to = from.f_zeros_like()?;
        let copy = best(device, || {
            to.f_copy_(&from)?;
            Ok(())
        })?;
        Ok(Roofline {
            products: (side as f64).powi(3) / product,
            bytes_a_second: 2.0 * (copy_bytes / 4 * 4) as f64 / copy,
            side,
        })
    }
}

impl fmt::Display for Roofline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = self.side;
        write!(
            f,
            "a product of {side} x {side} matrices: {:.3} million million multiply-adds a second; a copy: {:.2} thousand million bytes a second, read and written",
            self.products / 1e12,
            self.bytes_a_second / 1e9
        )
    }
}

/// Seconds of the best of some rounds, each until the device is at rest.
fn best(device: Device, mut work: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    work()?;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        synchronise(device)?;
        let begun = Instant::now();
        work()?;
        synchronise(device)?;
        best = best.min(begun.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Fails where products are shortened (TF32), whoever forces that.
pub(crate) fn check_float32(device: Device) -> Result<(), Box<dyn std::error::Error>> {
    let _no_grad = tch::no_grad_guard();
    let side = 512;
    let a = Tensor::f_rand([side, TERMS], (Kind::Double, Device::Cpu))?.f_to_kind(Kind::Float)?;
    let b = Tensor::f_rand([TERMS, side], (Kind::Double, Device::Cpu))?.f_to_kind(Kind::Float)?;
    let exact = a
        .f_to_kind(Kind::Double)?
        .f_matmul(&b.f_to_kind(Kind::Double)?)?;
    let found = a.f_to_device(device)?.f_matmul(&b.f_to_device(device)?)?;
    let found = found.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
    let gap = found
        .f_sub(&exact)?
        .f_div(&exact)?
        .f_abs()?
        .f_max()?
        .f_double_value(&[])?;
    if gap > EXACT {
        return Err(format!(
            "products are off by {gap:.1e}: not float32; is NVIDIA_TF32_OVERRIDE set?"
        )
        .into());
    }
    println!("float32 in full: products are off by {gap:.1e} at most");
    Ok(())
}

//! Samples to log-mel frames, for a batch of segments on the device.

use tch::{Device, Kind, Tensor};

use super::config::{FLOOR, HOP, Profile, WINDOW};
use super::mel;
use super::segments::Passage;
use crate::Error;
use crate::stages::mark;

pub struct FrontEnd {
    profile: Profile,
    device: Device,
    /// Hann, periodic; that of `seed` is rounded to float32, as its library has it.
    window: Tensor,
    mel: Tensor,
}

impl FrontEnd {
    pub fn new(profile: Profile, device: Device) -> Result<Self, Error> {
        let kind = match profile {
            Profile::Seed => Kind::Float,
            Profile::Magenta => Kind::Double,
        };
        let window = Tensor::f_hann_window(WINDOW as i64, (kind, Device::Cpu))?;
        let window = window.f_to_kind(Kind::Double)?;
        Ok(FrontEnd {
            profile,
            device,
            window: window.f_to_device(device)?,
            mel: mel::matrix(profile, device)?,
        })
    }

    /// `[passages, frames, BANDS]`; frames that are not there are zero, which in logarithms is not silence.
    pub fn frames(&self, passages: &[&Passage]) -> Result<Tensor, Error> {
        let length = passages.first().map_or(0, |passage| passage.samples.len());
        let mut samples = Vec::with_capacity(passages.len() * length);
        for passage in passages {
            samples.extend_from_slice(&passage.samples);
        }
        let samples = Tensor::f_from_slice(&samples)?
            .f_reshape([passages.len() as i64, length as i64])?
            .f_to_device(self.device)?;
        // In float64: the logarithm of what is almost nothing magnifies rounding, which would be of no use to anybody.
        let magnitudes = samples
            .f_unfold(1, WINDOW as i64, HOP as i64)?
            .f_mul(&self.window)?
            .f_fft_rfft(None::<i64>, -1, "backward")?
            .f_abs()?
            .f_to_kind(Kind::Float)?;
        let bands = magnitudes.f_matmul(&self.mel)?;
        let logarithms = match self.profile {
            Profile::Seed => bands.f_clamp_min(FLOOR)?,
            // Only what is nothing is raised, not what is little.
            Profile::Magenta => bands.f_where_scalarother(&bands.f_gt(0.0)?, FLOOR)?,
        }
        .f_log()?;
        for (index, passage) in passages.iter().enumerate() {
            let there = passage.frames as i64;
            let row = logarithms.f_get(index as i64)?;
            let all = row.size()[0];
            if there < all {
                let _ = row.f_narrow(0, there, all - there)?.f_zero_()?;
            }
        }
        mark("front end");
        Ok(logarithms)
    }
}

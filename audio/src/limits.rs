//! How much of a recording one is willing to decode.

use std::ops::RangeInclusive;

use crate::{Error, Probe};

/// What is refused before or while decoding.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Decoded seconds, counted while streaming; `None` = no limit.
    pub max_seconds: Option<f64>,
    pub max_channels: u16,
    /// Accepted sample rates in Hz.
    pub sample_rates: RangeInclusive<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_seconds: None,
            max_channels: 8,
            sample_rates: 4_000..=384_000,
        }
    }
}

impl Limits {
    /// What a header already tells. A probe gives zeros where only decoding can tell; those pass here and are seen then.
    pub fn check_header(&self, probe: &Probe) -> Result<(), Error> {
        if probe.sample_rate == 0 || probe.channels == 0 {
            return Ok(());
        }
        self.check(probe.sample_rate, probe.channels)
    }

    pub(crate) fn check(&self, sample_rate: u32, channels: u16) -> Result<(), Error> {
        if channels == 0 || channels > self.max_channels {
            return Err(Error::Limits(format!(
                "it has {channels} channels, at most {} are accepted",
                self.max_channels
            )));
        }
        if !self.sample_rates.contains(&sample_rate) {
            return Err(Error::Limits(format!(
                "its sample rate is {sample_rate} Hz, {} to {} Hz are accepted",
                self.sample_rates.start(),
                self.sample_rates.end()
            )));
        }
        Ok(())
    }

    /// Fails once more frames were decoded than the limit allows.
    pub(crate) fn check_length(&self, frames: u64, sample_rate: u32) -> Result<(), Error> {
        match self.max_seconds {
            Some(limit_seconds) if frames as f64 > limit_seconds * f64::from(sample_rate) => {
                Err(Error::TooLong { limit_seconds })
            }
            _ => Ok(()),
        }
    }
}

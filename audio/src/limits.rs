//! How much of a recording one is willing to decode.

use std::ops::RangeInclusive;

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
        Limits { max_seconds: None, max_channels: 8, sample_rates: 4_000..=384_000 }
    }
}

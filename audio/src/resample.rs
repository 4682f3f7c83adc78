//! Another sample rate, sample-exact with soxr HQ as the reference uses it.

use crate::Error;

/// soxr HQ over mono samples; the identity when both rates are equal.
pub struct Resampler {}

impl Resampler {
    pub fn new(_from_hz: u32, _to_hz: u32) -> Result<Self, Error> {
        todo!()
    }

    /// Appends what is ready to `output`.
    pub fn process(&mut self, _input: &[f32], _output: &mut Vec<f32>) -> Result<(), Error> {
        todo!()
    }

    /// Appends the rest: in all `ceil(n * to / from)` samples.
    pub fn finish(&mut self, _output: &mut Vec<f32>) -> Result<(), Error> {
        todo!()
    }
}

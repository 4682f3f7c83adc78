//! Another sample rate, sample for sample as the reference stack does it: libsoxr's recipe "HQ" on mono float32, cut or padded to `ceil(n * to / from)` samples.

use soxr::Soxr;
use soxr::format::Mono;
use soxr::params::{QualityRecipe, QualitySpec, RuntimeSpec};

use crate::Error;

/// Samples that are fetched from libsoxr at a time.
const CHUNK: usize = 16 * 1024;

/// soxr HQ over mono samples; the identity when both rates are equal.
pub struct Resampler {
    /// `None`: nothing to do.
    soxr: Option<Soxr<Mono<f32>>>,
    /// Exactly the quotient that the reference computes, since the length is derived from it.
    ratio: f64,
    samples_in: u64,
    samples_out: u64,
    chunk: Vec<f32>,
}

impl Resampler {
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, Error> {
        if from_hz == 0 || to_hz == 0 {
            return Err(Error::Limits(format!(
                "{from_hz} Hz cannot be resampled to {to_hz} Hz"
            )));
        }
        let soxr = (from_hz != to_hz)
            .then(|| {
                Soxr::new_with_params(
                    f64::from(from_hz),
                    f64::from(to_hz),
                    QualitySpec::new(QualityRecipe::high()),
                    RuntimeSpec::default(),
                )
            })
            .transpose()
            .map_err(|error| {
                Error::Limits(format!(
                    "{from_hz} Hz cannot be resampled to {to_hz} Hz: {error}"
                ))
            })?;
        Ok(Resampler {
            soxr,
            ratio: f64::from(to_hz) / f64::from(from_hz),
            samples_in: 0,
            samples_out: 0,
            chunk: vec![0.0; CHUNK],
        })
    }

    /// Appends what is ready to `output`.
    pub fn process(&mut self, input: &[f32], output: &mut Vec<f32>) -> Result<(), Error> {
        self.samples_in += input.len() as u64;
        let Some(soxr) = &mut self.soxr else {
            self.samples_out += input.len() as u64;
            output.extend_from_slice(input);
            return Ok(());
        };
        let mut rest = input;
        while !rest.is_empty() {
            let done = soxr.process(rest, &mut self.chunk).map_err(broken)?;
            output.extend_from_slice(&self.chunk[..done.output_frames]);
            self.samples_out += done.output_frames as u64;
            rest = &rest[done.input_frames..];
        }
        Ok(())
    }

    /// Appends the rest: in all `ceil(n * to / from)` samples. Call it once, at the end.
    pub fn finish(&mut self, output: &mut Vec<f32>) -> Result<(), Error> {
        let Some(soxr) = &mut self.soxr else {
            return Ok(());
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of samples"
        )]
        let wanted = (self.samples_in as f64 * self.ratio).ceil() as u64;
        while self.samples_in > 0 {
            let count = soxr.drain(&mut self.chunk).map_err(broken)?;
            if count == 0 {
                break;
            }
            output.extend_from_slice(&self.chunk[..count]);
            self.samples_out += count as u64;
        }
        let excess = usize::try_from(self.samples_out.saturating_sub(wanted)).unwrap_or(0);
        output.truncate(output.len().saturating_sub(excess));
        let missing = usize::try_from(wanted.saturating_sub(self.samples_out)).unwrap_or(0);
        output.resize(output.len() + missing, 0.0);
        self.samples_out = wanted;
        Ok(())
    }
}

fn broken(error: soxr::Error) -> Error {
    Error::Undecodable(format!("the resampler failed: {error}"))
}

//! Samples to and from files: raw floats as the synthesiser writes them, 16-bit WAV as a user has it.

use std::path::Path;

use anyhow::{Context, Result};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::clip::Spoil;

pub(crate) const RATE: u32 = 44_100;
const PEAK: f32 = 0.7;

/// Interleaved stereo.
pub(crate) struct Sound(pub(crate) Vec<f32>);

impl Sound {
    /// Little-endian 32-bit floats.
    pub(crate) fn from_raw(file: &Path) -> Result<Self> {
        let bytes = fs_err::read(file)?;
        let samples = bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        Ok(Sound(samples.collect()))
    }

    pub(crate) fn loudest(&self) -> f32 {
        self.0
            .iter()
            .fold(0.0, |loudest, sample| loudest.max(sample.abs()))
    }

    /// The same peak for every recording, then what is done to it.
    pub(crate) fn finished(mut self, spoil: Spoil, seed: u64) -> Result<Self> {
        let loudest = self.loudest();
        anyhow::ensure!(loudest > 0.0, "the synthesiser gave silence");
        self.scale(PEAK / loudest);
        match spoil {
            Spoil::Nothing => {}
            Spoil::Quieter { by_db } => self.scale(amplitude(by_db)),
            Spoil::Noise { below_db } => {
                let power =
                    self.0.iter().map(|sample| sample * sample).sum::<f32>() / self.0.len() as f32;
                // A uniform source between -1 and 1 has a third of a unit's power.
                let level = power.sqrt() * 3f32.sqrt() * amplitude(below_db);
                let mut random = StdRng::seed_from_u64(seed);
                for sample in &mut self.0 {
                    *sample += level * random.random_range(-1.0..1.0);
                }
            }
            Spoil::Clipped { at_percent } => {
                let most = PEAK * at_percent as f32 / 100.0;
                for sample in &mut self.0 {
                    *sample = sample.clamp(-most, most);
                }
            }
        }
        Ok(self)
    }

    fn scale(&mut self, factor: f32) {
        for sample in &mut self.0 {
            *sample *= factor;
        }
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer =
            hound::WavWriter::create(file, spec).with_context(|| file.display().to_string())?;
        for sample in &self.0 {
            writer.write_sample((sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16)?;
        }
        Ok(writer.finalize()?)
    }

    /// The mean of both channels.
    pub(crate) fn mono(&self) -> Vec<f32> {
        self.0
            .chunks_exact(2)
            .map(|pair| (pair[0] + pair[1]) / 2.0)
            .collect()
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.0.len() as f64 / 2.0 / f64::from(RATE)
    }
}

fn amplitude(below_db: u32) -> f32 {
    10f32.powf(-(below_db as f32) / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone() -> Sound {
        Sound(
            (0..RATE as usize * 2)
                .map(|i| (i as f32 * 0.05).sin() * 0.1)
                .collect(),
        )
    }

    fn power(samples: impl Iterator<Item = f32>) -> f32 {
        samples.map(|sample| sample * sample).sum()
    }

    #[test]
    fn noise_lies_as_far_below_as_was_asked() {
        let clean = tone().finished(Spoil::Nothing, 1).unwrap();
        let noisy = tone().finished(Spoil::Noise { below_db: 20 }, 1).unwrap();
        let noise = power(
            noisy
                .0
                .iter()
                .zip(&clean.0)
                .map(|(noisy, clean)| noisy - clean),
        );
        let ratio_db = 10.0 * (power(clean.0.iter().copied()) / noise).log10();
        assert!((ratio_db - 20.0).abs() < 0.2, "{ratio_db}");
    }

    #[test]
    fn quieter_and_clipped_have_their_peaks() {
        let quieter = tone().finished(Spoil::Quieter { by_db: 20 }, 1).unwrap();
        assert!((quieter.loudest() - 0.07).abs() < 1e-6);
        let clipped = tone()
            .finished(Spoil::Clipped { at_percent: 50 }, 1)
            .unwrap();
        assert!((clipped.loudest() - 0.35).abs() < 1e-6);
        assert!(Sound(vec![0.0; 8]).finished(Spoil::Nothing, 1).is_err());
    }
}

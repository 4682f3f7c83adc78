//! A recording becomes segments of samples at 16 kHz, each with what its last frames reach beyond it. Spectra are the device's work.

use std::sync::Arc;

use super::config::{HOP, Profile, SAMPLE_RATE, Shape, WINDOW};
use super::resample::Resampler;
use crate::Error;
use crate::network::Segments;

/// What is asked of a segment's tokens.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    /// At most so many tokens, the first one included; the network's own limit where none is given.
    pub limit: Option<usize>,
    /// The end does not come before that limit.
    pub forced: bool,
    /// What may be said, token by token; all where none are given.
    pub allowed: Option<Vec<bool>>,
}

/// One device row's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// [`Shape::samples`] samples.
    pub samples: Vec<f32>,
    /// Frames that are there; those after them are nothing.
    pub frames: usize,
    /// Seconds, not yet on the grid of steps.
    pub start: f64,
    pub rules: Arc<Rules>,
}

/// Cuts samples that come in pieces.
pub struct Cutter {
    profile: Profile,
    frames: usize,
    rules: Arc<Rules>,
    /// From the next segment's start on.
    pending: Vec<f32>,
    index: usize,
    ended: bool,
}

impl Cutter {
    pub fn new(profile: Profile, shape: &Shape, rules: Rules) -> Self {
        Cutter {
            profile,
            frames: shape.frames,
            rules: Arc::new(rules),
            pending: Vec::new(),
            index: 0,
            ended: false,
        }
    }

    /// Where samples are to be added.
    pub fn samples(&mut self) -> &mut Vec<f32> {
        &mut self.pending
    }

    /// The next segment that is full of frames.
    pub fn full(&mut self) -> Option<Passage> {
        let needed = match self.profile {
            Profile::Seed => (self.frames - 1) * HOP + WINDOW,
            // Its spectrum is of its own samples alone.
            Profile::Magenta => self.frames * HOP,
        };
        (self.pending.len() >= needed).then(|| self.cut(self.frames))
    }

    /// The next of the segments that are left when the song has ended; `None` after the last.
    pub fn last(&mut self) -> Option<Passage> {
        if self.ended {
            return None;
        }
        let whole = self.pending.len().div_ceil(HOP) * HOP;
        let frames = match self.profile {
            Profile::Seed => (whole + HOP).saturating_sub(WINDOW) / HOP,
            // A whole frame more where nothing is missing.
            Profile::Magenta => self.pending.len() / HOP + 1,
        };
        self.ended = true;
        // `full` has taken all but what is shorter than a segment; for `seed` even that may be one, filled up to a whole frame.
        (frames > 0).then(|| self.cut(frames.min(self.frames)))
    }

    fn cut(&mut self, frames: usize) -> Passage {
        let length = self.frames * HOP + WINDOW - HOP;
        let own = match self.profile {
            Profile::Seed => length,
            Profile::Magenta => self.frames * HOP,
        };
        let mut samples = self.pending[..own.min(self.pending.len())].to_vec();
        samples.resize(length, 0.0);
        self.pending
            .drain(..(self.frames * HOP).min(self.pending.len()));
        let start = self.profile.start_time(self.index, self.frames);
        self.index += 1;
        Passage {
            samples,
            frames,
            start,
            rules: Arc::clone(&self.rules),
        }
    }
}

enum AnyResampler {
    Hann(Resampler),
    Soxr(audio::Resampler),
}

/// The lazy cut of one recording.
pub struct Passages {
    recording: audio::Recording,
    resampler: AnyResampler,
    cutter: Cutter,
    mono: Vec<f32>,
    ended: bool,
}

impl Passages {
    pub fn new(
        recording: audio::Recording,
        profile: Profile,
        shape: &Shape,
        rules: Rules,
    ) -> Result<Self, Error> {
        let rate = recording.sample_rate();
        let resampler = match profile {
            Profile::Seed => AnyResampler::Hann(Resampler::new(rate)),
            Profile::Magenta => AnyResampler::Soxr(audio::Resampler::new(rate, SAMPLE_RATE)?),
        };
        Ok(Passages {
            resampler,
            recording,
            cutter: Cutter::new(profile, shape, rules),
            mono: Vec::new(),
            ended: false,
        })
    }

    /// Reads one more block.
    fn read(&mut self) -> Result<(), Error> {
        let block = self.recording.next_block()?;
        let output = self.cutter.samples();
        match &block {
            Some(block) => {
                audio::downmix(&block.samples, self.recording.channels(), &mut self.mono);
                match &mut self.resampler {
                    AnyResampler::Hann(resampler) => resampler.process(&self.mono, output),
                    AnyResampler::Soxr(resampler) => resampler.process(&self.mono, output)?,
                }
            }
            None => {
                match &mut self.resampler {
                    AnyResampler::Hann(resampler) => resampler.finish(output),
                    AnyResampler::Soxr(resampler) => resampler.finish(output)?,
                }
                self.ended = true;
            }
        }
        Ok(())
    }
}

impl Segments for Passages {
    type Segment = Passage;

    fn next(&mut self) -> Result<Option<Passage>, Error> {
        loop {
            if let Some(passage) = self.cutter.full() {
                return Ok(Some(passage));
            }
            if self.ended {
                return Ok(self.cutter.last());
            }
            self.read()?;
        }
    }

    fn recording(&self) -> &audio::Recording {
        &self.recording
    }

    fn expected(&self) -> Option<u64> {
        let samples = (self.recording.duration_seconds()? * f64::from(SAMPLE_RATE)).ceil() as u64;
        let (hop, window) = (HOP as u64, WINDOW as u64);
        let frames = match self.cutter.profile {
            Profile::Seed => (samples.div_ceil(hop) * hop + hop).saturating_sub(window) / hop,
            Profile::Magenta => samples / hop + 1,
        };
        Some(frames.div_ceil(self.cutter.frames as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::PUBLISHED;
    use super::*;

    fn passages(profile: Profile, samples: usize, piece: usize) -> Vec<Passage> {
        let song: Vec<f32> = (0..samples).map(|at| at as f32 + 1.0).collect();
        let mut cutter = Cutter::new(profile, &PUBLISHED, Rules::default());
        let mut passages = Vec::new();
        for part in song.chunks(piece) {
            cutter.samples().extend_from_slice(part);
            passages.extend(std::iter::from_fn(|| cutter.full()));
        }
        passages.extend(std::iter::from_fn(|| cutter.full()));
        passages.extend(std::iter::from_fn(|| cutter.last()));
        passages
    }

    #[test]
    fn frames_are_those_of_the_profiles() {
        const SEGMENT: usize = 256 * HOP;
        for samples in [
            0,
            1,
            127,
            128,
            129,
            1_920,
            1_921,
            2_047,
            2_048,
            2_049,
            SEGMENT - 1,
            SEGMENT,
            SEGMENT + 1,
            SEGMENT + 1_792,
            SEGMENT + 1_793,
            SEGMENT + 1_919,
            SEGMENT + 1_920,
            SEGMENT + 1_921,
            2 * SEGMENT,
            100_800,
        ] {
            let whole = samples.div_ceil(128) * 128;
            let seed = if whole < WINDOW {
                0
            } else {
                (whole - WINDOW) / 128 + 1
            };
            for (profile, frames) in [(Profile::Seed, seed), (Profile::Magenta, samples / 128 + 1)]
            {
                for piece in [1_000, 40_000, samples.max(1)] {
                    let cut = passages(profile, samples, piece);
                    let counts: Vec<usize> = cut.iter().map(|passage| passage.frames).collect();
                    assert_eq!(
                        counts.iter().sum::<usize>(),
                        frames,
                        "{samples} samples, {profile}"
                    );
                    assert_eq!(
                        counts.len(),
                        frames.div_ceil(256),
                        "{samples} samples, {profile}"
                    );
                    for (index, passage) in cut.iter().enumerate() {
                        assert!(index + 1 == cut.len() || passage.frames == 256);
                        assert_eq!(passage.samples.len(), PUBLISHED.samples());
                        let sees = if profile == Profile::Seed {
                            PUBLISHED.samples()
                        } else {
                            SEGMENT
                        };
                        for at in [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1_919] {
                            let place = index * SEGMENT + at;
                            let expected = if at < sees && place < samples {
                                place as f32 + 1.0
                            } else {
                                0.0
                            };
                            assert_eq!(
                                passage.samples[at], expected,
                                "{samples} samples, {profile}, {at}"
                            );
                        }
                    }
                }
            }
        }
    }
}

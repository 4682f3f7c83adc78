//! A recording becomes segments: 44,100 Hz with all channels kept, eight seconds of zeros before and after, and windows of sixteen
//! seconds that overlap by half. Neighbours share their samples.

use std::sync::Arc;

use super::config::{SAMPLE_RATE, Shape};
use crate::Error;
use crate::network::Segments;

/// Samples from one segment's start to the next one's.
struct Block {
    /// `[channel][step]`
    samples: Vec<f32>,
    channels: usize,
}

/// One window of a song.
#[derive(Clone)]
pub struct Segment {
    first: Arc<Block>,
    second: Arc<Block>,
    length: usize,
}

impl Segment {
    /// A window of nothing, to fill a batch with.
    pub fn silence(shape: &Shape) -> Self {
        let block = Arc::new(Block {
            samples: vec![0.0; shape.step()],
            channels: 1,
        });
        Segment {
            first: Arc::clone(&block),
            second: block,
            length: shape.segment(),
        }
    }

    pub fn channels(&self) -> usize {
        self.first.channels
    }

    /// A channel's samples, in two pieces.
    pub fn channel(&self, channel: usize) -> [&[f32]; 2] {
        let step = self.first.samples.len() / self.first.channels;
        let first = channel * step..(channel + 1) * step;
        let second = channel * step..channel * step + self.length - step;
        [&self.first.samples[first], &self.second.samples[second]]
    }

    /// Whether it holds nothing but zeros.
    pub fn is_silent(&self) -> bool {
        (0..self.channels())
            .flat_map(|channel| self.channel(channel))
            .flatten()
            .all(|sample| *sample == 0.0)
    }
}

/// The lazy cut of one recording.
pub struct Cut {
    shape: Shape,
    recording: audio::Recording,
    /// One for each channel: the rate conversion knows nothing of the others.
    resamplers: Vec<audio::Resampler>,
    /// Of each channel, from the next block on.
    pending: Vec<Vec<f32>>,
    plane: Vec<f32>,
    ahead: Option<Arc<Block>>,
    begun: bool,
    ended: bool,
}

impl Cut {
    pub fn new(shape: Shape, recording: audio::Recording) -> Result<Self, Error> {
        let channels = usize::from(recording.channels());
        let resamplers = (0..channels)
            .map(|_| audio::Resampler::new(recording.sample_rate(), SAMPLE_RATE))
            .collect::<Result<_, _>>()?;
        Ok(Cut {
            shape,
            recording,
            resamplers,
            pending: vec![vec![0.0; shape.lead()]; channels],
            plane: Vec::new(),
            ahead: None,
            begun: false,
            ended: false,
        })
    }

    /// Reads one more block of the recording, or the end of it.
    fn read(&mut self) -> Result<(), Error> {
        let channels = self.resamplers.len();
        let block = self.recording.next_block()?;
        for (channel, (resampler, pending)) in self
            .resamplers
            .iter_mut()
            .zip(&mut self.pending)
            .enumerate()
        {
            match &block {
                Some(block) => {
                    self.plane.clear();
                    let samples = block.samples.iter().skip(channel).step_by(channels);
                    // The package reads whole numbers, in which what is louder than full scale is cut off.
                    self.plane
                        .extend(samples.map(|sample| sample.clamp(-1.0, 1.0)));
                    resampler.process(&self.plane, pending)?;
                }
                None => {
                    resampler.finish(pending)?;
                    pending.resize(pending.len() + self.shape.lead(), 0.0);
                }
            }
        }
        self.ended = block.is_none();
        Ok(())
    }

    /// The next block; the last one is filled with zeros.
    fn block(&mut self) -> Result<Option<Arc<Block>>, Error> {
        let step = self.shape.step();
        let ready = |pending: &[Vec<f32>]| pending.first().map_or(0, Vec::len);
        while !self.ended && ready(&self.pending) < step {
            self.read()?;
        }
        if ready(&self.pending) == 0 {
            return Ok(None);
        }
        let mut samples = Vec::with_capacity(self.pending.len() * step);
        for pending in &mut self.pending {
            let count = step.min(pending.len());
            samples.extend(pending.drain(..count));
            samples.resize(samples.len() + step - count, 0.0);
        }
        Ok(Some(Arc::new(Block {
            samples,
            channels: self.pending.len(),
        })))
    }
}

impl Segments for Cut {
    type Segment = Segment;

    fn next(&mut self) -> Result<Option<Segment>, Error> {
        if !self.begun {
            self.begun = true;
            self.ahead = self.block()?;
        }
        let Some(first) = self.ahead.take() else {
            return Ok(None);
        };
        self.ahead = self.block()?;
        let second = self.ahead.clone().unwrap_or_else(|| {
            Arc::new(Block {
                samples: vec![0.0; first.samples.len()],
                channels: first.channels,
            })
        });
        Ok(Some(Segment {
            first,
            second,
            length: self.shape.segment(),
        }))
    }

    fn recording(&self) -> &audio::Recording {
        &self.recording
    }

    fn expected(&self) -> Option<u64> {
        let samples = self.recording.duration_seconds()? * f64::from(SAMPLE_RATE);
        let padded = samples.ceil() as u64 + 2 * self.shape.lead() as u64;
        Some(padded.div_ceil(self.shape.step() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stereo, at the network's own rate: sample `n` is `n` on the left and `-n` on the right, scaled.
    fn recording(samples: usize) -> audio::Recording {
        of_samples(samples, value)
    }

    fn of_samples(samples: usize, value: impl Fn(usize) -> f32) -> audio::Recording {
        let data = 8 * samples as u32;
        let mut wav = Vec::new();
        wav.extend(b"RIFF");
        wav.extend((36 + data).to_le_bytes());
        wav.extend(b"WAVEfmt \x10\0\0\0\x03\0\x02\0");
        wav.extend(SAMPLE_RATE.to_le_bytes());
        wav.extend((8 * SAMPLE_RATE).to_le_bytes());
        wav.extend(b"\x08\0\x20\0data");
        wav.extend(data.to_le_bytes());
        for at in 0..samples {
            wav.extend(value(at).to_le_bytes());
            wav.extend((-value(at)).to_le_bytes());
        }
        let source = Box::new(std::io::Cursor::new(wav));
        audio::Recording::open(source, None, audio::Limits::default()).unwrap()
    }

    fn value(at: usize) -> f32 {
        (at + 1) as f32 / (1 << 24) as f32
    }

    #[test]
    fn what_is_louder_than_full_scale_is_cut_off() {
        let loud = |at: usize| [0.5, 1.0, 1.5, -5.0][at];
        let mut cut = Cut::new(Shape::PUBLISHED, of_samples(4, loud)).unwrap();
        let found = cut.next().unwrap().unwrap().channel(0).concat();
        let lead = Shape::PUBLISHED.lead();
        assert_eq!(found[lead..lead + 4], [0.5, 1.0, 1.0, -1.0]);
    }

    #[test]
    fn segments_are_cut_where_the_package_cuts_them() {
        let shape = Shape {
            hop_seconds: 1,
            ..Shape::PUBLISHED
        };
        let (lead, step, length) = (shape.lead(), shape.step(), shape.segment());
        for samples in [
            1,
            1000,
            step - lead,
            2 * step - 2 * lead,
            2 * step - 2 * lead + 1,
            100_000,
        ] {
            let mut cut = Cut::new(shape, recording(samples)).unwrap();
            let count = (samples + 2 * lead).div_ceil(step);
            assert_eq!(cut.expected(), Some(count as u64), "{samples} samples");
            for index in 0..count {
                let segment = cut.next().unwrap().unwrap();
                assert_eq!(segment.channels(), 2);
                for (channel, sign) in [(0, 1.0), (1, -1.0)] {
                    let found = segment.channel(channel).concat();
                    assert_eq!(found.len(), length);
                    for (at, found) in found.iter().enumerate() {
                        let expected = (index * step + at)
                            .checked_sub(lead)
                            .filter(|at| *at < samples)
                            .map_or(0.0, |at| sign * value(at));
                        assert_eq!(*found, expected, "{samples} samples, {index}, {at}");
                    }
                }
            }
            assert!(cut.next().unwrap().is_none(), "{samples} samples");
        }
    }
}

//! A recording becomes chunks of its log spectrum: mean of the channels, 16 kHz, constant-Q, then pieces of 156 frames that overlap by half.
//! The zeros around the song are zeros of the spectrum, not of the sound; the network's norms see them, so they belong to the model.

use super::config::{BINS, CHUNK, HOP, KEPT, MARGIN, SAMPLE_RATE};
use super::constant_q::ConstantQ;
use super::network::Chunk;
use super::resample::Resampler;
use crate::Error;
use crate::network::Segments;

/// Cuts frames that come in pieces. A chunk that is full of frames is never the last one, since the next one begins inside what it keeps.
pub struct Cutter {
    /// Frames of [`BINS`] numbers from the next chunk's start on.
    pending: Vec<f32>,
    /// The next chunk.
    index: usize,
}

impl Default for Cutter {
    fn default() -> Self {
        Cutter {
            pending: vec![0.0; MARGIN * BINS],
            index: 0,
        }
    }
}

impl Cutter {
    /// Where frames are to be added.
    pub fn frames(&mut self) -> &mut Vec<f32> {
        &mut self.pending
    }

    pub fn full(&mut self) -> Option<Chunk> {
        (self.pending.len() >= CHUNK * BINS).then(|| self.cut(None))
    }

    /// The next of the chunks that are left when the song of so many frames has ended; `None` after the last.
    pub fn last(&mut self, song_frames: usize) -> Option<Chunk> {
        let count = song_frames.div_ceil(KEPT).max(1);
        (self.index < count).then(|| {
            self.pending.resize(CHUNK * BINS, 0.0);
            self.cut((self.index + 1 == count).then_some(song_frames))
        })
    }

    fn cut(&mut self, song_frames: Option<usize>) -> Chunk {
        let frames = &self.pending[..CHUNK * BINS];
        // Time runs along rows from here on.
        let mut spectrum = vec![0f32; CHUNK * BINS];
        for (time, frame) in frames.chunks_exact(BINS).enumerate() {
            for (bin, value) in frame.iter().enumerate() {
                spectrum[bin * CHUNK + time] = *value;
            }
        }
        self.pending.drain(..KEPT * BINS);
        self.index += 1;
        Chunk {
            spectrum,
            song_frames,
        }
    }
}

/// The lazy cut of one recording.
pub struct Chunks {
    recording: audio::Recording,
    resampler: Resampler,
    transform: ConstantQ,
    cutter: Cutter,
    mono: Vec<f32>,
    resampled: Vec<f32>,
    song_frames: Option<usize>,
}

impl Chunks {
    pub fn new(recording: audio::Recording) -> Self {
        Chunks {
            resampler: Resampler::new(recording.sample_rate()),
            recording,
            transform: ConstantQ::default(),
            cutter: Cutter::default(),
            mono: Vec::new(),
            resampled: Vec::new(),
            song_frames: None,
        }
    }

    /// Reads one more block into `resampled`; false at the end.
    fn read(&mut self) -> Result<bool, Error> {
        self.resampled.clear();
        let block = self.recording.next_block()?;
        match &block {
            Some(block) => {
                audio::downmix(&block.samples, self.recording.channels(), &mut self.mono);
                self.resampler.process(&self.mono, &mut self.resampled);
            }
            None => self.resampler.finish(&mut self.resampled),
        }
        Ok(block.is_some())
    }

    /// The song at 16 kHz, for comparisons with the package.
    pub fn samples(mut self) -> Result<Vec<f32>, Error> {
        let mut samples = Vec::new();
        loop {
            let more = self.read()?;
            samples.extend_from_slice(&self.resampled);
            if !more {
                return Ok(samples);
            }
        }
    }

    /// The same, and its spectrum frame by frame.
    pub fn front_end(self) -> Result<(Vec<f32>, Vec<f32>), Error> {
        let (samples, mut frames) = (self.samples()?, Vec::new());
        let mut transform = ConstantQ::default();
        transform.process(&samples, &mut frames);
        transform.finish(&mut frames);
        Ok((samples, frames))
    }

    /// All chunks of samples at 16 kHz.
    pub fn of_samples(samples: &[f32]) -> Vec<Chunk> {
        let (mut transform, mut cutter) = (ConstantQ::default(), Cutter::default());
        let mut chunks = Vec::new();
        for part in samples.chunks(SAMPLE_RATE as usize) {
            transform.process(part, cutter.frames());
            chunks.extend(std::iter::from_fn(|| cutter.full()));
        }
        let song_frames = transform.finish(cutter.frames());
        chunks.extend(std::iter::from_fn(|| cutter.full()));
        chunks.extend(std::iter::from_fn(|| cutter.last(song_frames)));
        chunks
    }
}

impl Segments for Chunks {
    type Segment = Chunk;

    fn next(&mut self) -> Result<Option<Chunk>, Error> {
        loop {
            if let Some(chunk) = self.cutter.full() {
                return Ok(Some(chunk));
            }
            if let Some(song_frames) = self.song_frames {
                return Ok(self.cutter.last(song_frames));
            }
            let more = self.read()?;
            self.transform
                .process(&self.resampled, self.cutter.frames());
            if !more {
                self.song_frames = Some(self.transform.finish(self.cutter.frames()));
            }
        }
    }

    fn recording(&self) -> &audio::Recording {
        &self.recording
    }

    fn expected(&self) -> Option<u64> {
        let samples = self.recording.duration_seconds()? * f64::from(SAMPLE_RATE);
        let frames = (samples / HOP as f64).floor() + 1.0;
        Some((frames / KEPT as f64).ceil().max(1.0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_cut_where_the_package_cuts_them() {
        for (song, count) in [
            (1, 1),
            (77, 1),
            (78, 1),
            (79, 2),
            (116, 2),
            (117, 2),
            (156, 2),
            (157, 3),
            (1000, 13),
        ] {
            for piece in [1, 26, 10_000] {
                let mut cutter = Cutter::default();
                let mut chunks = Vec::new();
                let frames: Vec<f32> = (0..song * BINS).map(|at| at as f32 + 1.0).collect();
                for part in frames.chunks(piece * BINS) {
                    cutter.frames().extend_from_slice(part);
                    chunks.extend(std::iter::from_fn(|| cutter.full()));
                }
                chunks.extend(std::iter::from_fn(|| cutter.last(song)));
                assert_eq!(chunks.len(), count, "{song} frames");
                for (index, chunk) in chunks.iter().enumerate() {
                    assert_eq!(
                        chunk.song_frames,
                        (index + 1 == count).then_some(song),
                        "{song} frames, chunk {index}"
                    );
                    for time in [0, 38, 39, 40, 116, 155] {
                        for bin in [0, 263] {
                            let expected = (index * KEPT + time)
                                .checked_sub(MARGIN)
                                .and_then(|frame| frames.get(frame * BINS + bin))
                                .copied()
                                .unwrap_or(0.0);
                            assert_eq!(chunk.spectrum[bin * CHUNK + time], expected);
                        }
                    }
                }
            }
        }
    }
}

//! The lazy decoder: bounded blocks of the music itself, without an encoder's warm-up and padding, up to a limit.

use crate::open::{self, Opened};
use crate::packets::{Packets, Step};
use crate::{Error, Limits, Source, Warning};

/// Frames collected before a block is handed out; the last one is shorter, none is longer.
const BLOCK_FRAMES: usize = 16 * 1024;
/// Packets tried before the first sample; so much damage in front is no recording.
const MAX_STEPS_TO_FIRST: usize = 20_000;

/// More damage in front than this is not part of the music.
const MAX_SECONDS_IN_FRONT: u64 = 5;

/// A bounded piece of a recording, all channels interleaved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    pub samples: Vec<f32>,
}

/// A recording that is decoded block by block.
pub struct Recording {
    opened: Opened,
    limits: Limits,
    packets: Packets,
    sample_rate: u32,
    channels: u16,
    /// Decoded frames, the warm-up included.
    decoded_frames: u64,
    /// Frames of music found so far.
    music_frames: u64,
    /// Frames of music handed out so far.
    frames_read: u64,
    /// Lost frames still to be replaced by silence.
    silent_frames: u64,
    /// Music not yet handed out.
    ready: Vec<f32>,
    scratch: Vec<f32>,
    non_finite: u64,
    ended: bool,
    truncated: bool,
    format_changed: bool,
    warnings: Vec<Warning>,
}

impl Recording {
    /// Opens a recording and decodes its first packet, so that a file without sound, of a wrong shape or of rubbish is refused here.
    pub fn open(
        source: Box<dyn Source>,
        extension: Option<&str>,
        limits: Limits,
    ) -> Result<Self, Error> {
        let opened = open::open(source, extension)?;
        let mut recording = Recording {
            sample_rate: opened.probe.sample_rate,
            channels: opened.probe.channels,
            truncated: opened.truncated,
            opened,
            limits,
            packets: Packets::default(),
            decoded_frames: 0,
            music_frames: 0,
            frames_read: 0,
            silent_frames: 0,
            ready: Vec::new(),
            scratch: Vec::new(),
            non_finite: 0,
            ended: false,
            format_changed: false,
            warnings: Vec::new(),
        };
        if recording.sample_rate > 0 && recording.channels > 0 {
            recording
                .limits
                .check(recording.sample_rate, recording.channels)?;
        }
        recording.find_first()?;
        Ok(recording)
    }

    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    pub fn channels(&self) -> u16 {
        self.channels
    }

    /// What the header says; `None` = unknown, never guessed.
    pub fn duration_seconds(&self) -> Option<f64> {
        self.opened.probe.duration_seconds
    }

    /// The next block; `None` at the end.
    pub fn next_block(&mut self) -> Result<Option<Block>, Error> {
        let wanted = BLOCK_FRAMES * usize::from(self.channels);
        while self.ready.len() < wanted && !self.ended {
            self.advance()?;
            self.limits
                .check_length(self.music_frames, self.sample_rate)?;
        }
        if self.ready.is_empty() {
            return Ok(None);
        }
        let rest = self.ready.split_off(wanted.min(self.ready.len()));
        let samples = std::mem::replace(&mut self.ready, rest);
        self.frames_read += (samples.len() / usize::from(self.channels)) as u64;
        Ok(Some(Block { samples }))
    }

    /// Seconds handed out so far.
    pub fn seconds_read(&self) -> f64 {
        self.frames_read as f64 / f64::from(self.sample_rate.max(1))
    }

    /// Complete once `next_block` has returned `None`.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn find_first(&mut self) -> Result<(), Error> {
        let mut steps = 0;
        while self.ready.is_empty() && !self.ended {
            self.advance()?;
            steps += 1;
            if steps > MAX_STEPS_TO_FIRST {
                return Err(self.nothing());
            }
        }
        if self.ready.is_empty() {
            Err(self.nothing())
        } else {
            Ok(())
        }
    }

    fn nothing(&mut self) -> Error {
        match self.packets.first_failure.take() {
            Some(Error::Unsupported(what)) => Error::Unsupported(what),
            Some(Error::Undecodable(why)) => {
                Error::Undecodable(format!("none of its packets could be decoded; {why}"))
            }
            Some(error) => error,
            None => Error::Empty("it has no samples".to_owned()),
        }
    }

    /// One packet further.
    fn advance(&mut self) -> Result<(), Error> {
        if self.silent_frames > 0 && self.decoded_frames > 0 {
            self.keep_silence();
            return Ok(());
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let step = self.packets.step(&mut self.opened, &mut scratch);
        match step? {
            Step::Samples { rate, channels } => self.take(rate, channels, &mut scratch)?,
            Step::Lost { frames } => self.silent_frames += frames,
            Step::Nothing => {}
            Step::End { truncated } => {
                self.truncated |= truncated;
                self.end();
            }
        }
        self.scratch = scratch;
        Ok(())
    }

    /// One piece of the silence that stands for lost frames.
    fn keep_silence(&mut self) {
        let frames = self.silent_frames.min(BLOCK_FRAMES as u64);
        self.silent_frames -= frames;
        let silence = vec![0.0; usize::try_from(frames).unwrap_or(0) * usize::from(self.channels)];
        self.keep_music(&silence);
    }

    /// Damage before the first sample: its shape is known only now.
    fn silence_in_front(&mut self) {
        self.silent_frames = self
            .silent_frames
            .min(MAX_SECONDS_IN_FRONT * u64::from(self.sample_rate));
        while self.silent_frames > 0 {
            self.keep_silence();
        }
    }

    fn take(&mut self, rate: u32, channels: usize, samples: &mut [f32]) -> Result<(), Error> {
        let channels = u16::try_from(channels).unwrap_or(u16::MAX);
        if self.decoded_frames == 0 {
            // The samples, not the header, say what they are.
            self.limits.check(rate, channels)?;
            self.sample_rate = rate;
            self.channels = channels;
            self.silence_in_front();
        } else if (rate, channels) != (self.sample_rate, self.channels) {
            self.format_changed = true;
            self.end();
            return Ok(());
        }
        for sample in samples.iter_mut().filter(|sample| !sample.is_finite()) {
            *sample = 0.0;
            self.non_finite += 1;
        }
        self.keep_music(samples);
        Ok(())
    }

    /// Appends those of the next decoded frames that are music.
    fn keep_music(&mut self, samples: &[f32]) {
        let channels = usize::from(self.channels);
        let count = (samples.len() / channels) as u64;
        let begin = self.decoded_frames;
        self.decoded_frames += count;
        let span = self.opened.span;
        let mut keep = |from: u64, to: u64| {
            let (from, to) = (
                from.clamp(begin, begin + count),
                to.clamp(begin, begin + count),
            );
            if from < to {
                // Both are within the samples at hand.
                let at = |frame: u64| usize::try_from(frame - begin).unwrap_or(0) * channels;
                self.ready.extend_from_slice(&samples[at(from)..at(to)]);
                self.music_frames += to - from;
            }
        };
        let end = span.end.unwrap_or(u64::MAX);
        match &self.opened.hole {
            Some(hole) => {
                keep(span.start, hole.start);
                keep(hole.end, end);
            }
            None => keep(span.start, end),
        }
    }

    fn end(&mut self) {
        self.ended = true;
        let is_short = self
            .opened
            .promised
            .is_some_and(|promised| self.music_frames < promised);
        if (self.truncated || is_short) && !self.format_changed {
            self.warnings.push(Warning::Truncated);
        }
        if self.packets.damaged > 0 {
            self.warnings.push(Warning::DamagedPackets {
                count: self.packets.damaged,
            });
        }
        if self.non_finite > 0 {
            self.warnings.push(Warning::NonFiniteSamples {
                count: self.non_finite,
            });
        }
        if self.format_changed {
            self.warnings.push(Warning::FormatChanged);
        }
    }
}

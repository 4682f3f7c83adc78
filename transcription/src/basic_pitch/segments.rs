//! A recording becomes windows: mean of the channels, 22,050 Hz, half an overlap of zeros in front, the last one filled with zeros.

use super::config::{LEAD, SAMPLE_RATE, WINDOW, WINDOW_HOP};
use crate::Error;
use crate::network::Segments;

/// One window at 22,050 Hz.
pub struct Window {
    /// `WINDOW` samples.
    pub samples: Vec<f32>,
    /// Set on the song's last window: samples of the whole song at 22,050 Hz, padding not counted.
    pub song_samples: Option<usize>,
}

/// Cuts samples that come in pieces. A full window is never the last one, since the next one starts inside it.
pub(super) struct Cutter {
    pending: Vec<f32>,
    seen: usize,
}

impl Default for Cutter {
    fn default() -> Self {
        Cutter {
            pending: vec![0.0; LEAD],
            seen: 0,
        }
    }
}

impl Cutter {
    /// Room for more samples, to be added at the end.
    pub(super) fn extend(&mut self, samples: &[f32]) {
        self.seen += samples.len();
        self.pending.extend_from_slice(samples);
    }

    /// The next full window.
    pub(super) fn full(&mut self) -> Option<Window> {
        if self.pending.len() < WINDOW {
            return None;
        }
        let samples = self.pending[..WINDOW].to_vec();
        self.pending.drain(..WINDOW_HOP);
        Some(Window {
            samples,
            song_samples: None,
        })
    }

    /// The next of the windows that are left when the song has ended, filled with zeros; `None` after the last.
    pub(super) fn last(&mut self) -> Option<Window> {
        if self.pending.is_empty() {
            return None;
        }
        let mut samples = self.pending.clone();
        samples.resize(WINDOW, 0.0);
        self.pending.drain(..WINDOW_HOP.min(self.pending.len()));
        Some(Window {
            samples,
            song_samples: self.pending.is_empty().then_some(self.seen),
        })
    }
}

/// The lazy cut of one recording.
pub struct Windows {
    recording: audio::Recording,
    resampler: audio::Resampler,
    cutter: Cutter,
    mono: Vec<f32>,
    resampled: Vec<f32>,
    ended: bool,
}

impl Windows {
    pub fn new(recording: audio::Recording) -> Result<Self, Error> {
        let resampler = audio::Resampler::new(recording.sample_rate(), SAMPLE_RATE)?;
        Ok(Windows {
            recording,
            resampler,
            cutter: Cutter::default(),
            mono: Vec::new(),
            resampled: Vec::new(),
            ended: false,
        })
    }

    /// Reads one more block; false at the end.
    fn read(&mut self) -> Result<bool, Error> {
        self.resampled.clear();
        match self.recording.next_block()? {
            Some(block) => {
                self.mono.clear();
                audio::downmix(&block.samples, self.recording.channels(), &mut self.mono);
                self.resampler.process(&self.mono, &mut self.resampled)?;
            }
            None => {
                self.resampler.finish(&mut self.resampled)?;
                self.ended = true;
            }
        }
        self.cutter.extend(&self.resampled);
        Ok(!self.ended)
    }

    /// The rest of the song at 22,050 Hz, for comparisons with the package.
    pub fn all_samples(mut self) -> Result<Vec<f32>, Error> {
        while self.read()? {}
        Ok(self.cutter.pending.split_off(LEAD))
    }
}

impl Segments for Windows {
    type Segment = Window;

    fn next(&mut self) -> Result<Option<Window>, Error> {
        loop {
            if let Some(window) = self.cutter.full() {
                return Ok(Some(window));
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
        let samples = self.recording.duration_seconds()? * f64::from(SAMPLE_RATE);
        Some(
            ((samples + LEAD as f64) / WINDOW_HOP as f64)
                .ceil()
                .max(1.0) as u64,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The package's own loop: windows start while the start lies inside the padded song.
    fn package_starts(samples: usize) -> usize {
        (0..samples + LEAD).step_by(WINDOW_HOP).count()
    }

    #[test]
    fn windows_are_cut_where_the_package_cuts_them() {
        for samples in [
            1,
            255,
            22_050,
            WINDOW_HOP - LEAD,
            WINDOW_HOP - LEAD + 1,
            WINDOW,
            WINDOW_HOP * 3,
            WINDOW_HOP * 3 - LEAD,
            200_001,
        ] {
            let song: Vec<f32> = (0..samples).map(|at| at as f32 + 1.0).collect();
            for piece in [1000, samples] {
                let mut cutter = Cutter::default();
                let mut windows = Vec::new();
                for part in song.chunks(piece) {
                    cutter.extend(part);
                    windows.extend(std::iter::from_fn(|| cutter.full()));
                }
                windows.extend(std::iter::from_fn(|| cutter.last()));
                assert_eq!(windows.len(), package_starts(samples), "{samples} samples");
                for (index, window) in windows.iter().enumerate() {
                    assert_eq!(window.samples.len(), WINDOW);
                    assert_eq!(window.song_samples.is_some(), index + 1 == windows.len());
                    let at = |offset: usize| {
                        (index * WINDOW_HOP + offset)
                            .checked_sub(LEAD)
                            .and_then(|at| song.get(at))
                            .copied()
                            .unwrap_or(0.0)
                    };
                    for offset in [0, 1, LEAD, WINDOW / 2, WINDOW - 1] {
                        assert_eq!(
                            window.samples[offset],
                            at(offset),
                            "window {index} of {samples} samples at {offset}"
                        );
                    }
                }
                assert_eq!(windows.last().unwrap().song_samples, Some(samples));
            }
        }
    }
}

//! The windows' maps laid end to end, and when each frame sounds.

use super::config::{
    FRAMES, HOP, KEPT, PACKAGE_FRAMES_PER_SECOND, PITCHES, SAMPLE_RATE, WINDOW, WINDOW_HOP,
};

/// One window's maps, the overlap cut off: `KEPT` frames.
pub struct WindowMaps {
    pub note: Vec<f32>,
    pub onset: Vec<f32>,
    /// Thirds of a semitone, see [`super::bends`].
    pub bend: Vec<i8>,
    /// Empty unless it was asked for: songs keep only what bends need of it.
    pub contour: Vec<f32>,
    /// The window's range of log power.
    pub log_spread_db: f32,
    /// Set on the last window (see [`super::Window`]).
    pub song_samples: Option<usize>,
}

/// A song's maps, frame by frame, each with [`PITCHES`] columns. Of the contour map, three times as wide, only what a note of each
/// pitch would make of it is kept: an hour of float32 contours alone would take 330 MB.
#[derive(Debug, Default, Clone)]
pub struct Maps {
    pub note: Vec<f32>,
    pub onset: Vec<f32>,
    /// Thirds of a semitone, see [`super::bends`].
    pub bend: Vec<i8>,
}

impl Maps {
    pub fn push(&mut self, window: &WindowMaps) {
        self.note.extend_from_slice(&window.note);
        self.onset.extend_from_slice(&window.onset);
        self.bend.extend_from_slice(&window.bend);
    }

    pub fn frames(&self) -> usize {
        self.note.len() / PITCHES
    }

    /// Drops what the last window's padding added.
    pub fn cut(&mut self, song_samples: usize, parity: bool) {
        let frames = song_frames(song_samples, parity).min(self.frames());
        self.note.truncate(frames * PITCHES);
        self.onset.truncate(frames * PITCHES);
        self.bend.truncate(frames * PITCHES);
    }
}

/// How many frames a song of so many samples keeps. The package counts 86 frames a second where there are 86.58, and so loses the
/// last 0.67 % of every song (`inference.py`, `unwrap_output`); parity keeps that, otherwise the tail stays.
pub fn song_frames(song_samples: usize, parity: bool) -> usize {
    if parity {
        return (song_samples as f64 * (PACKAGE_FRAMES_PER_SECOND / f64::from(SAMPLE_RATE))).floor()
            as usize;
    }
    song_samples * KEPT / WINDOW_HOP
}

/// Seconds at which a frame sounds.
pub fn frame_seconds(frame: usize, parity: bool) -> f64 {
    let rate = f64::from(SAMPLE_RATE);
    if parity {
        // `note_creation.py`, `model_frames_to_time`: counts 172 frames a window where 142 are kept. Right on average, with a
        // saw-tooth of up to 10 ms.
        let offset = (HOP as f64 / rate) * (FRAMES as f64 - WINDOW as f64 / HOP as f64) + 0.0018;
        return (frame * HOP) as f64 / rate - offset * (frame / FRAMES) as f64;
    }
    // Where the frame truly lies: its window's start and its place in it.
    (frame / KEPT * WINDOW_HOP + frame % KEPT * HOP) as f64 / rate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parity_loses_the_tail_and_the_default_keeps_it() {
        let three_minutes = 180 * 22_050;
        assert_eq!(song_frames(three_minutes, true), 15_480);
        let kept = song_frames(three_minutes, false);
        assert!(
            (frame_seconds(kept, false) - 180.0).abs() < 0.012,
            "{}",
            frame_seconds(kept, false)
        );
        assert!((frame_seconds(15_480, true) - 178.79).abs() < 0.02);
    }

    #[test]
    fn frame_times_rise_and_agree_within_the_saw_tooth() {
        for frame in 0..20_000 {
            let (package, ours) = (frame_seconds(frame, true), frame_seconds(frame, false));
            assert!(
                (package - ours).abs() < 0.012,
                "frame {frame}: {package} and {ours}"
            );
            assert!(frame_seconds(frame + 1, false) > ours, "frame {frame}");
        }
        // The package's own figure for frame 172 (`frames_to_time` less one window's offset).
        assert!(
            (frame_seconds(172, true) - (172.0 * 256.0 / 22_050.0 - 0.010_326_077)).abs() < 1e-9
        );
    }

    #[test]
    fn cutting_shortens_all_maps_alike() {
        let mut maps = Maps {
            note: vec![0.0; 300 * PITCHES],
            onset: vec![0.0; 300 * PITCHES],
            bend: vec![0; 300 * PITCHES],
        };
        maps.cut(22_050, true);
        assert_eq!(
            (
                maps.frames(),
                maps.onset.len() / PITCHES,
                maps.bend.len() / PITCHES
            ),
            (86, 86, 86)
        );
    }
}

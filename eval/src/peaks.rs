//! The baseline: a key sounds while the spectrum has a strong peak where its fundamental lies. It knows nothing of overtones,
//! so it shows what a network has to be better than.

use std::sync::Arc;

use music::Note;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use crate::corpus::note;
use crate::wav::RATE;

const WINDOW: usize = 8192;
const HOP: usize = 441;
const LOWEST: u8 = 21;
const HIGHEST: u8 = 108;
/// Weaker than this below the loudest of the recording is silence.
const FLOOR_DB: f32 = -32.0;
/// A rise by this much within a note is another stroke.
const RISE_DB: f32 = 9.0;
const SHORTEST_FRAMES: usize = 6;

pub(crate) fn notes(samples: &[f32]) -> Vec<Note> {
    let frames = levels_db(samples);
    let loudest = frames.iter().flatten().copied().fold(f32::MIN, f32::max);
    let mut notes = Vec::new();
    for key in 0..usize::from(HIGHEST - LOWEST) + 1 {
        let sounding = |frame: usize| {
            let levels = &frames[frame];
            let beside = |other: Option<&f32>| other.is_none_or(|other| levels[key] > *other);
            levels[key] > loudest + FLOOR_DB
                && beside(key.checked_sub(1).and_then(|below| levels.get(below)))
                && beside(levels.get(key + 1))
        };
        let mut begun: Option<usize> = None;
        let mut lowest = f32::MAX;
        for frame in 0..=frames.len() {
            let on = frame < frames.len() && sounding(frame);
            let level = frames.get(frame).map_or(f32::MIN, |levels| levels[key]);
            let struck_again = on && begun.is_some() && level > lowest + RISE_DB;
            if let Some(first) = begun.filter(|_| !on || struck_again) {
                if frame - first >= SHORTEST_FRAMES {
                    notes.push(sounded(
                        key,
                        first,
                        frame,
                        frames[first..frame]
                            .iter()
                            .map(|f| f[key])
                            .fold(f32::MIN, f32::max)
                            - loudest,
                    ));
                }
                begun = None;
            }
            if on && begun.is_none() {
                begun = Some(frame);
                lowest = f32::MAX;
            }
            lowest = lowest.min(level);
        }
    }
    notes.sort_by(|a, b| a.onset.total_cmp(&b.onset));
    notes
}

fn sounded(key: usize, first: usize, end: usize, below_loudest_db: f32) -> Note {
    let seconds = |frame: usize| (frame * HOP) as f64 / f64::from(RATE);
    let velocity = (127.0 + 2.5 * below_loudest_db).clamp(1.0, 127.0) as u8;
    note(
        LOWEST + key as u8,
        seconds(first),
        seconds(end),
        velocity,
        0,
    )
}

/// For each frame the level of each key's fundamental. Frame 0 is centred on the first sample.
fn levels_db(samples: &[f32]) -> Vec<Vec<f32>> {
    let fft: Arc<dyn Fft<f32>> = FftPlanner::new().plan_fft_forward(WINDOW);
    let hann: Vec<f32> = (0..WINDOW)
        .map(|i| 0.5 - 0.5 * (std::f32::consts::TAU * i as f32 / WINDOW as f32).cos())
        .collect();
    let bins: Vec<std::ops::RangeInclusive<usize>> = (LOWEST..=HIGHEST).map(bins_of).collect();
    (0..samples.len().div_ceil(HOP))
        .map(|frame| {
            let start = (frame * HOP) as isize - (WINDOW / 2) as isize;
            let mut spectrum: Vec<Complex<f32>> = (0..WINDOW)
                .map(|i| {
                    let sample = usize::try_from(start + i as isize)
                        .ok()
                        .and_then(|at| samples.get(at));
                    Complex::new(sample.copied().unwrap_or(0.0) * hann[i], 0.0)
                })
                .collect();
            fft.process(&mut spectrum);
            bins.iter()
                .map(|bins| {
                    let power = spectrum[bins.clone()]
                        .iter()
                        .map(Complex::norm_sqr)
                        .fold(1e-12, f32::max);
                    10.0 * power.log10()
                })
                .collect()
        })
        .collect()
}

/// A quarter tone to both sides.
fn bins_of(pitch: u8) -> std::ops::RangeInclusive<usize> {
    let bin = |semitones: f64| {
        440.0 * 2f64.powf((semitones - 69.0) / 12.0) * WINDOW as f64 / f64::from(RATE)
    };
    let centre = f64::from(pitch);
    bin(centre - 0.5).round() as usize..=bin(centre + 0.5).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pure_tone_is_one_note_of_its_pitch() {
        let samples: Vec<f32> = (0..RATE)
            .map(|i| {
                let time = i as f32 / RATE as f32;
                if (0.3..0.8).contains(&time) {
                    (std::f32::consts::TAU * 440.0 * time).sin()
                } else {
                    0.0
                }
            })
            .collect();
        let notes = notes(&samples);
        let longest = notes
            .iter()
            .max_by(|a, b| (a.offset - a.onset).total_cmp(&(b.offset - b.onset)))
            .unwrap();
        assert_eq!(longest.pitch, 69);
        assert!(
            (longest.onset - 0.3).abs() < 0.1 && (longest.offset - 0.8).abs() < 0.1,
            "{longest:?}"
        );
    }

    #[test]
    fn nothing_in_gives_nothing_out() {
        assert!(notes(&[]).is_empty());
    }
}

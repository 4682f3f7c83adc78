//! How each note's pitch moves: `note_creation.py`, `get_pitch_bends` of 0.4.0. Unit: a third of a semitone.

use super::config::{CONTOURS, LOWEST_PITCH};
use super::decoding::NoteEvent;

/// Cents of one step.
pub const UNIT_CENTS: f64 = 100.0 / 3.0;
/// Bins to both sides of the note in which its contour is looked for.
const REACH: usize = 25;
const DEVIATION: f64 = 5.0;

/// One value a frame of the note: the strongest contour bin near its pitch, by a Gaussian around it. First maximum on ties.
pub fn bends(contour: &[f32], event: &NoteEvent) -> Vec<i32> {
    let centre = (usize::from(event.pitch) - LOWEST_PITCH) * 3;
    let first = centre.saturating_sub(REACH);
    let last = (centre + REACH + 1).min(CONTOURS);
    (event.start..event.end)
        .map(|frame| {
            let row = &contour[frame * CONTOURS..(frame + 1) * CONTOURS];
            let mut best = (first, f64::NEG_INFINITY);
            for (bin, activation) in row.iter().enumerate().take(last).skip(first) {
                let distance = bin as f64 - centre as f64;
                let value = f64::from(*activation)
                    * (-distance * distance / (2.0 * DEVIATION * DEVIATION)).exp();
                if value > best.1 {
                    best = (bin, value);
                }
            }
            best.0 as i32 - centre as i32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(pitch: u8) -> NoteEvent {
        NoteEvent {
            start: 0,
            end: 1,
            pitch,
            amplitude: 0.5,
        }
    }

    #[test]
    fn the_strongest_bin_near_the_pitch_wins() {
        for (pitch, peak, expected) in [
            (60, 117, 0),
            (60, 119, 2),
            (60, 110, -7),
            (21, 4, 4),
            (108, 261, 0),
            (108, 259, -2),
        ] {
            let mut contour = vec![0f32; CONTOURS];
            contour[peak] = 0.9;
            assert_eq!(
                bends(&contour, &event(pitch)),
                [expected],
                "pitch {pitch}, bin {peak}"
            );
        }
    }

    #[test]
    fn an_empty_contour_gives_the_first_bin_as_argmax_does() {
        assert_eq!(bends(&[0f32; CONTOURS], &event(60)), [-25]);
        assert_eq!(bends(&[0f32; CONTOURS], &event(21)), [0]);
    }
}

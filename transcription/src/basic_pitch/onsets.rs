//! Where notes begin: peaks of the onset map, lifted where the frames rise steeply. `note_creation.py`, `get_infered_onsets` of 0.4.0
//! and the peak picking after it. Computed in float64, as numpy computes it there.

use super::config::{Options, PITCHES};

/// Cells where the onset activation, lifted by steep rises of the frames, is a peak in time. Row-major order.
pub(super) fn onset_peaks(
    onset: &[f32],
    energy: &[f32],
    options: &Options,
    parity: bool,
) -> Vec<(usize, usize)> {
    let frames = onset.len() / PITCHES;
    let rise = |frame: usize, column: usize| -> f64 {
        if frame < 2 {
            return 0.0;
        }
        let at = |frame: usize| f64::from(energy[frame * PITCHES + column]);
        (at(frame) - at(frame - 1))
            .min(at(frame) - at(frame - 2))
            .max(0.0)
    };
    let (mut top_onset, mut top_rise) = (0f64, 0f64);
    if options.inferred_onsets {
        for frame in 0..frames {
            for column in 0..PITCHES {
                top_onset = top_onset.max(f64::from(onset[frame * PITCHES + column]));
                top_rise = top_rise.max(rise(frame, column));
            }
        }
        // The package divides by zero here, and the NaNs hide every onset.
        if top_rise == 0.0 && parity {
            return Vec::new();
        }
    }
    let lifted = |frame: usize, row: &mut [f64]| {
        for (column, cell) in row.iter_mut().enumerate() {
            *cell = f64::from(onset[frame * PITCHES + column]);
            if options.inferred_onsets && top_rise > 0.0 {
                *cell = cell.max(top_onset * rise(frame, column) / top_rise);
            }
        }
    };
    let mut rows = [[0f64; PITCHES]; 3];
    lifted(0, &mut rows[1]);
    lifted(1, &mut rows[2]);
    let mut peaks = Vec::new();
    for frame in 1..frames - 1 {
        rows.rotate_left(1);
        lifted(frame + 1, &mut rows[2]);
        let [before, here, after] = &rows;
        for column in 0..PITCHES {
            let value = here[column];
            if value > before[column] && value > after[column] && value >= options.onset_threshold {
                peaks.push((frame, column));
            }
        }
    }
    peaks
}

//! The network over a whole song without the engine: for comparisons with the package, which want the maps themselves.

use super::config::CONTOURS;
use super::maps::Maps;
use super::segments::Cutter;
use super::{Model, Window, Windows};
use crate::Error;
use crate::network::Segments;

/// A song's maps and how loud its windows range.
pub struct Analysis {
    pub maps: Maps,
    /// The whole contour map, [`CONTOURS`] columns, which songs do not keep.
    pub contour: Vec<f32>,
    /// One value a window, dB.
    pub log_spread_db: Vec<f32>,
}

/// All windows of a recording.
pub fn windows_of_recording(mut windows: Windows) -> Result<Vec<Window>, Error> {
    std::iter::from_fn(|| windows.next().transpose()).collect()
}

/// All windows of samples that are at 22,050 Hz already.
pub fn windows_of_samples(samples: &[f32]) -> Vec<Window> {
    let mut cutter = Cutter::default();
    cutter.extend(samples);
    let mut windows: Vec<Window> = std::iter::from_fn(|| cutter.full()).collect();
    windows.extend(std::iter::from_fn(|| cutter.last()));
    windows
}

/// Runs the network `rows` windows at a time.
pub fn analyse(
    model: &Model,
    windows: &[Window],
    rows: usize,
    parity: bool,
) -> Result<Analysis, Error> {
    let mut maps = Maps::default();
    let mut contour = Vec::new();
    let mut log_spread_db = Vec::with_capacity(windows.len());
    let mut song_samples = 0;
    for batch in windows.chunks(rows.max(1)) {
        let samples: Vec<&[f32]> = batch
            .iter()
            .map(|window| window.samples.as_slice())
            .collect();
        let out = model.forward(&samples, true)?;
        for (window_maps, window) in out.into_iter().zip(batch) {
            log_spread_db.push(window_maps.log_spread_db);
            maps.push(&window_maps);
            contour.extend_from_slice(&window_maps.contour);
            song_samples = window.song_samples.unwrap_or(song_samples);
        }
    }
    maps.cut(song_samples, parity);
    contour.truncate(maps.frames() * CONTOURS);
    Ok(Analysis {
        maps,
        contour,
        log_spread_db,
    })
}

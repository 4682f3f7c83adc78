//! Harmonica in libtorch's operations, one size at a time: the sizes that are installed, since nothing is fetched here.

use std::path::{Path, PathBuf};

use tch::Device;
use transcription::harmonica::config::{
    BINS, CHUNK, HARMONIC_SHIFTS, HEADS, HOP, KEPT, PITCHES, SAMPLE_RATE, SIZES, Size,
};
use transcription::harmonica::{Chunk, Chunks, Harmonica, Setup};
use transcription::registry::Store;

use crate::networks::{Fallible, SOURCE_SECONDS, all, drain, rounds};
use crate::plan::Plan;
use crate::report::Measured;
use crate::sounds;

/// A size and the file of its weights.
pub(crate) type Installed = (Size, PathBuf);

/// The sizes that are there, and a line for each that is not; weights that are damaged are an error.
pub(crate) fn installed(store: &Store) -> Fallible<(Vec<Installed>, Vec<String>)> {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for size in SIZES {
        match store.installed(size.model) {
            Ok(installed) => there.push((size, installed.file)),
            Err(error @ transcription::Error::ModelMissing { .. }) => {
                missing.push(format!("left out: {error}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((there, missing))
}

/// Multiply-adds of a chunk, and the bytes that go into and out of its layers, each once.
fn work_of_a_chunk(size: &Size) -> (f64, f64) {
    let (front, channels, hidden) = (size.front_channels, size.channels, size.hidden());
    let (bins, keys) = (BINS * CHUNK, PITCHES * CHUNK);
    // Each shift without the keys that it would look for beyond the keyboard.
    let shifted: usize = HARMONIC_SHIFTS
        .iter()
        .map(|shift| PITCHES - shift.unsigned_abs() as usize)
        .sum();
    let stem = 25 * front + 25 * front * front + front;
    let residuals = 4 * 25 * front * front;
    let down = 3 * front * channels;
    let block = channels * channels * (shifted * CHUNK + 2 * 9 * keys);
    let head = 2 * (4 * hidden * (channels + hidden) + hidden);
    let products =
        (stem + residuals) * bins + (down + HEADS.len() * head) * keys + size.blocks * block;
    // Planes of the stem's three convolutions, the four behind it, and what `down` reads; then of keys.
    let front_planes = 2 + 4 * front + 8 * front + front;
    let key_planes = channels + size.blocks * 6 * channels + HEADS.len() * (channels + 1);
    let bytes = 4 * (front_planes * bins + key_planes * keys);
    (products as f64, bytes as f64)
}

pub(crate) fn measure(
    device: Device,
    plan: &Plan,
    size: &Size,
    weights: &Path,
) -> Fallible<Measured> {
    tch::set_num_threads(i32::try_from(plan.threads).unwrap_or(1));
    let setup = Setup {
        device,
        threads: plan.threads,
        rows: plan.chunk_rows,
        libtorch: true,
    };
    let mut network = Harmonica::load(size, weights, setup)?;
    let source: Vec<Chunk> = all(Chunks::new(sounds::recording(SOURCE_SECONDS)?))?;
    let count = plan.chunks;
    let prepare = || -> Vec<Chunk> {
        let copy = |chunk: &Chunk| Chunk {
            spectrum: chunk.spectrum.clone(),
            song_frames: chunk.song_frames,
        };
        source.iter().cycle().take(count).map(copy).collect()
    };
    let (seconds, profile) = rounds(device, plan.rounds, prepare, |chunks| {
        drain(&mut network, chunks).map(drop)
    })?;
    let (products, bytes) = work_of_a_chunk(size);
    let (products, bytes) = (count as f64 * products, count as f64 * bytes);
    Ok(Measured {
        name: size.model.into(),
        rows: plan.chunk_rows,
        audio_seconds: (count * KEPT * HOP) as f64 / f64::from(SAMPLE_RATE),
        seconds,
        aim: None,
        products,
        least: Box::new(move |roofline| {
            (products / roofline.products).max(bytes / roofline.bytes_a_second)
        }),
        profile,
    })
}

//! Recordings that are traps: small files that decode to weeks, covers larger than the music, headers that lie. However they
//! end, they end soon and in little memory. One test, because it counts what the whole process allocates.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Cursor;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use audio::{Error, Limits, Recording, probe};
use sounds::{silent_flac, wav, with_id3_cover, with_mp4_cover, with_wav_chunk};

#[path = "../../../api/tests/it/bad_input/sounds.rs"]
#[expect(dead_code, reason = "the uploads' tests make more kinds of it")]
mod sounds;

struct Counting;
static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[expect(
    unsafe_code,
    reason = "the only way to count the bytes that the decoders ask for"
)]
// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(
            NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size(),
            Ordering::Relaxed,
        );
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Beyond the file itself, which the test holds.
const MOST_BYTES: usize = 8 << 20;
const MOST_PROBE_TIME: Duration = Duration::from_secs(2);
const MOST_TIME: Duration = Duration::from_secs(20);
const LIMIT_SECONDS: f64 = 3_600.0;
const COVER: usize = 25_000_000;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name),
    )
    .unwrap()
}

/// A file, what its header says in seconds (none: unknown), and how decoding it ends: frames or code.
type Trap = (
    &'static str,
    fn() -> Vec<u8>,
    Option<f64>,
    Result<u64, &'static str>,
);

#[rustfmt::skip] // One trap a line.
const TRAPS: &[Trap] = &[
    ("200 MB of silence in FLAC, and its header says so", || silent_flac(200_000_000, 0xf_ffff_ffff, 0), Some(1_558_264.78), Err("audio_too_long")),
    ("200 MB of silence in FLAC, of unknown length", || silent_flac(200_000_000, 0, 0), None, Err("audio_too_long")),
    ("200 MB of silence in FLAC that claims a second", || silent_flac(200_000_000, 44_100, 0), Some(1.0), Err("audio_too_long")),
    ("a FLAC with a cover of 25 MB", || silent_flac(100, 65_535, COVER), Some(1.486), Ok(65_535)),
    ("an MP3 with a cover of 25 MB", || with_id3_cover(&fixture("cbr.mp3"), COVER), Some(0.3396), Ok(14_976)),
    ("an MP4 with a cover of 25 MB", || with_mp4_cover(&fixture("click.m4a"), COVER), Some(0.3), Ok(13_230)),
    ("a WAV with a list of 25 MB", || with_wav_chunk(&fixture("s16.wav"), b"LIST", COVER), Some(0.015), Ok(120)),
    ("a WAV with an ID3 tag of 25 MB", || with_wav_chunk(&fixture("s16.wav"), b"id3 ", COVER), Some(0.015), Ok(120)),
    ("a WAV that claims 4 GB", || claiming(wav(44_100, 8, 16, 1, &[0; 160])), None, Ok(10)),
];

/// A length in the header that the file does not have.
fn claiming(mut wav: Vec<u8>) -> Vec<u8> {
    let at = wav.len() - 164;
    wav[at..at + 4].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    wav
}

#[test]
fn traps_end_soon_and_in_little_memory() {
    let mut wrong = Vec::new();
    for (name, make, seconds, expected) in TRAPS {
        let file = make();
        let length = file.len();
        // The readers get their own copy each; it is not theirs to answer for.
        let (copy, again) = (file.clone(), file);
        let before = NOW.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let started = Instant::now();
        let probed = probe(Box::new(Cursor::new(copy)), None);
        let probe_time = started.elapsed();
        let probe_peak = PEAK.load(Ordering::Relaxed) - before;
        let before = NOW.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let started = Instant::now();
        let decoded = decode(again);
        let (time, peak) = (started.elapsed(), PEAK.load(Ordering::Relaxed) - before);
        let probed = probed.map(|probe| probe.duration_seconds);
        eprintln!(
            "{name} ({length} bytes): header {probed:?} in {probe_time:?} and {} KiB, decoded {decoded:?} in {time:?} and {} KiB",
            probe_peak >> 10,
            peak >> 10
        );
        let said = match (&probed, seconds) {
            (Ok(Some(found)), Some(expected)) => (found - expected).abs() < 0.01,
            (Ok(found), None) => found.is_none() || *name == "a WAV that claims 4 GB",
            _ => false,
        };
        if !said || decoded.as_ref().map_err(Error::code) != expected.as_ref().map_err(|code| *code)
        {
            wrong.push(format!(
                "{name}: {probed:?}, {decoded:?} instead of {seconds:?}, {expected:?}"
            ));
        }
        if probe_peak > MOST_BYTES
            || peak > MOST_BYTES
            || probe_time > MOST_PROBE_TIME
            || time > MOST_TIME
        {
            wrong.push(format!(
                "{name}: {probe_peak} and {peak} bytes, {probe_time:?} and {time:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Frames, or why not.
fn decode(file: Vec<u8>) -> Result<u64, Error> {
    let limits = Limits {
        max_seconds: Some(LIMIT_SECONDS),
        ..Limits::default()
    };
    let mut recording = Recording::open(Box::new(Cursor::new(file)), None, limits)?;
    let mut samples = 0;
    while let Some(block) = recording.next_block()? {
        samples += block.samples.len() as u64;
    }
    Ok(samples / u64::from(recording.channels()))
}

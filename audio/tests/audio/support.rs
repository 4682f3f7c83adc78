//! What the integration tests share: fixtures and a small seeded random generator.

use std::io::Cursor;
use std::path::PathBuf;

use audio::{Block, Error, Limits, Recording, Source};

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn floats(name: &str) -> Vec<f32> {
    bytes(name)
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
        .collect()
}

pub(crate) fn source(data: Vec<u8>) -> Box<dyn Source> {
    Box::new(Cursor::new(data))
}

pub(crate) fn open(name: &str) -> Result<Recording, Error> {
    open_bytes(bytes(name))
}

pub(crate) fn open_bytes(data: Vec<u8>) -> Result<Recording, Error> {
    Recording::open(source(data), None, Limits::default())
}

/// All samples, interleaved.
pub(crate) fn drain(recording: &mut Recording) -> Result<Vec<f32>, Error> {
    let mut all = Vec::new();
    while let Some(Block { samples }) = recording.next_block()? {
        assert!(!samples.is_empty());
        all.extend(samples);
    }
    Ok(all)
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Seeded from the clock, or from WTT_TEST_SEED; the seed is printed.
    pub(crate) fn new() -> Self {
        let seed = std::env::var("WTT_TEST_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| {
                std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .map_or(1, |age| age.as_nanos() as u64)
            });
        eprintln!("WTT_TEST_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

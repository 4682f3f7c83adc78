//! Recordings of any length that nobody holds: a WAV header, then noise that a seed determines, a piece at a time.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

const RATE: u32 = 44_100;
const CHANNELS: u16 = 2;
const BYTES_PER_FRAME: u32 = 2 * CHANNELS as u32;
const HEADER_BYTES: usize = 44;
const PIECE_BYTES: usize = 64 * 1024;

/// A 16-bit stereo WAV of exactly `bytes` (a multiple of 4).
pub(crate) struct Recording {
    random: StdRng,
    left: usize,
    header: Option<Bytes>,
}

impl Recording {
    pub(crate) fn new(bytes: usize, seed: u64) -> Self {
        let samples = (bytes - HEADER_BYTES) as u32;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend(b"RIFF");
        header.extend((36 + samples).to_le_bytes());
        header.extend(b"WAVEfmt ");
        header.extend(16_u32.to_le_bytes());
        header.extend(1_u16.to_le_bytes());
        header.extend(CHANNELS.to_le_bytes());
        header.extend(RATE.to_le_bytes());
        header.extend((RATE * BYTES_PER_FRAME).to_le_bytes());
        header.extend((BYTES_PER_FRAME as u16).to_le_bytes());
        header.extend(16_u16.to_le_bytes());
        header.extend(b"data");
        header.extend(samples.to_le_bytes());
        Self {
            random: StdRng::seed_from_u64(seed),
            left: samples as usize,
            header: Some(header.into()),
        }
    }

    /// What a server should say of it, in hex.
    pub(crate) fn sha256(bytes: usize, seed: u64) -> String {
        let mut hash = Sha256::new();
        for piece in Self::new(bytes, seed) {
            hash.update(&piece);
        }
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl Iterator for Recording {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(header) = self.header.take() {
            return Some(header);
        }
        if self.left == 0 {
            return None;
        }
        let mut piece = vec![0; self.left.min(PIECE_BYTES)];
        self.random.fill_bytes(&mut piece);
        self.left -= piece.len();
        Some(piece.into())
    }
}

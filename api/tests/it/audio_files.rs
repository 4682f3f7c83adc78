//! Recordings made on the spot.

/// A WAV file: mono, 16 bit, 8 kHz, a 440 Hz tone.
pub(crate) fn tone(seconds: f64) -> Vec<u8> {
    const RATE: u32 = 8000;
    let count = (seconds * f64::from(RATE)) as u32;
    let mut wav = wav_header(RATE, count);
    for n in 0..count {
        let phase = f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(RATE);
        wav.extend(((phase.sin() * 12_000.0) as i16).to_le_bytes());
    }
    wav
}

/// A WAV file whose header names a rate that nobody records at.
pub(crate) fn fast() -> Vec<u8> {
    let mut wav = wav_header(2_000_000, 8);
    wav.extend([0; 16]);
    wav
}

/// A WAV header of this many 16-bit mono samples.
fn wav_header(rate: u32, count: u32) -> Vec<u8> {
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + 2 * count).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    for half in [1_u16, 1] {
        wav.extend(half.to_le_bytes());
    }
    wav.extend(rate.to_le_bytes());
    wav.extend((2 * rate).to_le_bytes());
    for half in [2_u16, 16] {
        wav.extend(half.to_le_bytes());
    }
    wav.extend(b"data");
    wav.extend((2 * count).to_le_bytes());
    wav
}

/// Text that claims to be a recording.
pub(crate) fn text() -> Vec<u8> {
    b"Dear diary, this is not an MP3 file. ".repeat(100)
}

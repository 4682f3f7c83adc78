//! A recording that nobody has to bring: chords and runs of decaying tones, in stereo, as a WAV file in memory.

use std::io::Cursor;

use transcription::Error;

const RATE: u32 = 44_100;

/// So many seconds of it, opened as any recording is.
pub(crate) fn recording(seconds: usize) -> Result<audio::Recording, Error> {
    let limits = audio::Limits::default();
    Ok(audio::Recording::open(
        Box::new(Cursor::new(wav(seconds))),
        Some("wav"),
        limits,
    )?)
}

fn wav(seconds: usize) -> Vec<u8> {
    let count = seconds * RATE as usize;
    let mut sums = vec![0f32; count];
    let step = RATE as usize / 8;
    for (number, begin) in (0..count).step_by(step).enumerate() {
        // Every fourth is a chord.
        let keys: &[usize] = if number % 4 == 0 { &[0, 4, 7] } else { &[12] };
        for key in keys {
            let pitch = 40 + (number * 5 + key) % 48;
            let hertz = 440.0 * 2f64.powf((pitch as f64 - 69.0) / 12.0);
            for (at, sum) in sums[begin..].iter_mut().take(6 * step).enumerate() {
                let time = at as f64 / f64::from(RATE);
                let tone = |overtone: f64| (time * hertz * overtone * std::f64::consts::TAU).sin();
                let fade = (-3.0 * time).exp();
                *sum += (0.12 * fade * (tone(1.0) + 0.5 * tone(2.0) + 0.25 * tone(3.0))) as f32;
            }
        }
    }
    let bytes = (count * 4) as u32;
    let mut wav = Vec::with_capacity(44 + count * 4);
    wav.extend(b"RIFF");
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes());
    // Plain numbers, two channels, 16 bits.
    wav.extend(1u16.to_le_bytes());
    wav.extend(2u16.to_le_bytes());
    wav.extend(RATE.to_le_bytes());
    wav.extend((RATE * 4).to_le_bytes());
    wav.extend(4u16.to_le_bytes());
    wav.extend(16u16.to_le_bytes());
    wav.extend(b"data");
    wav.extend(bytes.to_le_bytes());
    for sum in sums {
        for gain in [1.0, 0.8] {
            let sample = (sum * gain).clamp(-1.0, 1.0) * f32::from(i16::MAX);
            wav.extend((sample as i16).to_le_bytes());
        }
    }
    wav
}

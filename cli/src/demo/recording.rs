//! Turns notes into a recording: a struck string for each note, made of decaying partials, and the samples as a WAV file.
//! The same notes always give the same bytes. It must not know which piece it plays.

use std::f64::consts::{PI, TAU};

use music::Note;

const RATE: u32 = 44_100;
const CHANNELS: u16 = 2;
const PARTIALS: u32 = 8;
/// Partials above this would only add hiss.
const HIGHEST_HZ: f64 = 9_000.0;
/// How much a stiff string's partials lie above the multiples of its lowest one.
const STIFFNESS: f64 = 0.000_25;
/// A soft hammer. A hard one's click reads as a second stroke of every string that still sounds.
const ATTACK_SECONDS: f64 = 0.025;
/// How long the lowest partial of middle C rings.
const RING_SECONDS: f64 = 1.0;
/// How fast a string dies away when its key is let go.
const RELEASE_SECONDS: f64 = 0.06;
/// What sounds on after the last key was let go.
const TAIL_SECONDS: f64 = 0.6;
const PEAK: f64 = 0.7;

/// A whole WAV file: 44.1 kHz, 16 bit, stereo.
pub(crate) fn wav(notes: &[Note]) -> Vec<u8> {
    let end = notes.iter().map(|note| note.offset).fold(0.0, f64::max) + TAIL_SECONDS;
    let frames = (end * f64::from(RATE)).ceil() as usize;
    let mut sound = vec![[0.0; CHANNELS as usize]; frames];
    for note in notes {
        strike(note, &mut sound);
    }
    let loudest = sound
        .iter()
        .flatten()
        .fold(f64::MIN_POSITIVE, |loudest, sample: &f64| {
            loudest.max(sample.abs())
        });
    let scale = PEAK * f64::from(i16::MAX) / loudest;
    let samples = sound
        .iter()
        .flatten()
        .map(|sample| (sample * scale).round() as i16);
    let mut file = header(frames);
    file.extend(samples.flat_map(i16::to_le_bytes));
    file
}

/// Adds one note to the sound. Each partial is a number that turns and shrinks in the complex plane.
fn strike(note: &Note, sound: &mut [[f64; CHANNELS as usize]]) {
    let rate = f64::from(RATE);
    let start = (note.onset * rate).round() as usize;
    let held = ((note.offset - note.onset) * rate).round() as usize;
    let released = held + (RELEASE_SECONDS * 6.0 * rate) as usize;
    let lowest_hz = 440.0 * 2f64.powf((f64::from(note.pitch) - 69.0) / 12.0);
    let loudness = (f64::from(note.velocity) / 127.0).powi(2);
    let release = (-1.0 / (RELEASE_SECONDS * rate)).exp();
    // Low strings stand on the left, as they do for the player, and ring longer.
    let right = ((f64::from(note.pitch) - 36.0) / 60.0).clamp(0.2, 0.8);
    let rings_seconds = RING_SECONDS * (261.6 / lowest_hz).sqrt();
    for partial in 1..=PARTIALS {
        let number = f64::from(partial);
        let hz = lowest_hz * number * (1.0 + STIFFNESS * number * number).sqrt();
        if hz > HIGHEST_HZ {
            break;
        }
        let decay = (-(0.2 + 0.8 * number) / (rings_seconds * rate)).exp();
        let (turn_im, turn_re) = (TAU * hz / rate).sin_cos();
        let (mut re, mut im) = (loudness / (number * number), 0.0);
        let mut damper = 1.0;
        let frames = sound.iter_mut().skip(start).take(released).enumerate();
        for (frame, [left_sample, right_sample]) in frames {
            (re, im) = (
                (re * turn_re - im * turn_im) * decay,
                (re * turn_im + im * turn_re) * decay,
            );
            if frame > held {
                damper *= release;
            }
            let attack = ease(frame as f64 / (ATTACK_SECONDS * rate));
            let sample = im * attack * damper;
            *left_sample += sample * (1.0 - right);
            *right_sample += sample * right;
        }
    }
}

/// From 0 to 1 without a corner.
fn ease(part: f64) -> f64 {
    0.5 - 0.5 * (PI * part.min(1.0)).cos()
}

fn header(frames: usize) -> Vec<u8> {
    let frame_bytes = CHANNELS * 2;
    let data_bytes = frames as u32 * u32::from(frame_bytes);
    let mut file = Vec::with_capacity(44 + data_bytes as usize);
    file.extend(b"RIFF");
    file.extend((36 + data_bytes).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16u32.to_le_bytes());
    file.extend(1u16.to_le_bytes());
    file.extend(CHANNELS.to_le_bytes());
    file.extend(RATE.to_le_bytes());
    file.extend((RATE * u32::from(frame_bytes)).to_le_bytes());
    file.extend(frame_bytes.to_le_bytes());
    file.extend(16u16.to_le_bytes());
    file.extend(b"data");
    file.extend(data_bytes.to_le_bytes());
    file
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::demo::score;

    #[test]
    fn the_same_recording_comes_out_every_time() {
        let wav = wav(&score::notes());
        assert_eq!(wav, super::wav(&score::notes()));
        assert_eq!(
            hex::encode(Sha256::digest(&wav)),
            "85e132f3fc408ffbf485286fe8f0c692277cebe3b02b2dcbc3a59b16366cb71d"
        );
    }

    #[test]
    fn the_decoder_reads_it_back_whole() {
        let wav = wav(&score::notes());
        let frames = (wav.len() - 44) / 4;
        let probe = audio::probe(Box::new(Cursor::new(wav.clone())), Some("wav")).unwrap();
        assert_eq!(
            (probe.format, probe.sample_rate, probe.channels),
            ("wav", RATE, CHANNELS)
        );
        let limits = audio::Limits::default();
        let mut recording =
            audio::Recording::open(Box::new(Cursor::new(wav)), Some("wav"), limits).unwrap();
        let mut decoded = 0;
        while let Some(block) = recording.next_block().unwrap() {
            decoded += block.samples.len() / usize::from(CHANNELS);
        }
        assert_eq!(decoded, frames);
        let seconds = frames as f64 / f64::from(RATE);
        assert!((11.0..13.0).contains(&seconds), "{seconds} s");
    }
}

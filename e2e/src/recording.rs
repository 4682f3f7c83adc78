//! Recordings that are made on the spot, and their right notes. Nothing is downloaded.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::Context;
use music::Transcript;

use crate::command;

/// Samples a second. Low, so that an hour is small enough to upload.
const RATE: u32 = 8000;

/// A melody of that many seconds as a WAV file of 8-bit samples; another `key` is another melody.
pub(crate) fn melody(seconds: u32, key: u32) -> Vec<u8> {
    let samples = seconds * RATE;
    let mut bytes = header(samples);
    bytes.reserve(samples as usize);
    let note = RATE / 2;
    for index in 0..samples {
        // Steps of a pentatonic scale, half a second each, softly ended.
        let step = (index / note).wrapping_mul(7).wrapping_add(key) % 10;
        let semitones = [0, 2, 4, 7, 9][(step % 5) as usize] + 12 * (step / 5) as i32;
        let frequency = 220.0 * 2f64.powf(f64::from(semitones) / 12.0);
        let within = f64::from(index % note) / f64::from(note);
        let time = f64::from(index) / f64::from(RATE);
        let tone = (std::f64::consts::TAU * frequency * time).sin();
        let value = 128.0 + 90.0 * tone * (1.0 - within);
        // Between 38 and 218.
        bytes.push(value as u8);
    }
    bytes
}

fn header(samples: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(44);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + samples).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16u32.to_le_bytes());
    bytes.extend_from_slice(&1u16.to_le_bytes());
    bytes.extend_from_slice(&1u16.to_le_bytes());
    bytes.extend_from_slice(&RATE.to_le_bytes());
    bytes.extend_from_slice(&RATE.to_le_bytes());
    bytes.extend_from_slice(&1u16.to_le_bytes());
    bytes.extend_from_slice(&8u16.to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&samples.to_le_bytes());
    bytes
}

/// What `wtt transcribe` makes of it on this machine, with one network.
pub(crate) struct Reference {
    pub(crate) midi: Vec<u8>,
    pub(crate) notes: Transcript,
}

impl Reference {
    pub(crate) async fn of(wtt: &Path, model: &str, recording: &[u8]) -> anyhow::Result<Reference> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("recording.wav");
        fs_err::write(&file, recording)?;
        let (midi, notes) = (
            folder.path().join("take.mid"),
            folder.path().join("take.json"),
        );
        let program = wtt.to_str().context("the path of wtt is not text")?;
        let arguments: [&OsStr; 8] = [
            "transcribe".as_ref(),
            file.as_os_str(),
            "--model".as_ref(),
            model.as_ref(),
            "-o".as_ref(),
            midi.as_os_str(),
            "--notes".as_ref(),
            notes.as_os_str(),
        ];
        command::run(program, &arguments).await?;
        Ok(Reference {
            midi: fs_err::read(midi)?,
            notes: Transcript::from_json(&fs_err::read_to_string(notes)?)?,
        })
    }

    /// Whether a MIDI file that the system gave is the right one.
    pub(crate) fn check(&self, midi: &[u8], whose: &str) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.notes.notes.is_empty(),
            "the reference has no notes: the test would prove nothing"
        );
        anyhow::ensure!(
            self.midi == midi,
            "{whose}: {} bytes of MIDI, and wtt transcribe gives {} bytes that differ",
            midi.len(),
            self.midi.len()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn melodies_have_the_length_asked_for_and_differ_by_key() {
        let one = melody(3, 0);
        assert_eq!(one.len(), 44 + 3 * 8000);
        assert_eq!(&one[40..44], &24_000u32.to_le_bytes());
        assert_ne!(one, melody(3, 1));
    }
}

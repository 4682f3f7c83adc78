//! Recordings that are told apart by their notes, and what an undisturbed transcription of each of them gives. The same seed gives
//! the same recordings. It knows no server.

use std::collections::HashSet;
use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

/// Enough for the notes below; the uploads stay small.
const RATE: u32 = 8_000;
/// Long enough to tell how fast the network is here.
const TRIAL_SECONDS: u32 = 60;
const SHORTEST_SECONDS: u32 = 12;
/// A few MB; some hundred of them are uploaded.
const LONGEST_SECONDS: u32 = 180;

/// A recording, and its notes as `wtt transcribe` finds them when nothing goes wrong.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) wav: Vec<u8>,
    pub(crate) midi: Vec<u8>,
    pub(crate) notes: Value,
}

/// Makes `count` melodies, each about as long as takes `cost_seconds` of one core, and transcribes them in one undisturbed process.
pub(crate) fn recordings(
    wtt: &Path,
    folder: &Path,
    seed: u64,
    count: usize,
    cost_seconds: f64,
) -> anyhow::Result<Vec<Recording>> {
    let mut random = StdRng::seed_from_u64(seed);
    fs_err::create_dir_all(folder)?;
    let trial = folder.join("trial.wav");
    fs_err::write(&trial, melody(&mut random, TRIAL_SECONDS))?;
    let said = transcribe(wtt, folder, std::slice::from_ref(&trial))?;
    let said: Value =
        serde_json::from_slice(&said).context("wtt transcribe --json says nothing")?;
    let factor = said["real_time_factor"]
        .as_f64()
        .context("no real time factor")?;
    let middle = ((factor * cost_seconds) as u32).clamp(SHORTEST_SECONDS, LONGEST_SECONDS);
    let seconds = middle * 2 / 3..=middle * 4 / 3;
    println!("chaos: transcribing {count} recordings of {seconds:?} s undisturbed");
    let mut files: Vec<PathBuf> = Vec::new();
    for number in 0..count {
        let file = folder.join(format!("melody-{number}.wav"));
        let length = random.random_range(seconds.clone());
        fs_err::write(&file, melody(&mut random, length))?;
        files.push(file);
    }
    transcribe(wtt, folder, &files)?;
    let made: Vec<Recording> = files
        .iter()
        .map(|file| read(file))
        .collect::<Result<_, _>>()?;
    let different: HashSet<&[u8]> = made.iter().map(|one| one.midi.as_slice()).collect();
    anyhow::ensure!(
        different.len() == made.len(),
        "two melodies sound alike, so that a swapped result would go unnoticed"
    );
    Ok(made)
}

fn transcribe(wtt: &Path, folder: &Path, files: &[PathBuf]) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new(wtt);
    command
        .arg("transcribe")
        .args(files)
        .args(["--json", "--threads", "1", "--force", "-o"]);
    // A single recording takes names of files, several take a folder.
    match files {
        [one] => command.arg(one.with_extension("mid")),
        _ => command.arg(folder).args(["--notes", "json"]),
    };
    let done = command
        .output()
        .with_context(|| format!("cannot run {}", wtt.display()))?;
    anyhow::ensure!(
        done.status.success(),
        "wtt transcribe failed: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(done.stdout)
}

fn read(file: &Path) -> anyhow::Result<Recording> {
    let notes: Value = serde_json::from_slice(&fs_err::read(file.with_extension("json"))?)?;
    anyhow::ensure!(
        notes["notes"]
            .as_array()
            .is_some_and(|notes| notes.len() > 3),
        "{} has hardly any notes",
        file.display()
    );
    Ok(Recording {
        name: file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        wav: fs_err::read(file)?,
        midi: fs_err::read(file.with_extension("mid"))?,
        notes: heard(&notes),
    })
}

/// What was heard, without where and how it was computed.
pub(crate) fn heard(document: &Value) -> Value {
    serde_json::json!({ "notes": document["notes"], "pedals": document["pedals"] })
}

/// A WAV file, 16 bit, mono: plucked notes one after the other, two octaves around middle C.
fn melody(random: &mut StdRng, seconds: u32) -> Vec<u8> {
    let frames = (seconds * RATE) as usize;
    let mut samples: Vec<i16> = Vec::with_capacity(frames);
    while samples.len() < frames {
        let hz = 440.0 * 2f64.powf((f64::from(random.random_range(48..84)) - 69.0) / 12.0);
        let length = f64::from(random.random_range(4..9)) * 0.08;
        for frame in 0..(length * f64::from(RATE)) as usize {
            let time = frame as f64 / f64::from(RATE);
            let attack = (time / 0.01).min(1.0);
            let wave = (TAU * hz * time).sin() + 0.4 * (2.0 * TAU * hz * time).sin();
            samples.push((9_000.0 * attack * (-2.0 * time).exp() * wave) as i16);
        }
    }
    samples.truncate(frames);
    let data = samples.len() as u32 * 2;
    let mut file = Vec::with_capacity(44 + data as usize);
    file.extend(b"RIFF");
    file.extend((36 + data).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16u32.to_le_bytes());
    file.extend([1, 0, 1, 0]);
    file.extend(RATE.to_le_bytes());
    file.extend((RATE * 2).to_le_bytes());
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(data.to_le_bytes());
    file.extend(samples.into_iter().flat_map(i16::to_le_bytes));
    file
}

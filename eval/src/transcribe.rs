//! Has recordings transcribed: by the `wtt` that a user runs, or by the baseline.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use music::{Note, Transcript};

use crate::args::Args;
use crate::peaks;
use crate::run::Clip;

pub(crate) const BASELINE: &str = "peaks";

/// What a network made of all clips, in their order.
pub(crate) struct Transcribed {
    pub(crate) notes: Vec<Vec<Note>>,
    pub(crate) audio_seconds: f64,
    pub(crate) wall_seconds: f64,
}

pub(crate) fn all(model: &str, clips: &[Clip], args: &Args) -> Result<Transcribed> {
    let transcribed = if model == BASELINE {
        by_peaks(clips)?
    } else {
        by_wtt(model, clips, args)?
    };
    anyhow::ensure!(
        transcribed.notes.len() == clips.len(),
        "{model} left recordings out"
    );
    Ok(transcribed)
}

fn by_peaks(clips: &[Clip]) -> Result<Transcribed> {
    let started = Instant::now();
    let mut notes = Vec::with_capacity(clips.len());
    for clip in clips {
        let mut wav =
            hound::WavReader::open(&clip.file).with_context(|| clip.file.display().to_string())?;
        let samples: Vec<f32> = wav
            .samples::<i16>()
            .map(|sample| sample.map(|s| f32::from(s) / 32768.0))
            .collect::<Result<_, _>>()?;
        let mono: Vec<f32> = samples
            .chunks_exact(2)
            .map(|pair| (pair[0] + pair[1]) / 2.0)
            .collect();
        notes.push(peaks::notes(&mono));
    }
    Ok(Transcribed {
        notes,
        audio_seconds: clips.iter().map(|clip| clip.seconds).sum(),
        wall_seconds: started.elapsed().as_secs_f64(),
    })
}

#[derive(serde::Deserialize)]
struct Line {
    audio_seconds: f64,
    wall_seconds: f64,
}

/// One command for all recordings: the network is loaded once, as it is in a service.
fn by_wtt(model: &str, clips: &[Clip], args: &Args) -> Result<Transcribed> {
    let folder = args.folder.join("notes").join(model.replace(':', "-"));
    if folder.exists() {
        fs_err::remove_dir_all(&folder)?;
    }
    fs_err::create_dir_all(&folder)?;
    let output = Command::new(&args.wtt)
        .args([
            "transcribe",
            "--json",
            "--force",
            "--notes",
            "json",
            "--model",
            model,
        ])
        .args(["--threads", &args.threads.to_string(), "--output"])
        .arg(&folder)
        .args(clips.iter().map(|clip| &clip.file))
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} did not start; build it: make build", args.wtt.display()))?;
    if !output.status.success() {
        bail!("wtt transcribe --model {model} failed; its lines above say why");
    }
    let lines: Vec<Line> = String::from_utf8(output.stdout)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("wtt transcribe --json wrote something else")?;
    anyhow::ensure!(
        lines.len() == clips.len(),
        "{model}: {} lines for {} recordings",
        lines.len(),
        clips.len()
    );
    Ok(Transcribed {
        notes: clips
            .iter()
            .map(|clip| read(&folder, &clip.file))
            .collect::<Result<_>>()?,
        audio_seconds: lines.iter().map(|line| line.audio_seconds).sum(),
        wall_seconds: lines.iter().map(|line| line.wall_seconds).sum(),
    })
}

fn read(folder: &Path, recording: &Path) -> Result<Vec<Note>> {
    let stem = recording
        .file_stem()
        .context("a recording without a name")?;
    let file: PathBuf = folder.join(stem).with_extension("json");
    Ok(Transcript::from_json(&fs_err::read_to_string(&file)?)?.notes)
}

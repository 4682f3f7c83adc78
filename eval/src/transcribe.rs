//! Has recordings transcribed: by the `wtt` that a user runs, or by the baseline.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use music::{Note, Transcript};

use crate::args::Args;
use crate::peaks;
use crate::row::label;
use crate::run::Clip;

pub(crate) const BASELINE: &str = "peaks";

/// What a network made of all clips, in their order.
pub(crate) struct Transcribed {
    pub(crate) notes: Vec<Vec<Note>>,
    pub(crate) audio_seconds: f64,
    pub(crate) wall_seconds: f64,
    /// Digest of the network's weights.
    pub(crate) weights: Option<String>,
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
        weights: None,
    })
}

#[derive(serde::Deserialize)]
struct Line {
    audio_seconds: f64,
    wall_seconds: f64,
    model_digest: Option<String>,
}

/// One command for all recordings: the network is loaded once, as it is in a service. The first recording, a copy of the shortest,
/// is there to load it and is not counted.
fn by_wtt(model: &str, clips: &[Clip], args: &Args) -> Result<Transcribed> {
    let label = label(model, &args.precision, args.libtorch, &args.device);
    let folder = args
        .folder
        .join("notes")
        .join(label.replace([':', ',', ' '], "-"));
    let warm_up = args.folder.join("warm-up.wav");
    let shortest = clips
        .iter()
        .min_by(|a, b| a.seconds.total_cmp(&b.seconds))
        .context("no recordings")?;
    fs_err::copy(&shortest.file, &warm_up)?;
    if folder.exists() {
        fs_err::remove_dir_all(&folder)?;
    }
    fs_err::create_dir_all(&folder)?;
    let mut command = Command::new(&args.wtt);
    command
        .args([
            "transcribe",
            "--json",
            "--force",
            "--notes",
            "json",
            "--model",
            model,
        ])
        .args(["--threads", &args.threads.to_string()])
        .args(["--device", &args.device]);
    // Asked for only where it is not the usual, so that an older `wtt` can be evaluated too.
    if args.precision != "f32" {
        command.args(["--precision", &args.precision]);
    }
    if args.libtorch {
        command.arg("--libtorch");
    }
    command.arg("--output").arg(&folder);
    if args.precision != "f32" {
        // Hours of what nobody asked for are not worth their end.
        let mut alone = Command::new(command.get_program());
        let first = alone.args(command.get_args()).arg(&warm_up);
        first.stdout(Stdio::null()).status()?;
        read(&folder, &warm_up, &args.precision)?;
    }
    let output = command
        .arg(&warm_up)
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
        lines.len() == clips.len() + 1,
        "{model}: {} lines for {} recordings",
        lines.len(),
        clips.len() + 1
    );
    let counted = &lines[1..];
    Ok(Transcribed {
        notes: clips
            .iter()
            .map(|clip| read(&folder, &clip.file, &args.precision))
            .collect::<Result<_>>()?,
        audio_seconds: counted.iter().map(|line| line.audio_seconds).sum(),
        wall_seconds: counted.iter().map(|line| line.wall_seconds).sum(),
        weights: lines[0].model_digest.clone(),
    })
}

/// The notes of a recording, if they were computed in what was asked for: a row must not be called what it is not.
fn read(folder: &Path, recording: &Path, precision: &str) -> Result<Vec<Note>> {
    let stem = recording
        .file_stem()
        .context("a recording without a name")?;
    let file: PathBuf = folder.join(stem).with_extension("json");
    let transcript = Transcript::from_json(&fs_err::read_to_string(&file)?)?;
    let computed = transcript.provenance["precision"].as_str();
    anyhow::ensure!(
        computed == Some(precision),
        "asked for {precision}, the network computed in {}: a processor has f32, and with --libtorch bf16, and not every network has both",
        computed.unwrap_or("what its notes do not say")
    );
    Ok(transcript.notes)
}

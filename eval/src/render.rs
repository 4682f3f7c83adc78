//! Plays notes: MIDI, FluidSynth and a soundfont. What a font delays is measured with a click and added to the truth.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use music::midi::{self, MidiOptions};
use music::{Note, Transcript};

use crate::clip::Piece;
use crate::corpus::note;
use crate::wav::{RATE, Sound};

/// The fonts, as Debian has them: name, file, package.
const FONTS: &[(&str, &str, &str)] = &[
    (
        "FluidR3",
        "/usr/share/sounds/sf2/FluidR3_GM.sf2",
        "fluid-soundfont-gm",
    ),
    (
        "TimGM6mb",
        "/usr/share/sounds/sf2/TimGM6mb.sf2",
        "timgm6mb-soundfont",
    ),
    (
        "MuseScore",
        "/usr/share/sounds/sf3/MuseScore_General_Lite.sf3",
        "musescore-general-soundfont-small",
    ),
];

#[derive(Debug, Clone)]
pub(crate) struct Font {
    pub(crate) name: &'static str,
    file: PathBuf,
    /// How late its quickest sound begins.
    pub(crate) latency_seconds: f64,
}

/// The fonts wanted (all, where none is named), each with its delay measured.
pub(crate) fn fonts(wanted: &[String], work: &Path) -> Result<Vec<Font>> {
    if Command::new("fluidsynth")
        .arg("--version")
        .output()
        .is_err()
    {
        bail!("fluidsynth is missing; install it: apt-get install fluidsynth");
    }
    let mut fonts = Vec::new();
    for (name, file, package) in FONTS {
        let lower = name.to_lowercase();
        if !wanted.is_empty()
            && !wanted
                .iter()
                .any(|part| lower.contains(&part.to_lowercase()))
        {
            continue;
        }
        if !Path::new(file).exists() {
            bail!("the soundfont {name} is missing; install it: apt-get install {package}");
        }
        let mut font = Font {
            name,
            file: file.into(),
            latency_seconds: 0.0,
        };
        font.latency_seconds = latency_seconds(&font, work)?;
        fonts.push(font);
    }
    if fonts.is_empty() {
        let known: Vec<&str> = FONTS.iter().map(|(name, ..)| *name).collect();
        bail!("no soundfont matches {wanted:?}; there are {known:?}");
    }
    Ok(fonts)
}

/// The sound of a piece, without reverberation or chorus.
pub(crate) fn play(piece: &Piece, font: &Font, work: &Path) -> Result<Sound> {
    let mut all = piece.notes.clone();
    all.extend_from_slice(&piece.drums);
    let mut transcript = Transcript::new(serde_json::json!({}));
    transcript.notes = all;
    let (score, raw) = (work.join("piece.mid"), work.join("piece.raw"));
    fs_err::write(&score, midi::write(&transcript, &MidiOptions::default()))?;
    let output = Command::new("fluidsynth")
        .args(["-ni", "-q", "-T", "raw", "-O", "float", "-E", "little"])
        .args([
            "-r",
            &RATE.to_string(),
            "-g",
            "0.3",
            "-R",
            "0",
            "-C",
            "0",
            "-F",
        ])
        .args([&raw, &font.file, &score])
        .output()
        .context("fluidsynth did not start")?;
    if !output.status.success() {
        bail!(
            "fluidsynth failed with {}: {}",
            font.name,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Sound::from_raw(&raw).with_context(|| format!("{} wrote nothing for {}", font.name, piece.name))
}

/// A wood block is struck after a second; where its sound reaches a tenth of its peak, it began.
fn latency_seconds(font: &Font, work: &Path) -> Result<f64> {
    const WOOD_BLOCK: u8 = 115;
    let click = Piece {
        name: "click".into(),
        group: crate::clip::Group::Hard,
        notes: vec![note(84, 1.0, 1.5, 120, WOOD_BLOCK)],
        drums: Vec::<Note>::new(),
    };
    let sound = play(&click, font, work)?;
    let threshold = sound.loudest() / 10.0;
    let first = sound
        .mono()
        .iter()
        .position(|sample| sample.abs() > threshold);
    let first = first
        .with_context(|| format!("{} has no wood block to measure its delay with", font.name))?;
    Ok(first as f64 / f64::from(RATE) - 1.0)
}

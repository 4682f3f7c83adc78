//! The evaluation from end to end: play, transcribe, count, report.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use music::Note;
use serde_json::json;

use crate::args::Args;
use crate::clip::{Group, Piece, Spoil, audible};
use crate::metrics::{Measures, measure};
use crate::report::{self, Result as ModelResult};
use crate::{corpus, render, transcribe};

/// A recording whose notes are known.
pub(crate) struct Clip {
    pub(crate) group: Group,
    pub(crate) file: PathBuf,
    pub(crate) truth: Vec<Note>,
    pub(crate) seconds: f64,
}

/// What is done to the piano pieces of the first font, for the row of spoiled ones.
const SPOILS: [Spoil; 3] = [
    Spoil::Noise { below_db: 15 },
    Spoil::Quieter { by_db: 20 },
    Spoil::Clipped { at_percent: 25 },
];

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command: its table goes to the terminal"
)]
pub(crate) fn run(args: &Args) -> Result<()> {
    eprintln!("eval: seed {}", args.seed);
    let clips = play_all(args)?;
    let seconds: f64 = clips.iter().map(|clip| clip.seconds).sum();
    let notes: usize = clips.iter().map(|clip| clip.truth.len()).sum();
    eprintln!(
        "eval: {} recordings, {seconds:.0} s, {notes} notes",
        clips.len()
    );

    let store = args.folder.join("results.json");
    let corpus = format!(
        "seed {}, {} recordings, {seconds:.3} s, {notes} notes",
        args.seed,
        clips.len()
    );
    let mut results = report::kept(&store, &corpus);
    let mut pairs = Vec::new();
    for model in &args.models {
        eprintln!("eval: {model} ...");
        let heard = transcribe::all(model, &clips, args)?;
        let measures: Vec<Measures> = clips
            .iter()
            .zip(&heard.notes)
            .map(|(clip, notes)| measure(&clip.truth, notes))
            .collect();
        for ((clip, notes), measures) in clips.iter().zip(&heard.notes).zip(&measures) {
            pairs.push(json!({"model": model, "file": clip.file, "reference": clip.truth, "estimated": notes, "measures": measures}));
        }
        let mut by_group: BTreeMap<&str, Vec<Measures>> = BTreeMap::new();
        for (clip, measures) in clips.iter().zip(&measures) {
            by_group
                .entry(clip.group.word())
                .or_default()
                .push(*measures);
        }
        results.retain(|result| result.model != *model);
        results.push(ModelResult::new(
            model,
            &by_group,
            heard.audio_seconds / heard.wall_seconds,
            args.seed,
        ));
    }
    report::sort(&mut results);
    // For scripts/eval/crosscheck.py, which counts them with the published package.
    fs_err::write(args.folder.join("pairs.json"), serde_json::to_vec(&pairs)?)?;
    report::keep(&store, &corpus, &results)?;
    let markdown = report::markdown(&corpus, &results);
    println!("{markdown}");
    if args.write_docs {
        report::write_docs(&markdown, &results)?;
    }
    Ok(())
}

fn play_all(args: &Args) -> Result<Vec<Clip>> {
    let recordings = args.folder.join("recordings");
    fs_err::create_dir_all(&recordings)?;
    let work = tempfile::tempdir().context("no temporary folder")?;
    let fonts = render::fonts(&args.fonts, work.path())?;
    for font in &fonts {
        eprint_font(font);
    }
    let wanted = |piece: &Piece| {
        args.pieces.is_empty() || args.pieces.iter().any(|part| piece.name.contains(part))
    };
    let pieces: Vec<Piece> = corpus::pieces(args.seed)?
        .into_iter()
        .filter(wanted)
        .collect();
    anyhow::ensure!(!pieces.is_empty(), "no piece matches {:?}", args.pieces);
    let mut clips = Vec::new();
    for (index, font) in fonts.iter().enumerate() {
        for piece in &pieces {
            let spoils = if index == 0 && piece.group == Group::Piano {
                &SPOILS[..]
            } else {
                &[]
            };
            for spoil in [&[Spoil::Nothing], spoils].concat() {
                let file =
                    recordings.join(format!("{}--{}{}.wav", font.name, piece.name, spoil.word()));
                let sound = render::play(piece, font, work.path())?.finished(spoil, args.seed)?;
                sound.write(&file)?;
                let late = |note: &Note| Note {
                    onset: note.onset + font.latency_seconds,
                    offset: note.offset + font.latency_seconds,
                    ..note.clone()
                };
                clips.push(Clip {
                    group: if spoil == Spoil::Nothing {
                        piece.group
                    } else {
                        Group::Hard
                    },
                    truth: audible(&piece.notes).iter().map(late).collect(),
                    seconds: sound.seconds(),
                    file,
                });
            }
        }
    }
    Ok(clips)
}

#[expect(clippy::print_stderr, reason = "a command")]
fn eprint_font(font: &render::Font) {
    eprintln!(
        "eval: soundfont {}, which sounds {:.1} ms late",
        font.name,
        font.latency_seconds * 1e3
    );
}

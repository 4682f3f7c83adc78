//! The evaluation from end to end: play, transcribe, count, report.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use music::Note;
use serde_json::json;

use crate::args::Args;
use crate::clip::{Group, Piece, Spoil, audible};
use crate::kept::{self, Kept};
use crate::metrics::{Measures, measure, pairs_with_offset};
use crate::report::{self, Table};
use crate::row::{Row, label, name};
use crate::session::Session;
use crate::{corpus, render, transcribe};

/// A recording whose notes are known.
pub(crate) struct Clip {
    /// What is played in it, whichever font plays.
    pub(crate) piece: String,
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

    let corpus = format!(
        "seed {}, {} recordings, {seconds:.3} s, {notes} notes",
        args.seed,
        clips.len()
    );
    let labels: Vec<String> = args
        .models
        .iter()
        .map(|model| label(model, &args.precision, args.libtorch, &args.device))
        .collect();
    let store = if args.write_docs {
        PathBuf::from(kept::FILE)
    } else {
        args.folder.join("results.json")
    };
    let mut kept = with_earlier(args, &store, Kept::new(corpus, stems(&clips)), &labels)?;
    let session = Session::now(args.threads, &args.device);
    let mut pairs = Vec::new();
    for (model, label) in args.models.iter().zip(&labels) {
        eprintln!("eval: {label} ...");
        let heard = transcribe::all(model, &clips, args)?;
        let measures: Vec<Measures> = clips
            .iter()
            .zip(&heard.notes)
            .map(|(clip, notes)| measure(&clip.truth, notes))
            .collect();
        for ((clip, notes), measures) in clips.iter().zip(&heard.notes).zip(&measures) {
            let paired = pairs_with_offset(&clip.truth, notes);
            pairs.push(json!({"model": label, "file": clip.file, "reference": clip.truth, "estimated": notes, "measures": measures, "pairs_with_offset": paired}));
        }
        kept.put(Row::new(
            label.clone(),
            &clips,
            &measures,
            &heard,
            session.clone(),
            args.seed,
        ));
        // After each network: what took hours is not lost when a later one fails.
        kept.write(&store)?;
    }
    // For scripts/eval/crosscheck.py, which counts them with the published package.
    fs_err::write(args.folder.join("pairs.json"), serde_json::to_vec(&pairs)?)?;
    let pieces: Vec<&str> = clips.iter().map(|clip| clip.piece.as_str()).collect();
    let table = Table {
        corpus: &kept.corpus,
        rows: &kept.rows,
        pieces: &pieces,
        session: &session,
        seed: args.seed,
    };
    println!("{}", table.markdown());
    for row in &kept.rows {
        let origin = if labels.contains(&row.label) {
            "from this run".to_owned()
        } else {
            format!("kept, measured {}", row.measured.words())
        };
        eprintln!("eval: row {}: {origin}", name(&row.label));
    }
    if args.write_docs {
        report::write_docs(&table)?;
    }
    Ok(())
}

/// The rows to begin with: those of an earlier run with the same recordings. Documents that would lose a row are refused here,
/// before any network runs.
fn with_earlier(args: &Args, store: &Path, mut kept: Kept, labels: &[String]) -> Result<Kept> {
    let earlier = Kept::read(store)?;
    if let Some(earlier) = &earlier {
        kept.take_over(earlier);
    }
    if args.write_docs {
        let mut shown = report::shown()?;
        let before = earlier.iter().flat_map(Kept::labels);
        shown.extend(before.map(|label| name(label).to_owned()));
        let to_be: Vec<&str> = kept
            .labels()
            .into_iter()
            .chain(labels.iter().map(String::as_str))
            .collect();
        kept::check_none_lost(&shown, &to_be)?;
    }
    Ok(kept)
}

/// The recordings' names, which are the same wherever the folder lies.
fn stems(clips: &[Clip]) -> Vec<String> {
    clips
        .iter()
        .map(|clip| {
            let stem = clip.file.file_stem().unwrap_or_default();
            stem.to_string_lossy().into_owned()
        })
        .collect()
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
                    piece: piece.name.clone(),
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

//! `wtt transcribe`: files in, MIDI out, on this machine and without a server.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use transcription::registry::{Brought, Store};
use transcription::{DeviceChoice, Engine, EngineConfig, Finished, Precision, Song, SongEvent};

use crate::failure::{self, FAILED, Failure};
use crate::{output, ui};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wtt transcribe song.flac                       song.mid beside it
  wtt transcribe song.flac -o take.mid --notes take.json
  wtt transcribe album/*.mp3 -o notes/           one MIDI file each, goes on after a bad file
  wtt transcribe song.wav --json | jq .notes")]
pub(crate) struct Args {
    /// Recordings: WAV, FLAC, MP3, Ogg Vorbis, AAC/M4A, ALAC, AIFF, CAF, Matroska
    #[arg(required = true, value_name = "IN")]
    inputs: Vec<PathBuf>,

    /// MIDI file to write, `-` for standard output; a folder where there are several recordings [default: beside each recording]
    #[arg(short, long, env = "WTT_OUTPUT", value_name = "OUT")]
    output: Option<PathBuf>,

    /// Write the notes as data too: a file that ends in .json or .csv; with several recordings just `json` or `csv`, and they lie beside the MIDI files
    #[arg(long, env = "WTT_NOTES", value_name = "OUT.json|.csv")]
    notes: Option<PathBuf>,

    /// Network, such as basic-pitch or harmonica:small (`harmonica` alone is its medium size); `wtt models list` shows what there is
    #[arg(long, env = "WTT_MODEL", default_value = "basic-pitch")]
    model: String,

    /// Weights of mt3 for this run: safetensors, or what torch.save wrote [default: those that `wtt models pull mt3 --from FILE` installed]
    #[arg(long, env = "WTT_WEIGHTS", value_name = "FILE")]
    weights: Option<PathBuf>,

    /// Sizes of the network in --weights, where it is not the published one: a JSON object, or one that holds it under `config`
    #[arg(long, env = "WTT_CONFIG", value_name = "FILE", requires = "weights")]
    config: Option<PathBuf>,

    /// Whose inference the network in --weights follows: magenta or seed [default: what the weights say, else magenta]
    #[arg(long, env = "WTT_PROFILE", requires = "weights")]
    profile: Option<transcription::mt3::Profile>,

    /// Instruments that mt3 may hear: programs from 0, ranges such as 24-31, families such as bass or strings, drums; with commas [default: all]
    #[arg(long, env = "WTT_INSTRUMENTS", value_name = "LIST")]
    instruments: Option<String>,

    /// Keep one program for each family of instruments over a song of mt3, the one that sounds longest
    #[arg(long, env = "WTT_STABLE_PROGRAMS")]
    stable_programs: bool,

    /// Where the network runs: cpu, cuda or cuda:N
    #[arg(long, env = "WTT_DEVICE", default_value = "cpu")]
    device: DeviceChoice,

    /// In what the network computes: f32, tf32 or bf16. The last two are quicker on a GPU and shift single notes; on a CPU bf16 takes --libtorch
    #[arg(
        long,
        env = "WTT_PRECISION",
        value_name = "f32|tf32|bf16",
        default_value = "f32"
    )]
    precision: Precision,

    /// Libtorch's operations on the CPU too, not our own: slower, for comparisons
    #[arg(long, env = "WTT_LIBTORCH")]
    libtorch: bool,

    /// CPU threads of the network; fewer leave room for other work, 0 takes all cores
    #[arg(long, env = "WTT_THREADS", default_value_t = 0)]
    threads: usize,

    /// Reproduce the network's package to the last note, its quirks included: basic-pitch loses the last 0.67 % of a song; of basic-pitch
    /// and harmonica the MIDI file is the package's too, without our provenance
    #[arg(long, env = "WTT_PARITY")]
    parity: bool,

    /// Least onset activation, 0 to 1: higher finds fewer, surer notes [default: the model's own, 0.5 of basic-pitch]
    #[arg(long, env = "WTT_ONSET_THRESHOLD", value_name = "0..1")]
    onset_threshold: Option<f64>,

    /// Least activation that keeps a note sounding, 0 to 1: higher ends notes earlier [default: the model's own, 0.3 of basic-pitch]
    #[arg(long, env = "WTT_FRAME_THRESHOLD", value_name = "0..1")]
    frame_threshold: Option<f64>,

    /// Shortest note in milliseconds: higher drops ghosts and grace notes alike [default: 127.7]
    #[arg(long, env = "WTT_MINIMUM_NOTE_LENGTH", value_name = "MS")]
    minimum_note_length: Option<f64>,

    /// Lowest frequency of a note, Hz
    #[arg(long, env = "WTT_MINIMUM_FREQUENCY", value_name = "HZ")]
    minimum_frequency: Option<f64>,

    /// Highest frequency of a note, Hz
    #[arg(long, env = "WTT_MAXIMUM_FREQUENCY", value_name = "HZ")]
    maximum_frequency: Option<f64>,

    /// Folder that holds the models [default: whatsthetab/models in the user's cache]
    #[arg(long, env = "WTT_MODELS_DIR", value_name = "DIR")]
    models_dir: Option<PathBuf>,

    /// Replace files that are there
    #[arg(long, env = "WTT_FORCE")]
    force: bool,

    /// A line of JSON per recording on standard output: file, audio_seconds, notes, wall_seconds, real_time_factor, model_digest
    #[arg(long, env = "WTT_JSON")]
    json: bool,
}

/// What one recording becomes.
struct Plan {
    input: PathBuf,
    midi: PathBuf,
    notes: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let options = options(&args);
    transcription::registry::parse_options(&args.model, &options)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let plans = plans(&args)?;
    let engine = engine(&args).inspect_err(|error| {
        if args.json {
            ui::line(failure::as_json(error).to_string());
        }
    })?;
    let mut code = ExitCode::SUCCESS;
    for plan in &plans {
        if let Err(error) = one(&args, &options, &engine, plan) {
            code = ExitCode::from(FAILED);
            if args.json {
                ui::line(failed_line(&plan.input, &error).to_string());
            }
            failure::say(&error.context(plan.input.display().to_string()));
        }
    }
    Ok(code)
}

/// The engine, when the network that is asked for is there and whole.
fn engine(args: &Args) -> anyhow::Result<Engine> {
    let models = models(args)?;
    models.installed(&args.model)?;
    Ok(Engine::start(EngineConfig {
        device: args.device,
        threads: args.threads,
        precision: args.precision,
        libtorch: args.libtorch,
        ..EngineConfig::new(models)
    })?)
}

/// The folder of models, and the weights that were brought for this run.
fn models(args: &Args) -> anyhow::Result<Store> {
    let store = Store::new(args.models_dir.clone().unwrap_or_else(Store::default_dir));
    let Some(file) = &args.weights else {
        return Ok(store);
    };
    if args.model != transcription::mt3::NAME {
        return Err(Failure::Usage(format!(
            "--weights is for --model mt3; `{}` has its own",
            args.model
        ))
        .into());
    }
    Ok(store.with_mt3(Brought {
        file: file.clone(),
        config: args
            .config
            .as_ref()
            .map(fs_err::read_to_string)
            .transpose()?,
        profile: args.profile,
    }))
}

fn one(
    args: &Args,
    options: &Map<String, Value>,
    engine: &Engine,
    plan: &Plan,
) -> anyhow::Result<()> {
    output::check(&plan.midi, args.force)?;
    plan.notes
        .as_deref()
        .map_or(Ok(()), |notes| output::check(notes, args.force))?;
    let file = fs_err::File::open(&plan.input)?;
    anyhow::ensure!(file.metadata()?.is_file(), "not a file");
    let submission = engine.submit(Song {
        source: Box::new(file.into_file()),
        extension: plan
            .input
            .extension()
            .and_then(|extension| extension.to_str())
            .map(str::to_owned),
        model: args.model.clone(),
        options: options.clone(),
        limits: audio::Limits {
            max_seconds: None,
            ..audio::Limits::default()
        },
        parity: args.parity,
    });
    let finished = follow(&submission.events, &plan.input)?;
    output::write(
        &plan.midi,
        &transcription::midi(&finished.transcript),
        args.force,
    )?;
    if let Some(path) = &plan.notes {
        output::write(path, &notes_file(path, &finished)?, args.force)?;
    }
    report(args, plan, &finished);
    Ok(())
}

fn follow(
    events: &std::sync::mpsc::Receiver<SongEvent>,
    input: &Path,
) -> anyhow::Result<Box<Finished>> {
    let bar = if ui::can_draw() {
        ProgressBar::new(0)
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) =
        ProgressStyle::with_template("{msg:24!} {prefix:10} {wide_bar} {percent:>3} % {elapsed}")
    {
        bar.set_style(style);
    }
    bar.set_message(
        input
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    );
    let result = loop {
        match events
            .recv()
            .context("the engine ended without an answer")?
        {
            SongEvent::Progress {
                stage,
                current,
                total,
            } => {
                bar.set_prefix(stage.as_str());
                total.into_iter().for_each(|total| bar.set_length(total));
                bar.set_position(current);
            }
            SongEvent::Done(result) => break result,
        }
    };
    bar.finish_and_clear();
    Ok(result?)
}

fn report(args: &Args, plan: &Plan, finished: &Finished) {
    for warning in &finished.warnings {
        ui::note(format!("{}: warning: {warning}", plan.input.display()));
    }
    let computed = finished.transcript.provenance["precision"].as_str();
    if let Some(computed) = computed.filter(|computed| *computed != args.precision.as_str()) {
        ui::note(format!(
            "{}: warning: computed in {computed}, not in {}: tf32 takes a GPU, bf16 a GPU or --libtorch, and not every network has them",
            plan.input.display(),
            args.precision
        ));
    }
    let (count, wall_seconds) = (finished.transcript.notes.len(), finished.wall.as_secs_f64());
    if args.json {
        let line = json!({
            "file": plan.input,
            "midi": plan.midi,
            "audio_seconds": finished.audio_seconds,
            "notes": count,
            "wall_seconds": wall_seconds,
            "real_time_factor": finished.audio_seconds / wall_seconds,
            "model": transcription::registry::canonical(&args.model),
            "model_digest": finished.model_digest,
            "device": finished.device,
            "warnings": finished.warnings,
        });
        ui::line(line.to_string());
    } else {
        ui::note(format!(
            "{}: {count} notes in {:.1} s of audio -> {} ({wall_seconds:.1} s, {:.0}x real time)",
            plan.input.display(),
            finished.audio_seconds,
            plan.midi.display(),
            finished.audio_seconds / wall_seconds
        ));
    }
}

fn failed_line(input: &Path, error: &anyhow::Error) -> Value {
    let mut line = failure::as_json(error);
    line["file"] = json!(input);
    if line["error"]["code"].is_null() {
        line["error"]["code"] = "failed".into();
    }
    line
}

fn notes_file(path: &Path, finished: &Finished) -> anyhow::Result<Vec<u8>> {
    if path.extension().is_some_and(|extension| extension == "csv") {
        return Ok(music::csv::write(&finished.transcript.notes).into_bytes());
    }
    Ok(finished.transcript.to_json()?.into_bytes())
}

fn options(args: &Args) -> Map<String, Value> {
    let given = [
        ("onset_threshold", args.onset_threshold),
        ("frame_threshold", args.frame_threshold),
        ("minimum_note_length", args.minimum_note_length),
        ("minimum_frequency", args.minimum_frequency),
        ("maximum_frequency", args.maximum_frequency),
    ];
    let instruments = args
        .instruments
        .as_ref()
        .map(|list| ("instruments".to_owned(), Value::from(list.as_str())));
    let stable = args
        .stable_programs
        .then(|| ("stable_programs".to_owned(), Value::from(true)));
    given
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name.to_owned(), value.into())))
        .chain(instruments)
        .chain(stable)
        .collect()
}

/// Where everything goes, decided before any work is done.
fn plans(args: &Args) -> anyhow::Result<Vec<Plan>> {
    let several = args.inputs.len() > 1;
    for out in [&args.output, &args.notes] {
        output::one_per_stdout(several || args.json, out.as_deref())?;
    }
    let folder = args
        .output
        .as_deref()
        .filter(|output| several || output.is_dir());
    if let Some(folder) = folder {
        fs_err::create_dir_all(folder)?;
    }
    let plans: Vec<Plan> = args
        .inputs
        .iter()
        .map(|input| {
            let midi = match (folder, &args.output) {
                (Some(folder), _) => {
                    folder.join(input.with_extension("mid").file_name().unwrap_or_default())
                }
                (None, Some(output)) => output.clone(),
                (None, None) => input.with_extension("mid"),
            };
            Ok(Plan {
                notes: notes_path(args, &midi, several)?,
                input: input.clone(),
                midi,
            })
        })
        .collect::<anyhow::Result<_>>()?;
    let mut taken = HashSet::new();
    for plan in &plans {
        for path in std::iter::once(&plan.midi).chain(&plan.notes) {
            if path == &plan.input || (path.as_os_str() != "-" && !taken.insert(path.clone())) {
                let what = format!(
                    "{} would be written twice, or over a recording; give other names with -o",
                    path.display()
                );
                return Err(Failure::Usage(what).into());
            }
        }
    }
    Ok(plans)
}

fn notes_path(args: &Args, midi: &Path, several: bool) -> anyhow::Result<Option<PathBuf>> {
    let Some(notes) = &args.notes else {
        return Ok(None);
    };
    let format = if several {
        notes.as_os_str()
    } else {
        notes.extension().unwrap_or_default()
    };
    if format != "json" && format != "csv" {
        let wanted = if several {
            "with several recordings --notes is `json` or `csv`"
        } else {
            "--notes must end in .json or .csv"
        };
        return Err(Failure::Usage(format!("{wanted}, not {}", notes.display())).into());
    }
    Ok(Some(if several {
        midi.with_extension(format)
    } else {
        notes.clone()
    }))
}

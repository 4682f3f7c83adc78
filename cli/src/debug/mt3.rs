//! `wtt debug mt3-tokens` and `mt3-notes`: what MT3 says of each segment of a recording, and what notes a list of tokens comes to.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use transcription::DeviceChoice;
use transcription::mt3::config::BANDS;
use transcription::mt3::{Mt3, Passages, Profile, Rules, Setup, Weights, notes};
use transcription::network::Segments;

use crate::failure::Failure;
use crate::ui;

#[derive(Debug, clap::Args)]
pub(super) struct Tokens {
    audio: PathBuf,
    /// Safetensors, or what torch.save wrote
    #[arg(long)]
    weights: PathBuf,
    /// Sizes of the network: a JSON object, or one that holds it under `config`; without it the published network
    #[arg(long)]
    config: Option<PathBuf>,
    /// seed or magenta [default: what the weights say, else magenta]
    #[arg(long)]
    profile: Option<Profile>,
    /// A segment ends at so many tokens at the latest, the first one (0) included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// Each segment has just so many tokens, the first one included: the end is not allowed before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "max_tokens")]
    force_tokens: Option<u32>,
    /// Print {"segments":[{"start_time":s,"tokens":[..]}]}; without it a line for each segment
    #[arg(long)]
    json: bool,
    /// Folder to write frames.f32 and each segment's encoder_K.f32 into (raw float32)
    #[arg(long)]
    dump: Option<PathBuf>,
    /// Rows in flight at most
    #[arg(long)]
    rows: Option<usize>,
    /// CPU threads; 0 takes all cores
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[arg(long, env = "WTT_DEVICE", default_value = "cpu")]
    device: DeviceChoice,
    /// Libtorch's operations on the CPU too, not our own
    #[arg(long)]
    libtorch: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Notes {
    /// A JSON list of cases: `{"segments":[{"start_time":s,"tokens":[..]}]}`
    cases: PathBuf,
}

pub(super) fn tokens(args: &Tokens) -> anyhow::Result<ExitCode> {
    let config = args
        .config
        .as_ref()
        .map(fs_err::read_to_string)
        .transpose()?;
    let weights = Weights::open(&args.weights, config.as_deref())?;
    let profile = args.profile.or(weights.profile).unwrap_or_default();
    let limit = args.force_tokens.or(args.max_tokens);
    let most = weights.shape.positions;
    let limit = limit.map(usize::try_from).transpose()?;
    if let Some(limit) = limit.filter(|limit| *limit > most) {
        return Err(Failure::Usage(format!(
            "{limit} tokens are more than the network's {most} (max_decoder_length)"
        ))
        .into());
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = if args.threads == 0 {
        cores
    } else {
        args.threads
    };
    let device = args.device.open()?;
    transcription::mt3::set_threads(threads);
    let setup = Setup {
        device,
        profile,
        threads,
        rows: args.rows,
        libtorch: args.libtorch,
    };
    let mut network = Mt3::new(&weights, setup)?;
    let rules = Rules {
        limit,
        forced: args.force_tokens.is_some(),
        allowed: None,
    };
    let shape = weights.shape;
    drop(weights);
    let mut cut = Passages::new(super::recording(&args.audio)?, profile, &shape, rules)?;
    let passages: Vec<_> =
        std::iter::from_fn(|| cut.next().transpose()).collect::<Result<_, _>>()?;
    if let Some(folder) = &args.dump {
        fs_err::create_dir_all(folder)?;
        let mut all = Vec::new();
        for (index, passage) in passages.iter().enumerate() {
            let frames = network.frames(passage)?;
            let encoded = network.encode(&frames)?;
            super::write_floats(&folder.join(format!("encoder_{index}.f32")), &encoded)?;
            all.extend_from_slice(&frames[..passage.frames * BANDS]);
        }
        super::write_floats(&folder.join("frames.f32"), &all)?;
    }
    let spoken = network.speak(passages)?;
    if args.json {
        let segments: Vec<Value> = spoken
            .iter()
            .map(|spoken| json!({"start_time": spoken.start, "tokens": spoken.tokens}))
            .collect();
        ui::line(json!({"segments": segments}).to_string());
    } else {
        for spoken in &spoken {
            ui::line(format!(
                "{:.3} s: {} tokens",
                spoken.start,
                spoken.tokens.len()
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Deserialize)]
struct Case {
    segments: Vec<Segment>,
}

#[derive(Deserialize)]
struct Segment {
    start_time: f64,
    tokens: Vec<i64>,
}

pub(super) fn notes(args: &Notes) -> anyhow::Result<ExitCode> {
    let cases: Vec<Case> = serde_json::from_slice(&fs_err::read(&args.cases)?)
        .context("not a list of cases with segments of start_time and tokens")?;
    let lines: Vec<String> = cases
        .into_iter()
        .map(|case| {
            let segments: Vec<(f64, Vec<i64>)> = case
                .segments
                .into_iter()
                .map(|segment| (segment.start_time, segment.tokens))
                .collect();
            let list = notes::decode(&segments)
                .0
                .iter()
                .map(note)
                .collect::<Value>();
            list.to_string()
        })
        .collect();
    ui::line(format!("[\n{}\n]", lines.join(",\n")));
    Ok(ExitCode::SUCCESS)
}

/// Times to a microsecond: they are hundredths of seconds, behind which floating point leaves its dust.
fn note(note: &notes::NoteEvent) -> Value {
    let seconds = |time: f64| (time * 1e6).round() / 1e6;
    json!([
        note.pitch,
        seconds(note.start),
        seconds(note.end),
        note.velocity,
        note.program,
        note.is_drum
    ])
}

//! `wtt debug mt3-bench`: what `make bench-mt3` times. A network of the published size with random weights, segments whose lengths are
//! forced; the weights and the frames are written down, so that another program can run the same.

use std::io::BufRead;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use transcription::DeviceChoice;
use transcription::mt3::config::PUBLISHED;
use transcription::mt3::{Mt3, Passage, Profile, Rules, Setup, Weights};
use transcription::stages::{Spent, measured};

use crate::ui;

/// That of the PyTorch port, which it is held against.
const PROFILE: Profile = Profile::Seed;

#[derive(Debug, clap::Args)]
pub(super) struct Bench {
    /// Folder to write weights.safetensors and frames.f32 (raw float32, [segment][frame][band]) into
    #[arg(long)]
    folder: PathBuf,
    /// Different segments; further ones are these again
    #[arg(long, default_value_t = 64)]
    sounds: usize,
    /// Rows in flight at most
    #[arg(long)]
    rows: Option<usize>,
    /// 0 takes all cores
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Libtorch's operations, not our own
    #[arg(long)]
    libtorch: bool,
}

/// A list of lengths in tokens a line on standard input is one round, a segment each; its answer is a line of JSON.
pub(super) fn bench(args: &Bench) -> anyhow::Result<ExitCode> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = if args.threads == 0 {
        cores
    } else {
        args.threads
    };
    let weights = Weights::random(PUBLISHED, args.seed);
    fs_err::create_dir_all(&args.folder)?;
    fs_err::write(
        args.folder.join("weights.safetensors"),
        weights.to_safetensors(PROFILE)?,
    )?;
    transcription::mt3::set_threads(threads);
    let setup = Setup {
        device: DeviceChoice::Cpu.open()?,
        profile: PROFILE,
        threads,
        rows: args.rows,
        libtorch: args.libtorch,
    };
    let mut network = Mt3::new(&weights, setup)?;
    drop(weights);
    let sounds: Vec<Passage> = (0..args.sounds.max(1)).map(sound).collect();
    let mut frames = Vec::new();
    for sound in &sounds {
        frames.extend(network.frames(sound)?);
    }
    super::write_floats(&args.folder.join("frames.f32"), &frames)?;
    drop(frames);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = round(&mut network, &sounds, threads, &line);
        ui::line(answer.with_context(|| line.clone())?.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Request {
    Lengths(Vec<usize>),
    /// The same with the network's parts timed, which makes it a little slower.
    Profile {
        profile: Vec<usize>,
    },
}

/// From samples to tokens, all segments of the list.
fn round(
    network: &mut Mt3,
    sounds: &[Passage],
    threads: usize,
    line: &str,
) -> anyhow::Result<Value> {
    let (lengths, profiled) = match serde_json::from_str(line)? {
        Request::Lengths(lengths) => (lengths, false),
        Request::Profile { profile } => (profile, true),
    };
    let passages: Vec<Passage> = lengths
        .iter()
        .zip(sounds.iter().cycle())
        .map(|(length, sound)| Passage {
            rules: Arc::new(Rules {
                limit: Some(*length),
                forced: true,
                allowed: None,
            }),
            ..sound.clone()
        })
        .collect();
    let begun = Instant::now();
    let (spoken, profile) = if profiled {
        measured(network.model().device, || network.speak(passages))?
    } else {
        (network.speak(passages)?, Spent::new())
    };
    let seconds = begun.elapsed().as_secs_f64();
    let tokens: Vec<&[i64]> = spoken.iter().map(|one| one.tokens.as_slice()).collect();
    let profile: Vec<(&str, f64)> = profile
        .iter()
        .map(|(part, took)| (*part, took.as_secs_f64()))
        .collect();
    let products: usize = lengths
        .iter()
        .map(|length| PUBLISHED.products(*length))
        .sum();
    Ok(json!({
        "seconds": seconds, "tokens": tokens, "products": products, "profile": profile,
        "ceiling": transcription::multiply_adds_a_second(threads, 2),
    }))
}

/// Three tones of its own and a little noise.
fn sound(number: usize) -> Passage {
    let mut state = (number as u32).wrapping_mul(2_654_435_761);
    let samples = (0..PUBLISHED.samples())
        .map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / (1u32 << 24) as f32 - 0.5;
            let seconds = at as f64 / 16_000.0;
            let tone = |step: usize| {
                let pitch = (40 + (number * 7 + step * 11) % 48) as f64;
                let hertz = 440.0 * 2f64.powf((pitch - 69.0) / 12.0);
                (seconds * hertz * std::f64::consts::TAU).sin()
            };
            (0.15 * (tone(0) + tone(1) + tone(2))) as f32 + 0.02 * noise
        })
        .collect();
    Passage {
        samples,
        frames: PUBLISHED.frames,
        start: 0.0,
        rules: Arc::default(),
    }
}

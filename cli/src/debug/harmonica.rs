//! `wtt debug harmonica` and `harmonica-bench`: what `make parity` compares with the reference package, and what `make bench-harmonica` times.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use serde_json::{Map, Value, json};
use transcription::harmonica::{Chunks, Harmonica, Loaded, constant_q};
use transcription::registry::Store;
use transcription::{DeviceChoice, Engine, EngineConfig, Song, SongEvent};

use crate::ui;

/// Chunks that the engine gives the network at once on a CPU.
const ROWS: usize = 8;

#[derive(Debug, clap::Args)]
pub(super) struct Dump {
    file: PathBuf,
    /// harmonica:SIZE
    #[arg(long, default_value = "harmonica")]
    model: String,
    /// Folder to write into
    #[arg(long)]
    dump: PathBuf,
    /// Chunks a batch
    #[arg(long, default_value_t = ROWS)]
    rows: usize,
    /// 0 takes all cores
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[arg(long, env = "WTT_DEVICE", default_value = "cpu")]
    device: DeviceChoice,
    /// Libtorch's operations on the CPU too, not our own
    #[arg(long)]
    libtorch: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Bench {
    /// harmonica:SIZE
    #[arg(long, default_value = "harmonica")]
    model: String,
    /// 0 takes all cores
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// Writes each stage of a recording's way.
pub(super) fn dump(args: &Dump) -> anyhow::Result<ExitCode> {
    fs_err::create_dir_all(&args.dump)?;
    let write = |name: &str, numbers: &[f32]| super::write_floats(&args.dump.join(name), numbers);
    let (samples, spectrum) = chunks(&args.file)?.front_end()?;
    write("samples.f32", &samples)?;
    write("spectrum.f32", &spectrum)?;
    let network = load(&args.model, args.device, args.threads, args.libtorch)?;
    let mut chunks = chunks(&args.file)?;
    let maps = network.maps(&mut chunks, args.rows)?;
    write("onset.f32", &maps.onset)?;
    write("sustain.f32", &maps.sustain)?;
    write("velocity.f32", &maps.velocity)?;
    let notes: Vec<Value> = network
        .notes(&maps)
        .iter()
        .map(|note| {
            json!({
                "start_frame": note.start,
                "end_frame": note.end,
                "pitch": note.pitch,
                "velocity": note.velocity,
            })
        })
        .collect();
    fs_err::write(args.dump.join("notes.json"), serde_json::to_vec(&notes)?)?;
    Ok(ExitCode::SUCCESS)
}

/// A path a line on standard input is one round; its answer is a line of JSON. Networks stay warm from round to round.
pub(super) fn bench(args: &Bench) -> anyhow::Result<ExitCode> {
    let network = load(&args.model, DeviceChoice::Cpu, args.threads, false)?;
    let engine = Engine::start(EngineConfig {
        threads: args.threads,
        ..EngineConfig::new(Store::new(Store::default_dir()))
    })?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let path = Path::new(&line);
        let answer = round(&network, &engine, args, path).with_context(|| line.clone())?;
        ui::line(answer.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// The stages one after the other, then the whole way through the engine, where they overlap.
fn round(network: &Loaded, engine: &Engine, args: &Bench, path: &Path) -> anyhow::Result<Value> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = if args.threads == 0 {
        cores
    } else {
        args.threads
    };
    let begun = Instant::now();
    let samples = chunks(path)?.samples()?;
    let decode = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let cut = Chunks::of_samples(&samples);
    let frames = cut.last().and_then(|chunk| chunk.song_frames);
    let spectrum = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let maps = network.maps_of(&cut, ROWS)?;
    let inference = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let counted = network.notes(&maps).len();
    let notes = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let submission = engine.submit(Song {
        source: Box::new(fs_err::File::open(path)?.into_file()),
        extension: None,
        model: args.model.clone(),
        options: Map::new(),
        limits: audio::Limits {
            max_seconds: None,
            ..audio::Limits::default()
        },
        parity: false,
    });
    let finished = loop {
        if let SongEvent::Done(result) = submission.events.recv()? {
            break result?;
        }
    };
    let midi = transcription::midi(&finished.transcript);
    let whole = begun.elapsed().as_secs_f64();
    anyhow::ensure!(
        counted == finished.transcript.notes.len() && !midi.is_empty(),
        "the stages give {counted} notes and the engine {}",
        finished.transcript.notes.len()
    );
    let products = network.products().unwrap_or_default() * cut.len();
    let spectrum_products = constant_q::products() * frames.unwrap_or_default();
    // What this processor could do at this very moment, if there were nothing but multiply-adds: 20 ms or so.
    let ceiling = transcription::multiply_adds_a_second(threads, 2);
    Ok(json!({
        "products": products, "spectrum_products": spectrum_products, "ceiling": ceiling,
        "decode": decode, "spectrum": spectrum, "network": inference, "notes": notes, "whole": whole,
        "counted": counted, "audio_seconds": finished.audio_seconds,
    }))
}

fn load(
    model: &str,
    device: DeviceChoice,
    threads: usize,
    libtorch: bool,
) -> anyhow::Result<Loaded> {
    let store = Store::new(Store::default_dir());
    Ok(Harmonica::of_store(
        &store, model, device, threads, libtorch,
    )?)
}

fn chunks(file: &Path) -> anyhow::Result<Chunks> {
    Ok(Chunks::new(super::recording(file)?))
}

//! `wtt debug transkun-bench`: what `make bench-transkun` times. Nothing here is for users.

use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use serde_json::{Map, Value, json};
use transcription::network::Segments;
use transcription::registry::Store;
use transcription::transkun::stitching::Stitcher;
use transcription::transkun::{Cut, NAME, Segment, Setup, Shape, Transkun};
use transcription::{DeviceChoice, Engine, EngineConfig, Song, SongEvent};

use crate::ui;

#[derive(Debug, clap::Args)]
pub(super) struct Bench {
    /// 0 takes all cores
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Libtorch's operations, not our own
    #[arg(long)]
    libtorch: bool,
}

/// A path a line on standard input is one round; its answer is a line of JSON. The network stays warm from round to round.
pub(super) fn bench(args: &Bench) -> anyhow::Result<ExitCode> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = if args.threads == 0 {
        cores
    } else {
        args.threads
    };
    let store = Store::new(Store::default_dir());
    let setup = Setup {
        device: DeviceChoice::Cpu.open()?,
        threads,
        rows: 1,
        libtorch: args.libtorch,
    };
    let network = Transkun::load(&store.installed(NAME)?.file, setup)?;
    let engine = Engine::start(EngineConfig {
        threads,
        ..EngineConfig::new(store)
    })?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = round(&network, &engine, threads, Path::new(&line));
        ui::line(answer.with_context(|| line.clone())?.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// The stages one after the other, then the whole way through the engine, where they overlap.
fn round(
    network: &Transkun,
    engine: &Engine,
    threads: usize,
    path: &Path,
) -> anyhow::Result<Value> {
    let shape = Shape::PUBLISHED;
    let begun = Instant::now();
    let mut cut = Cut::new(shape, super::recording(path)?)?;
    let mut segments: Vec<Segment> = Vec::new();
    while let Some(segment) = cut.next()? {
        segments.push(segment);
    }
    let decode = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let mut found = Vec::new();
    for segment in &segments {
        found.extend(network.forward(&[segment])?);
    }
    let inference = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let mut stitcher = Stitcher::new(shape);
    found.iter().for_each(|candidates| stitcher.add(candidates));
    let counted = stitcher.finish().len();
    let notes = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let submission = engine.submit(Song {
        source: Box::new(fs_err::File::open(path)?.into_file()),
        extension: None,
        model: NAME.to_owned(),
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
    let heard = finished.transcript.notes.len() + finished.transcript.pedals.len();
    anyhow::ensure!(
        counted == heard && !midi.is_empty(),
        "the stages give {counted} notes and pedals, and the engine {heard}"
    );
    let ceiling = transcription::multiply_adds_a_second(threads, 2);
    Ok(json!({
        "decode": decode, "network": inference, "notes": notes, "whole": whole,
        "counted": counted, "audio_seconds": finished.audio_seconds, "segments": segments.len(),
        "products": network.products().unwrap_or_default() * segments.len(), "ceiling": ceiling,
    }))
}

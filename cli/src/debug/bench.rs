//! `wtt debug bench`: what `make bench-models` times. One line of standard input, a recording's path, is one round; its answer is a
//! line of JSON. The network stays warm from round to round; round by round, so that another program can take turns.

use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use serde_json::{Map, Value, json};
use transcription::basic_pitch::analysis::windows_of_recording;
use transcription::basic_pitch::{Model, NAME, Options, maps::Maps, notes_of};
use transcription::registry::Store;
use transcription::{DeviceChoice, Engine, EngineConfig, Song, SongEvent};

use crate::ui;

/// Windows that the engine gives the network at once on a CPU.
const ROWS: usize = 8;

pub(super) fn run(threads: usize) -> anyhow::Result<ExitCode> {
    let models = Store::new(Store::default_dir());
    let model = Model::load(&models.installed(NAME)?.file, DeviceChoice::Cpu.open()?)?;
    // Sets the number of threads for the stages too.
    let engine = Engine::start(EngineConfig {
        threads,
        ..EngineConfig::new(models)
    })?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let path = Path::new(&line);
        ui::line(
            round(&model, &engine, path)
                .with_context(|| line.clone())?
                .to_string(),
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The three stages one after the other, then the whole way through the engine, where they overlap.
fn round(model: &Model, engine: &Engine, path: &Path) -> anyhow::Result<Value> {
    let begun = Instant::now();
    let windows = windows_of_recording(super::open(path)?)?;
    let decode = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let mut maps = Maps::default();
    for batch in windows.chunks(ROWS) {
        let samples: Vec<&[f32]> = batch
            .iter()
            .map(|window| window.samples.as_slice())
            .collect();
        for window in model.forward(&samples, false)? {
            maps.push(&window);
        }
    }
    let network = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let samples = windows.last().and_then(|window| window.song_samples);
    maps.cut(samples.unwrap_or(0), true);
    let counted = notes_of(maps, &Options::default(), true).len();
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
        parity: true,
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
    Ok(json!({
        "decode": decode, "network": network, "notes": notes, "whole": whole,
        "windows": windows.len(), "counted": counted, "audio_seconds": finished.audio_seconds,
    }))
}

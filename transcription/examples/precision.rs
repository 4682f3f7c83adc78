//! What TF32 and bfloat16 change in the notes, and what they cost or save: `make bench-precision`.
//!
//! Every installed network runs whole recordings through the engine in each precision that it has on the device, and its notes are held
//! against those in float32. On a CPU the engine is float32 alone; there the libtorch forms of Basic Pitch and Harmonica
//! stand in, which a GPU runs.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use transcription::basic_pitch::maps::Maps;
use transcription::basic_pitch::{self, Model, Windows, notes_of};
use transcription::harmonica::{Chunks, Harmonica};
use transcription::network::Segments;
use transcription::registry::Store;
use transcription::{
    Autocast, DeviceChoice, Engine, EngineConfig, Error, Precision, Song, SongEvent,
};

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Tf32, Precision::Bf16];
/// As the published comparisons of transcriptions have it.
const SAME_ONSET_SECONDS: f64 = 0.05;

/// A note as far as it is compared.
#[derive(Clone, Copy)]
struct Heard {
    pitch: u8,
    onset: f64,
    offset: f64,
    velocity: u8,
}

/// What one network made of all recordings.
struct Run {
    notes: Vec<Vec<Heard>>,
    seconds: f64,
    /// As the provenance has it.
    precision: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device: DeviceChoice = std::env::var("DEVICE")
        .unwrap_or_else(|_| "cpu".into())
        .parse()?;
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if files.is_empty() {
        return Err("no recordings; give files".into());
    }
    let store = Store::new(Store::default_dir());
    println!("device {device}, {} recordings", files.len());
    println!(
        "{:<18} {:<6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "network", "in", "notes", "equal", "moved", "lost", "new", "seconds"
    );
    for model in store.list().iter().filter(|model| model.installed) {
        let run = |precision| match device {
            DeviceChoice::Cpu => in_libtorch(&store, &model.name, precision, &files),
            DeviceChoice::Cuda(_) => in_engine(&store, &model.name, device, precision, &files),
        };
        table(&model.name, run);
    }
    println!(
        "equal: pitch and velocity the same, onset and offset to the millisecond; moved: pitch the same, onset within 50 ms"
    );
    Ok(())
}

fn table(model: &str, run: impl Fn(Precision) -> Option<Result<Run, Error>>) {
    let mut exact: Option<Run> = None;
    for asked in PRECISIONS {
        match run(asked) {
            None => println!("{model:<18} {asked:<6} has no such form on this device"),
            Some(Err(error)) => println!("{model:<18} {asked:<6} {error}"),
            Some(Ok(run)) if run.precision != asked.as_str() => {
                println!("{model:<18} {asked:<6} is computed in {}", run.precision);
            }
            Some(Ok(run)) => {
                line(model, &run, exact.as_ref().unwrap_or(&run));
                exact.get_or_insert(run);
            }
        }
    }
}

fn line(model: &str, run: &Run, exact: &Run) {
    let (mut equal, mut moved, mut lost, mut total) = (0, 0, 0, 0);
    for (notes, exact) in run.notes.iter().zip(&exact.notes) {
        let mut left = notes.clone();
        total += notes.len();
        let mut take = |alike: &dyn Fn(&Heard) -> bool| {
            let found = left.iter().position(alike);
            found.map(|at| left.swap_remove(at)).is_some()
        };
        let near = |a: f64, b: f64| (a - b).abs() < 1e-3;
        for note in exact {
            let same = |other: &Heard| {
                other.pitch == note.pitch
                    && other.velocity == note.velocity
                    && near(other.onset, note.onset)
                    && near(other.offset, note.offset)
            };
            let close = |other: &Heard| {
                other.pitch == note.pitch && (other.onset - note.onset).abs() < SAME_ONSET_SECONDS
            };
            if take(&same) {
                equal += 1;
            } else if take(&close) {
                moved += 1;
            } else {
                lost += 1;
            }
        }
    }
    println!(
        "{model:<18} {:<6} {total:>8} {equal:>8} {moved:>8} {lost:>8} {:>8} {:>9.2}",
        run.precision,
        total - equal - moved,
        run.seconds
    );
}

fn heard(notes: &[music::Note]) -> Vec<Heard> {
    let one = |note: &music::Note| Heard {
        pitch: note.pitch,
        onset: note.onset,
        offset: note.offset,
        velocity: note.velocity,
    };
    notes.iter().map(one).collect()
}

/// The way that users' songs go.
fn in_engine(
    store: &Store,
    model: &str,
    device: DeviceChoice,
    precision: Precision,
    files: &[PathBuf],
) -> Option<Result<Run, Error>> {
    let run = || {
        let engine = Engine::start(EngineConfig {
            device,
            precision,
            ..EngineConfig::new(store.clone())
        })?;
        // The first one loads the network and warms the device up.
        transcribe(&engine, model, &files[0])?;
        let begun = Instant::now();
        let mut run = Run {
            notes: Vec::new(),
            seconds: 0.0,
            precision: String::new(),
        };
        for file in files {
            let transcript = transcribe(&engine, model, file)?;
            run.precision = transcript.provenance["precision"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            run.notes.push(heard(&transcript.notes));
        }
        run.seconds = begun.elapsed().as_secs_f64();
        Ok(run)
    };
    Some(run())
}

fn transcribe(engine: &Engine, model: &str, file: &Path) -> Result<music::Transcript, Error> {
    let submission = engine.submit(Song {
        source: Box::new(open(file)?),
        extension: None,
        model: model.to_owned(),
        options: serde_json::Map::new(),
        limits: audio::Limits::default(),
        parity: false,
    });
    match submission.events.into_iter().last() {
        Some(SongEvent::Done(done)) => Ok(done?.transcript),
        _ => Err(Error::Stopped),
    }
}

fn open(file: &Path) -> Result<std::fs::File, Error> {
    std::fs::File::open(file).map_err(|source| Error::Store {
        what: format!("cannot open {}", file.display()),
        source,
    })
}

fn recording(file: &Path) -> Result<audio::Recording, Error> {
    let limits = audio::Limits::default();
    Ok(audio::Recording::open(Box::new(open(file)?), None, limits)?)
}

/// The networks whose libtorch form runs on a CPU too. TF32 is the GPU's alone.
fn in_libtorch(
    store: &Store,
    model: &str,
    precision: Precision,
    files: &[PathBuf],
) -> Option<Result<Run, Error>> {
    if precision == Precision::Tf32 {
        return None;
    }
    if model != basic_pitch::NAME && !model.starts_with("harmonica") {
        return None;
    }
    let run = || {
        let _bf16 = (precision == Precision::Bf16).then(|| Autocast::bf16(tch::Device::Cpu));
        let begun = Instant::now();
        let notes = if model == basic_pitch::NAME {
            basic_pitch_notes(store, files)?
        } else {
            harmonica_notes(store, model, files)?
        };
        Ok(Run {
            notes,
            seconds: begun.elapsed().as_secs_f64(),
            precision: precision.to_string(),
        })
    };
    Some(run())
}

fn basic_pitch_notes(store: &Store, files: &[PathBuf]) -> Result<Vec<Vec<Heard>>, Error> {
    let file = store.installed(basic_pitch::NAME)?.file;
    let network = Model::load_in_libtorch(&file, tch::Device::Cpu)?;
    let options = basic_pitch::Options::parse(&serde_json::Map::new())?;
    let one = |file: &PathBuf| {
        let mut windows = Windows::new(recording(file)?)?;
        let (mut maps, mut samples) = (Maps::default(), 0);
        while let Some(window) = windows.next()? {
            samples = window.song_samples.unwrap_or(samples);
            for output in network.forward(&[&window.samples], false)? {
                maps.push(&output);
            }
        }
        maps.cut(samples, false);
        Ok(heard(&notes_of(maps, &options, false)))
    };
    files.iter().map(one).collect()
}

fn harmonica_notes(
    store: &Store,
    model: &str,
    files: &[PathBuf],
) -> Result<Vec<Vec<Heard>>, Error> {
    let network = Harmonica::of_store(store, model, DeviceChoice::Cpu, 0, true)?;
    let one = |file: &PathBuf| {
        let maps = network.maps(&mut Chunks::new(recording(file)?), 1)?;
        let notes = network.notes(&maps).into_iter().map(|note| Heard {
            pitch: note.pitch,
            onset: note.start as f64 * 0.032,
            offset: note.end as f64 * 0.032,
            velocity: note.velocity,
        });
        Ok(notes.collect())
    };
    files.iter().map(one).collect()
}

//! `wtt debug`: what `make parity` compares with the reference package (raw little-endian float32 maps, notes in frames), and what
//! `make bench-models` times.

mod bench;
mod harmonica;
mod mt3;
mod mt3_bench;
mod transkun;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Value, json};
use transcription::DeviceChoice;
use transcription::basic_pitch::analysis::{analyse, windows_of_recording, windows_of_samples};
use transcription::basic_pitch::{Model, NAME, Options, Windows, bends, decoding, maps::Maps};
use transcription::registry::Store;

use crate::ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run Basic Pitch and write samples.f32, note.f32, onset.f32, contour.f32, notes.json and windows.json
    BasicPitch {
        file: PathBuf,
        /// The package's quirks
        #[arg(long)]
        parity: bool,
        /// FILE holds raw float32 samples at 22,050 Hz, not a recording
        #[arg(long)]
        samples: bool,
        /// Folder to write into
        #[arg(long)]
        dump: PathBuf,
        /// Windows a batch
        #[arg(long, default_value_t = 8)]
        rows: usize,
        #[arg(long, env = "WTT_DEVICE", default_value = "cpu")]
        device: DeviceChoice,
    },
    /// Time Basic Pitch: a path a line on standard input, a line of JSON for each on standard output
    Bench {
        /// CPU threads of the network; 0 takes all cores
        #[arg(long, default_value_t = 0)]
        threads: usize,
    },
    /// Run the note decoding alone on a folder's note.f32, onset.f32 and contour.f32, and print the notes
    BasicPitchNotes {
        folder: PathBuf,
        /// The package's quirks
        #[arg(long)]
        parity: bool,
        /// Options of the decoding, as JSON
        #[arg(long, default_value = "{}")]
        options: String,
    },
    /// Run Harmonica and write samples.f32, spectrum.f32, onset.f32, sustain.f32, velocity.f32 and notes.json
    Harmonica(harmonica::Dump),
    /// Time Harmonica on the recordings whose paths come on standard input
    HarmonicaBench(harmonica::Bench),
    /// Time Transkun on the recordings whose paths come on standard input
    TranskunBench(transkun::Bench),
    /// Time MT3 with random weights on segments whose lengths in tokens come on standard input
    Mt3Bench(mt3_bench::Bench),
    /// Print the tokens that MT3 says for each segment of a recording
    Mt3Tokens(mt3::Tokens),
    /// Print the notes that lists of MT3's tokens come to: for each case [[pitch, start, end, velocity, program, is_drum], ..]
    Mt3Notes(mt3::Notes),
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Bench { threads } => return bench::run(threads),
        Command::BasicPitch {
            file,
            parity,
            samples,
            dump,
            rows,
            device,
        } => {
            let installed = Store::new(Store::default_dir()).installed(NAME)?;
            let model = Model::load(&installed.file, device.open()?)?;
            fs_err::create_dir_all(&dump)?;
            let windows = if samples {
                windows_of_samples(&read_floats(&file)?)
            } else {
                write_floats(&dump.join("samples.f32"), &open(&file)?.all_samples()?)?;
                windows_of_recording(open(&file)?)?
            };
            let analysis = analyse(&model, &windows, rows, parity)?;
            write_floats(&dump.join("note.f32"), &analysis.maps.note)?;
            write_floats(&dump.join("onset.f32"), &analysis.maps.onset)?;
            write_floats(&dump.join("contour.f32"), &analysis.contour)?;
            let spreads: Vec<Value> = analysis
                .log_spread_db
                .iter()
                .enumerate()
                .map(|(index, db)| json!({"index": index, "log_spread_db": db}))
                .collect();
            fs_err::write(dump.join("windows.json"), serde_json::to_vec(&spreads)?)?;
            fs_err::write(
                dump.join("notes.json"),
                serde_json::to_vec(&notes(analysis.maps, &Options::default(), parity))?,
            )?;
        }
        Command::BasicPitchNotes {
            folder,
            parity,
            options,
        } => {
            let options: serde_json::Map<String, Value> =
                serde_json::from_str(&options).context("--options is no JSON object")?;
            let mut bend = Vec::new();
            bends::extend(&read_floats(&folder.join("contour.f32"))?, &mut bend);
            let maps = Maps {
                note: read_floats(&folder.join("note.f32"))?,
                onset: read_floats(&folder.join("onset.f32"))?,
                bend,
            };
            ui::line(notes(maps, &Options::parse(&options)?, parity).to_string());
        }
        Command::Harmonica(args) => return harmonica::dump(&args),
        Command::HarmonicaBench(args) => return harmonica::bench(&args),
        Command::TranskunBench(args) => return transkun::bench(&args),
        Command::Mt3Bench(args) => return mt3_bench::bench(&args),
        Command::Mt3Tokens(args) => return mt3::tokens(&args),
        Command::Mt3Notes(args) => return mt3::notes(&args),
    }
    Ok(ExitCode::SUCCESS)
}

fn notes(maps: Maps, options: &Options, parity: bool) -> Value {
    let events = decoding::decode(maps.note, maps.onset, options, parity);
    let notes = events.iter().map(|event| {
        json!({
            "start_frame": event.start,
            "end_frame": event.end,
            "pitch": event.pitch,
            "amplitude": event.amplitude,
            "velocity": event.velocity(),
            "bends": bends::bends(&maps.bend, event),
        })
    });
    notes.collect()
}

fn open(file: &Path) -> anyhow::Result<Windows> {
    Ok(Windows::new(recording(file)?)?)
}

fn recording(file: &Path) -> anyhow::Result<audio::Recording> {
    let extension = file.extension().and_then(|extension| extension.to_str());
    let limits = audio::Limits {
        max_seconds: None,
        ..audio::Limits::default()
    };
    Ok(audio::Recording::open(
        Box::new(fs_err::File::open(file)?.into_file()),
        extension,
        limits,
    )?)
}

fn read_floats(path: &Path) -> anyhow::Result<Vec<f32>> {
    let bytes = fs_err::read(path)?;
    anyhow::ensure!(
        bytes.len() % 4 == 0,
        "{} does not hold float32 numbers",
        path.display()
    );
    Ok(bytes
        .chunks_exact(4)
        .map(|number| f32::from_le_bytes([number[0], number[1], number[2], number[3]]))
        .collect())
}

fn write_floats(path: &Path, numbers: &[f32]) -> anyhow::Result<()> {
    let bytes: Vec<u8> = numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    Ok(fs_err::write(path, bytes)?)
}

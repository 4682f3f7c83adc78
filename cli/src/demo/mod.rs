//! `wtt demo`: the whole way of a recording, from nothing: make it, start everything, upload it over HTTP, follow it
//! live, fetch what was heard and compare it with what was played. It uses the client and `up` as anybody would.

mod compare;
mod farewell;
mod place;
mod recording;
mod score;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::builder::FalseyValueParser;
use music::Transcript;
use serde_json::Map;
use tokio::signal::unix::{SignalKind, signal};
use transcription::registry::Store;

use crate::args::Server;
use crate::client::{Client, Upload};
use crate::follow::follow;
use crate::job::{Job, State};
use crate::progress::{Display, Lines};
use crate::{output, ui, up};
use place::Files;

/// The network whose weights every installation has.
const MODEL: &str = "basic-pitch";
const NAME: &str = "minuet";
const AFTER: &str = "\
On a terminal it stays until Ctrl-C, so that the server can be tried out; otherwise it stops everything and ends.
Exit code 0 only if the notes were found and fetched.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// Folder for the recording, its MIDI and its notes; without it a new temporary one, which is kept
    #[arg(short, long, env = "WTT_OUTPUT", value_name = "FOLDER")]
    output: Option<PathBuf>,

    /// Replace files that are there already
    #[arg(long, env = "WTT_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,

    #[command(flatten)]
    up: up::UpArgs,
}

/// The key that the system asks for, if any, and the file it is in.
type Key = (Option<String>, Option<PathBuf>);

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut system = args.up;
    place::need_model(system.models_dir.clone().unwrap_or_else(Store::default_dir))?;
    let files = Files::in_folder(args.output, args.force)?;
    // Queued tasks of a folder that is in use are not the demo's; without a name it gets a folder of its own.
    let own_data = match system.data_dir {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new()
                .prefix("wtt-demo-data-")
                .tempdir()?,
        ),
    };
    system.data_dir = system
        .data_dir
        .or_else(|| own_data.as_ref().map(|folder| folder.path().to_owned()));
    let logs = system
        .log_dir
        .get_or_insert_with(|| files.logs.clone())
        .clone();
    system.listen = place::free_address(system.listen);
    let key = (system.api_key.clone(), system.api_key_file.clone());

    let score = score::notes();
    output::write(&files.wav, &recording::wav(&score), files.force)?;
    ui::line(format!(
        "made a recording    {} ({} notes)",
        files.wav.display(),
        score.len()
    ));

    let started = Instant::now();
    let mut running = tokio::select! {
        running = up::start(system) => running.context("failed to start the system")?,
        () = interrupted() => anyhow::bail!("interrupted while it started"),
    };
    ui::line(format!(
        "started everything  {} in {:.1} s",
        running.api_url,
        started.elapsed().as_secs_f64()
    ));
    let api_url = running.api_url.clone();
    let shown = tokio::select! {
        shown = transcribe(&api_url, key, &files, &score) => shown,
        error = running.failed() => Err(error),
        () = interrupted() => Err(anyhow::anyhow!("interrupted before the notes were there")),
    };
    if shown.is_ok() {
        let stays = ui::is_interactive();
        ui::line(farewell::next_steps(&api_url, &files, stays));
        if stays {
            interrupted().await;
            ui::note("stopping");
        }
    }
    // Whatever happened: nothing that was started stays.
    let stopped = running.stop().await.context("failed to stop the system");
    if shown.is_err() {
        ui::note(format!("the workers' logs are in {}", logs.display()));
    }
    shown.and(stopped).map(|()| ExitCode::SUCCESS)
}

/// Upload, follow, fetch, show.
async fn transcribe(
    api_url: &str,
    key: Key,
    files: &Files,
    score: &[music::Note],
) -> anyhow::Result<()> {
    let (api_key, api_key_file) = key;
    let client = &Client::new(&Server {
        server: api_url.parse()?,
        api_key,
        api_key_file,
    })?;
    let upload = Upload {
        path: files.wav.clone(),
        model: Some(MODEL.to_owned()),
        options: Map::new(),
        idempotency_key: uuid::Uuid::new_v4().to_string(),
    };
    let queued: Job = serde_json::from_value(
        client
            .submit(&upload, |_| ())
            .await
            .context("failed to upload")?,
    )?;
    ui::line(format!("uploaded it         id {}", queued.id));
    let started = Instant::now();
    let display = Display::new(NAME, Lines::Talk);
    let end = follow(client, &queued.id, |job| display.show(job)).await;
    display.finish();
    let job: Job = serde_json::from_value(end?)?;
    anyhow::ensure!(
        job.state == State::Succeeded,
        "the transcription did not succeed: {}",
        job.outcome()
    );
    ui::line(format!(
        "transcribed it      with {MODEL} in {:.1} s",
        started.elapsed().as_secs_f64()
    ));

    let midi = client.file(&queued.id, "midi").await?;
    music::midi::check(&midi).context("the server's MIDI cannot be read")?;
    output::write(&files.midi, &midi, files.force)?;
    let json = client.file(&queued.id, "notes.json").await?;
    output::write(&files.notes, &json, files.force)?;
    let heard = Transcript::from_json(std::str::from_utf8(&json)?)
        .context("the server's notes cannot be read")?;

    let (columns, rows) = roll_size(&heard.notes);
    ui::line(format!(
        "\n{}",
        music::roll::terminal(&heard.notes, columns, rows)
    ));
    let tally = compare::compare(score, &heard.notes);
    ui::line(format!(
        "found {} of {} notes that were played (same pitch, begun within 50 ms), {} extra",
        tally.found, tally.written, tally.extra
    ));
    anyhow::ensure!(
        tally.found > 0,
        "none of the notes was found, so something is wrong with this installation"
    );
    ui::line(format!("MIDI                {}", files.midi.display()));
    ui::line(format!("notes as data       {}", files.notes.display()));
    Ok(())
}

/// As wide as the terminal, as high as the range of the notes.
fn roll_size(notes: &[music::Note]) -> (usize, usize) {
    let columns = ui::columns().unwrap_or(100).clamp(60, 120);
    let pitches = || notes.iter().map(|note| usize::from(note.pitch));
    let span = pitches().max().unwrap_or(0) - pitches().min().unwrap_or(0) + 1;
    (columns, span.clamp(8, 40))
}

/// Ctrl-C, or the polite way to end a process.
async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
    }
}

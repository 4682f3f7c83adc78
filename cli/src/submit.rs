//! `wtt submit`: recordings go to a server; with `--wait` it stays until their notes are there.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::FalseyValueParser;
use serde_json::{Map, Value};

use crate::args::Server;
use crate::client::{Client, Upload};
use crate::failure::{self, Failure};
use crate::follow::follow;
use crate::get::{notes_kind, save};
use crate::job::{Job, State};
use crate::progress::{Display, Lines, upload_bar};
use crate::{output, ui};

const EXAMPLES: &str = "\
Examples:
  wtt submit take3.flac                            queue it; prints its id
  wtt submit take3.flac --wait                     and follow it to its end
  wtt submit take3.flac -o take3.mid               wait, then save the MIDI
  wtt submit *.wav -o notes/ --notes notes/        several files: folders
  wtt submit take3.flac --option onset_threshold=0.6 --option melodia=false

An upload whose answer gets lost is sent again under the same key: the server makes one transcription of it.
Exit code 1 if any file could not be sent, or with --wait did not succeed.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Recordings: WAV, FLAC, MP3, Ogg, M4A, AIFF, ...
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Network to use; without it the server's default
    #[arg(long, env = "WTT_MODEL")]
    model: Option<String>,

    /// Setting of the network, as NAME=VALUE; repeat it for more
    #[arg(
        long = "option",
        env = "WTT_OPTIONS",
        value_delimiter = ',',
        value_name = "NAME=VALUE"
    )]
    options: Vec<String>,

    /// Stay until it is done, showing how far it is
    #[arg(long, env = "WTT_WAIT", value_parser = FalseyValueParser::new())]
    wait: bool,

    /// Wait, and save the MIDI here; a folder where several files are given, `-` for standard output
    #[arg(short, long, env = "WTT_OUTPUT", value_name = "OUT.mid")]
    output: Option<PathBuf>,

    /// Wait, and save the notes as data here (.json or .csv); a folder where several files are given
    #[arg(long, env = "WTT_NOTES", value_name = "OUT.json|.csv")]
    notes: Option<PathBuf>,

    /// Replace files that are there already
    #[arg(long, env = "WTT_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,

    /// Print the server's JSON, a line per transcription
    #[arg(long, env = "WTT_JSON", value_parser = FalseyValueParser::new())]
    json: bool,

    /// Name this submission, so that running the same command again makes no second transcription (one FILE only)
    #[arg(long, env = "WTT_IDEMPOTENCY_KEY", value_name = "KEY")]
    idempotency_key: Option<String>,

    #[command(flatten)]
    server: Server,
}

/// Where the results of one recording go.
#[derive(Debug, Default)]
struct Targets {
    midi: Option<PathBuf>,
    notes: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let options = parse_options(&args.options)?;
    let client = Client::new(&args.server)?;
    let targets = targets(&args)?;
    let mut sent = Vec::new();
    let mut all_went_well = true;
    for (path, targets) in args.files.iter().zip(targets) {
        match send(&client, path, &options, &args).await {
            Ok(value) => sent.push((path, targets, value)),
            Err(error) => {
                // Nobody is there: the other files would only say the same.
                if matches!(error.downcast_ref(), Some(Failure::Unreachable { .. })) {
                    return Err(error);
                }
                said_as_json(path, &error, &args);
                failure::say(&error);
                all_went_well = false;
            }
        }
    }
    let waits = args.wait || args.output.is_some() || args.notes.is_some();
    for (path, targets, value) in sent {
        let done = match waits {
            true => wait(&client, path, &targets, &value, &args)
                .await
                .with_context(|| name(path)),
            false => said(&value, path, &args).map(|()| true),
        };
        match done {
            Ok(succeeded) => all_went_well &= succeeded,
            Err(error) => {
                said_as_json(path, &error, &args);
                failure::say(&error);
                all_went_well = false;
            }
        }
    }
    Ok(if all_went_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(failure::FAILED)
    })
}

async fn send(
    client: &Client,
    path: &Path,
    options: &Map<String, Value>,
    args: &Args,
) -> anyhow::Result<Value> {
    let bytes = fs_err::metadata(path)?.len();
    let bar = upload_bar(&name(path), bytes);
    let upload = Upload {
        path: path.to_owned(),
        model: args.model.clone(),
        options: options.clone(),
        idempotency_key: args
            .idempotency_key
            .clone()
            .unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
    };
    let answer = client
        .submit(&upload, {
            let bar = bar.clone();
            move |sent| bar.set_position(sent)
        })
        .await;
    bar.finish_and_clear();
    // That nobody is there has nothing to do with this file.
    answer.map_err(|error| match error.downcast_ref() {
        Some(Failure::Unreachable { .. }) => error,
        _ => error.context(name(path)),
    })
}

/// A line for the file that failed, so that a program that reads the lines misses none.
fn said_as_json(path: &Path, error: &anyhow::Error, args: &Args) {
    if args.json {
        let mut line = failure::as_json(error);
        line["file"] = path.to_string_lossy().into();
        ui::line(line.to_string());
    }
}

/// Says what was queued, without waiting.
fn said(value: &Value, path: &Path, args: &Args) -> anyhow::Result<()> {
    if args.json {
        ui::line(value.to_string());
        return Ok(());
    }
    let job: Job = serde_json::from_value(value.clone())?;
    ui::line(format!(
        "{}  {}  {}",
        job.id,
        job.state.as_str(),
        name(path)
    ));
    Ok(())
}

/// Follows one to its end and saves what was asked for; true when it succeeded.
async fn wait(
    client: &Client,
    path: &Path,
    targets: &Targets,
    value: &Value,
    args: &Args,
) -> anyhow::Result<bool> {
    let queued: Job = serde_json::from_value(value.clone())?;
    let display = Display::new(&name(path), Lines::Talk);
    let end = follow(client, &queued.id, |job| display.show(job)).await;
    display.finish();
    let value = end?;
    let job: Job = serde_json::from_value(value.clone())?;
    if args.json {
        ui::line(value.to_string());
    }
    if job.state != State::Succeeded {
        ui::note(format!(
            "wtt: {}: {} ({})",
            name(path),
            job.outcome(),
            job.id
        ));
        return Ok(false);
    }
    let mut saved = Vec::new();
    let kept = || format!("the server has the notes: `wtt get {}`", job.id);
    if let Some(to) = &targets.midi {
        saved.push(
            save(client, &job.id, "midi", to, args.force)
                .await
                .with_context(kept)?,
        );
    }
    if let Some(to) = &targets.notes {
        saved.push(
            save(client, &job.id, notes_kind(to)?, to, args.force)
                .await
                .with_context(kept)?,
        );
    }
    if saved.is_empty() {
        saved.push(job.id.clone());
    }
    if !args.json && !writes_to_stdout(targets) {
        ui::line(format!("{}  succeeded  {}", name(path), saved.join("  ")));
    }
    Ok(true)
}

fn writes_to_stdout(targets: &Targets) -> bool {
    [&targets.midi, &targets.notes]
        .into_iter()
        .flatten()
        .any(|to| to.as_os_str() == "-")
}

/// Works out every result's name and refuses the ones that are taken before anything is sent.
fn targets(args: &Args) -> anyhow::Result<Vec<Targets>> {
    if args.files.len() > 1 && args.idempotency_key.is_some() {
        return Err(Failure::Usage(
            "--idempotency-key names one submission, and there are several files".into(),
        )
        .into());
    }
    let several = args.files.len() > 1;
    for out in [&args.output, &args.notes] {
        output::one_per_stdout(several || args.json, out.as_deref())?;
    }
    let place =
        |out: &Option<PathBuf>, file: &Path, extension: &str| -> anyhow::Result<Option<PathBuf>> {
            let Some(out) = out else {
                return Ok(None);
            };
            let path = if several || out.is_dir() {
                fs_err::create_dir_all(out)?;
                output::named_after(out, &name(file), extension)
            } else {
                out.clone()
            };
            output::check(&path, args.force)?;
            Ok(Some(path))
        };
    let mut all: Vec<Targets> = Vec::new();
    for file in &args.files {
        let targets = Targets {
            midi: place(&args.output, file, "mid")?,
            notes: place(&args.notes, file, "json")?,
        };
        if let Some(notes) = &targets.notes {
            notes_kind(notes)?;
        }
        let taken = |path: &Option<PathBuf>| {
            path.is_some()
                && all
                    .iter()
                    .any(|other| other.midi == *path || other.notes == *path)
        };
        if taken(&targets.midi) || taken(&targets.notes) {
            let words = format!(
                "two results would have the name that {} gives; rename a file, or submit it apart",
                name(file)
            );
            return Err(Failure::Usage(words).into());
        }
        all.push(targets);
    }
    Ok(all)
}

/// `NAME=VALUE` with VALUE a number, true or false where it reads as one, else a string; the server checks the names.
fn parse_options(pairs: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut options = Map::new();
    for pair in pairs {
        let Some((name, value)) = pair
            .split_once('=')
            .filter(|(name, _)| !name.trim().is_empty())
        else {
            return Err(Failure::Usage(format!("--option wants NAME=VALUE, not {pair}")).into());
        };
        let parsed = serde_json::from_str(value)
            .ok()
            .filter(|value: &Value| value.is_number() || value.is_boolean());
        options.insert(
            name.trim().to_owned(),
            parsed.unwrap_or_else(|| value.into()),
        );
    }
    Ok(options)
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_numbers_booleans_or_words() {
        let pairs = ["a=0.5", "b=true", "c=piano", "d=1=2", "e="].map(String::from);
        let options = Value::Object(parse_options(&pairs).unwrap());
        let expected = serde_json::json!({"a": 0.5, "b": true, "c": "piano", "d": "1=2", "e": ""});
        assert_eq!(options, expected);
        assert!(parse_options(&["novalue".into()]).is_err());
        assert!(parse_options(&["=1".into()]).is_err());
    }
}

//! `wtt get`: the results of a transcription come here. It also knows which result a file name asks for, for `submit`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::FalseyValueParser;

use crate::args::Server;
use crate::client::Client;
use crate::failure::Failure;
use crate::job::Job;
use crate::{output, ui};

const EXAMPLES: &str = "\
Examples:
  wtt get ID                     save the MIDI here, named after the recording
  wtt get ID --midi take3.mid --notes take3.json
  wtt get ID --notes take3.csv
  wtt get ID --notes -           the notes as JSON on standard output
  wtt get ID --json              what the server knows about it";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Id of the transcription
    id: String,

    /// Save the MIDI here; `-` for standard output
    #[arg(long, env = "WTT_MIDI", value_name = "OUT.mid")]
    midi: Option<PathBuf>,

    /// Save the notes as data here (.json or .csv); `-` for JSON on standard output
    #[arg(long, env = "WTT_NOTES", value_name = "OUT.json|.csv")]
    notes: Option<PathBuf>,

    /// Print the server's JSON about the transcription
    #[arg(long, env = "WTT_JSON", value_parser = FalseyValueParser::new())]
    json: bool,

    /// Replace files that are there already
    #[arg(long, env = "WTT_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,

    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let notes = args
        .notes
        .as_deref()
        .map(|to| notes_kind(to).map(|kind| (kind, to)))
        .transpose()?;
    if args.json {
        ui::line(format!("{:#}", client.transcription(&args.id).await?));
    }
    let mut wanted: Vec<(&str, PathBuf)> = Vec::new();
    wanted.extend(args.midi.clone().map(|to| ("midi", to)));
    wanted.extend(notes.map(|(kind, to)| (kind, to.to_owned())));
    if wanted.is_empty() && !args.json {
        let job: Job = serde_json::from_value(client.transcription(&args.id).await?)?;
        wanted.push((
            "midi",
            output::named_after(Path::new("."), job.filename(), "mid"),
        ));
    }
    for (_, to) in &wanted {
        output::check(to, args.force)?;
    }
    for (kind, to) in wanted {
        let path = save(&client, &args.id, kind, &to, args.force).await?;
        if path != "-" {
            ui::note(format!("saved {path}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Fetches one result into a file; returns the file's name for printing.
pub(crate) async fn save(
    client: &Client,
    id: &str,
    kind: &str,
    to: &Path,
    force: bool,
) -> anyhow::Result<String> {
    let bytes = client.file(id, kind).await?;
    output::write(to, &bytes, force)?;
    Ok(to.display().to_string())
}

/// Which of the server's files a name for notes asks for.
pub(crate) fn notes_kind(to: &Path) -> anyhow::Result<&'static str> {
    if to.as_os_str() == "-" {
        return Ok("notes.json");
    }
    let extension = to
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("json") => Ok("notes.json"),
        Some("csv") => Ok("notes.csv"),
        _ => Err(Failure::Usage(format!("{} should end in .json or .csv", to.display())).into()),
    }
}

//! `wtt list`: the transcriptions of a server as a table, newest first.

use std::process::ExitCode;

use clap::builder::FalseyValueParser;

use crate::args::Server;
use crate::client::Client;
use crate::job::{Job, State};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  wtt list
  wtt list --state failed
  wtt list --limit 500 --json | jq -r .id      a line of JSON each, for programs";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only those in this state
    #[arg(long, env = "WTT_STATE")]
    state: Option<State>,

    /// At most so many, newest first
    #[arg(long, env = "WTT_LIMIT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Print the server's JSON, a line per transcription
    #[arg(long, env = "WTT_JSON", value_parser = FalseyValueParser::new())]
    json: bool,

    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let values = Client::new(&args.server)?
        .list(args.state, args.limit as usize)
        .await?;
    if args.json {
        for value in values {
            ui::line(value.to_string());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if values.is_empty() {
        ui::note("nothing there; `wtt submit FILE` adds one");
        return Ok(ExitCode::SUCCESS);
    }
    let header = ["ID", "STATE", "MODEL", "SECONDS", "CREATED", "FILE"].map(str::to_owned);
    let mut rows = vec![header];
    for value in values {
        rows.push(row(&serde_json::from_value(value)?));
    }
    for line in table(&rows) {
        ui::line(line);
    }
    Ok(ExitCode::SUCCESS)
}

fn row(job: &Job) -> [String; 6] {
    let seconds = job
        .source
        .as_ref()
        .and_then(|source| source.duration_seconds);
    let percent = job
        .progress
        .as_ref()
        .and_then(|progress| progress.percent());
    let state = match (job.state, percent) {
        (State::Running, Some(percent)) => format!("running {percent} %"),
        (state, _) => state.as_str().to_owned(),
    };
    // A file name is a stranger's text: it must not steer the terminal.
    let filename = job
        .filename()
        .chars()
        .map(|char| if char.is_control() { '?' } else { char })
        .collect();
    [
        job.id.clone(),
        state,
        job.model.clone().unwrap_or_else(|| "-".to_owned()),
        seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}")),
        job.created_at.clone().unwrap_or_else(|| "-".to_owned()),
        filename,
    ]
}

/// Columns as wide as their widest cell, two spaces between them, nothing behind the last.
fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_end_clean() {
        let rows =
            [["ID", "FILE"], ["abcdef", "é.wav"], ["a", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), ["ID      FILE", "abcdef  é.wav", "a"]);
    }

    #[test]
    fn a_file_name_cannot_steer_the_terminal() {
        let job: Job =
            serde_json::from_str(r#"{"id":"a","source":{"filename":"x\u001b[31m\n.wav"}}"#)
                .unwrap();
        assert_eq!(row(&job)[5], "x?[31m?.wav");
    }
}

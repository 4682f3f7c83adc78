//! `wtt status`: how one transcription stands, for people; with `--json`, for programs.

use std::process::ExitCode;

use clap::builder::FalseyValueParser;

use crate::args::Server;
use crate::client::Client;
use crate::job::{Job, Source};
use crate::ui;

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code 0 whatever the state is; `wtt watch` ends with the outcome.")]
pub(crate) struct Args {
    /// Id of the transcription
    id: String,

    /// Print the server's JSON
    #[arg(long, env = "WTT_JSON", value_parser = FalseyValueParser::new())]
    json: bool,

    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let value = Client::new(&args.server)?.transcription(&args.id).await?;
    if args.json {
        ui::line(format!("{value:#}"));
    } else {
        ui::line(describe(&serde_json::from_value(value)?));
    }
    Ok(ExitCode::SUCCESS)
}

/// One fact a line, only the facts that are there.
pub(crate) fn describe(job: &Job) -> String {
    let mut lines = vec![format!("{}  {}", job.id, job.state.as_str())];
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            lines.push(format!("  {name:<10} {value}"));
        }
    };
    fact("file", Some(job.filename().to_owned()));
    fact("audio", job.source.as_ref().map(audio));
    fact("model", job.model.clone());
    if !job.state.is_final() {
        fact("progress", progress(job));
    }
    fact(
        "attempt",
        job.attempt
            .filter(|attempt| *attempt > 0)
            .map(|attempt| attempt.to_string()),
    );
    fact("worker", job.worker.clone());
    fact("created", job.created_at.clone());
    fact("started", job.started_at.clone());
    fact("finished", job.finished_at.clone());
    fact("kept until", job.expires_at.clone());
    fact("error", job.error.as_ref().map(ToString::to_string));
    lines.join("\n")
}

fn audio(source: &Source) -> String {
    let parts = [
        source
            .duration_seconds
            .map(|seconds| format!("{seconds:.1} s")),
        source.sample_rate.map(|rate| format!("{rate} Hz")),
        source
            .channels
            .map(|channels| format!("{channels} channel{}", if channels == 1 { "" } else { "s" })),
        source
            .bytes
            .map(|bytes| indicatif::HumanBytes(bytes).to_string()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn progress(job: &Job) -> Option<String> {
    let progress = job.progress.as_ref()?;
    let parts = [
        progress.stage.clone(),
        progress.percent().map(|percent| format!("{percent} %")),
        progress
            .eta_seconds
            .map(|seconds| format!("about {seconds:.0} s to go")),
        progress
            .queue_position
            .map(|position| format!("position {position} in the queue")),
    ];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

//! `wtt watch`: follows a transcription live until it ends; the exit code is its outcome.

use std::process::ExitCode;

use crate::args::Server;
use crate::client::Client;
use crate::failure::FAILED;
use crate::follow::follow;
use crate::job::{Job, State};
use crate::progress::{Display, Lines};
use crate::ui;

const AFTER: &str = "\
On a terminal a bar, otherwise a line per change. A dropped connection is taken up again where it broke.
Exit code 0 when it succeeded, 1 when it failed, was cancelled or has expired.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// Id of the transcription
    id: String,

    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let display = Display::new(&args.id, Lines::Answer);
    let end = follow(&client, &args.id, |job| display.show(job)).await;
    display.finish();
    let job: Job = serde_json::from_value(end?)?;
    ui::line(format!("{}: {}", args.id, job.outcome()));
    Ok(if job.state == State::Succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

//! `wtt retry`: runs a failed or cancelled transcription again, from the recording that the server kept.

use std::process::ExitCode;

use crate::args::Server;
use crate::client::Client;
use crate::job::Job;
use crate::{failure, ui};

#[derive(Debug, clap::Args)]
#[command(after_help = "The id stays the same; `wtt watch` follows the new run.")]
pub(crate) struct Args {
    /// Ids of the transcriptions
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    failure::for_each(&args.ids, async |id| {
        let job: Job = serde_json::from_value(client.act(id, "retry").await?)?;
        ui::line(format!("{id}  {}", job.state.as_str()));
        Ok(())
    })
    .await
}

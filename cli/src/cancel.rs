//! `wtt cancel`: stops a transcription, queued or running.

use std::process::ExitCode;

use crate::args::Server;
use crate::client::Client;
use crate::job::Job;
use crate::{failure, ui};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A worker that has it stops within seconds; what it found so far is dropped. `wtt retry` runs it again."
)]
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
        let job: Job = serde_json::from_value(client.act(id, "cancel").await?)?;
        ui::line(format!("{id}  {}", job.state.as_str()));
        Ok(())
    })
    .await
}

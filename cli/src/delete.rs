//! `wtt delete`: removes transcriptions from a server, with their recordings and results.

use std::process::ExitCode;

use crate::args::Server;
use crate::client::Client;
use crate::{failure, ui};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The recording and all results go too, and cannot be brought back. One that still runs is stopped first."
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
        client.delete(id).await?;
        ui::line(format!("{id}  deleted"));
        Ok(())
    })
    .await
}

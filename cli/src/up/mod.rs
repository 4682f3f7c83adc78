//! `wtt up`: the whole system on one machine.

use std::path::PathBuf;

use clap::Args;

/// Settings of `wtt up`.
#[derive(Args, Clone, Debug)]
pub(crate) struct UpArgs {
    /// Where the API listens. Another address than a loopback one needs an API key.
    #[arg(long, env = "WTT_LISTEN", default_value = "127.0.0.1:8000")]
    pub(crate) listen: String,
}

/// Everything that `start` started.
pub(crate) struct Running {
    pub(crate) api_url: String,
    pub(crate) data_dir: PathBuf,
}

/// Starts everything and waits until it answers.
pub(crate) async fn start(_args: UpArgs) -> anyhow::Result<Running> {
    anyhow::bail!("`wtt up` is being written")
}

impl Running {
    /// Stops workers, API and Redis, in this order.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Starts everything and stays until Ctrl-C or SIGTERM.
pub(crate) async fn up(args: UpArgs) -> anyhow::Result<()> {
    start(args).await?.stop().await
}

//! `wtt-api`: the service as a process. Reads flags, sets up logs, waits for signals.

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// What's The Tab: the API service.
#[derive(Parser)]
#[command(name = "wtt-api", version)]
struct Cli {
    #[command(flatten)]
    config: api::Config,
    /// Logs as JSON, a line each.
    #[arg(long, env = "WTT_LOG_JSON")]
    log_json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if cli.log_json {
        logs.json().init()
    } else {
        logs.init()
    }

    let shutdown = CancellationToken::new();
    tokio::spawn(end_on_signal(shutdown.clone()));
    match api::run(cli.config, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn end_on_signal(shutdown: CancellationToken) {
    let (Ok(mut term), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::warn!("signals cannot be caught; only SIGKILL will end this process");
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ending");
    shutdown.cancel();
}

//! `wtt workers`: the workers of `wtt up` without its API and its Redis, for a machine that only transcribes (one with a GPU,
//! say). Each is a child process, started again when it dies; its leases end the moment it does.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use queue::{Queue, QueueConfig, ReapOptions};
use transcription::DeviceChoice;
use transcription::registry::Store;

use super::config::{self, Crew};
use super::lock::{self, DataLock};
use super::workers::Workers;
use super::{Asked, warn_about_missing_models};
use crate::ui;

/// Settings of `wtt workers`. The workers' further settings (`wtt-worker --help`) are taken from their environment variables.
#[derive(Args, Clone, Debug)]
pub(crate) struct CrewArgs {
    /// Redis that holds the queue: redis://, rediss:// or unix://
    #[arg(
        long,
        env = "WTT_REDIS_URL",
        value_name = "URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true
    )]
    redis_url: String,

    /// Put before every Redis key, as the API does
    #[arg(
        long,
        env = "WTT_REDIS_PREFIX",
        value_name = "TEXT",
        default_value = ""
    )]
    redis_prefix: String,

    /// The API that hands out recordings and takes notes
    #[arg(
        long,
        env = "WTT_API_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8000"
    )]
    api_url: String,

    /// Worker processes
    #[arg(long, env = "WTT_WORKERS", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    workers: u32,

    /// CPU threads that all workers share; all cores by default
    #[arg(long, env = "WTT_THREADS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,

    /// Where networks run: cpu, cuda or cuda:N
    #[arg(long, env = "WTT_DEVICE", value_name = "DEVICE", default_value = "cpu")]
    device: DeviceChoice,

    /// Folder for the recordings in work and the list of workers [default: ~/.local/share/whatsthetab]
    #[arg(long, env = "WTT_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Folder of the installed models [default: where `wtt models pull` puts them]
    #[arg(long, env = "WTT_MODELS_DIR", value_name = "DIR")]
    models_dir: Option<PathBuf>,

    /// Crashes of a task that ran alone after which it fails as poison; the same for everyone who reaps
    #[arg(long, env = "WTT_MAX_CRASHES", value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    max_crashes: u32,

    /// Write the workers' logs to files in this folder instead of standard error
    #[arg(long, env = "WTT_LOG_DIR", value_name = "DIR")]
    log_dir: Option<PathBuf>,
}

/// Starts the workers and stays until Ctrl-C or SIGTERM; what runs is handed back then.
pub(crate) async fn workers(args: CrewArgs) -> anyhow::Result<()> {
    let mut asked = Asked::listen()?;
    let running = tokio::select! {
        running = start(args) => running?,
        () = asked.again() => return Ok(()),
    };
    asked.again().await;
    ui::note(
        "stopping; running transcriptions are handed back (press Ctrl-C again to leave at once)",
    );
    tokio::select! {
        () = running.0.stop() => Ok(()),
        // The children end with this process.
        () = asked.again() => std::process::exit(130),
    }
}

async fn start(args: CrewArgs) -> anyhow::Result<(Workers, DataLock)> {
    let data_dir = config::data_dir(args.data_dir.as_deref())?;
    lock::private_dir(&data_dir)
        .with_context(|| format!("cannot use {} as the data folder", data_dir.display()))?;
    let lock = DataLock::take(&data_dir)?;
    // Workers would die of it one after the other, each telling only its log.
    tokio::task::spawn_blocking(move || args.device.open().map(|_| ())).await??;
    let models_dir = args.models_dir.clone().unwrap_or_else(Store::default_dir);
    warn_about_missing_models(&models_dir);
    let mut queue_config = QueueConfig::new(args.redis_url.clone());
    queue_config.prefix = args.redis_prefix.clone();
    let queue = Queue::connect(&queue_config)
        .await
        .context("cannot use Redis")?;
    let mut plan = Crew {
        api_url: &args.api_url,
        redis_url: &args.redis_url,
        device: args.device,
        threads: args.threads,
        count: args.workers,
        models_dir,
        log_dir: args.log_dir.clone(),
    }
    .plan(&data_dir)?;
    plan.environment.extend([
        (
            OsString::from("WTT_REDIS_PREFIX"),
            OsString::from(&args.redis_prefix),
        ),
        (
            OsString::from("WTT_MAX_CRASHES"),
            OsString::from(args.max_crashes.to_string()),
        ),
    ]);
    let reap = ReapOptions {
        max_crashes: args.max_crashes,
        ..ReapOptions::default()
    };
    let count = plan.count;
    let workers = Workers::start(plan, queue, reap).await?;
    ui::line(format!(
        "{count} workers for {}; Ctrl-C stops them",
        args.api_url
    ));
    Ok((workers, lock))
}

//! `wtt up`: the whole system on one machine. The API and the reaper run in this process, the workers and (unless one is
//! given) a Redis as its children; everything ends with it, however it ends.
//!
//! `start` and [`Running::stop`] are apart from the command so that `wtt demo` can do the same in its own process.

mod child;
mod config;
mod crew;
mod lock;
mod pace;
mod redis;
mod redis_home;
mod roll;
mod tether;
mod threads;
mod workers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use queue::{Queue, QueueConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::workers::Workers;
pub(crate) use config::UpArgs;
pub(crate) use crew::{CrewArgs, workers};
use lock::DataLock;
use redis::PrivateRedis;

use crate::ui;

/// How long the API may take to finish its requests.
const API_STOP: Duration = Duration::from_secs(15);
/// Its own grace ends so much sooner, so that it drops what is left by itself.
const API_MARGIN: Duration = Duration::from_secs(2);

/// Everything that [`start`] started.
pub(crate) struct Running {
    pub(crate) api_url: String,
    pub(crate) data_dir: PathBuf,
    workers: Workers,
    api: JoinHandle<anyhow::Result<()>>,
    api_stop: CancellationToken,
    redis: Option<PrivateRedis>,
    /// Held until everything else has ended.
    _lock: DataLock,
}

/// Starts everything and waits until it answers. Dropping the future, or failing half way, ends what was started.
pub(crate) async fn start(args: UpArgs) -> anyhow::Result<Running> {
    let data_dir = config::data_dir(args.data_dir.as_deref())?;
    lock::private_dir(&data_dir)
        .with_context(|| format!("cannot use {} as the data folder", data_dir.display()))?;
    let lock = DataLock::take(&data_dir)?;
    // Workers would die of it one after the other, each telling only its log.
    tokio::task::spawn_blocking(move || args.device.open().map(|_| ())).await??;
    warn_about_missing_models(&args.models_dir());

    let redis = match &args.redis_url {
        Some(_) => None,
        None => Some(PrivateRedis::start(&data_dir).await?),
    };
    let redis_url = match (&args.redis_url, &redis) {
        (Some(url), _) => url.clone(),
        (None, Some(redis)) => redis.url().to_owned(),
        (None, None) => anyhow::bail!("no Redis was started; this is a bug"),
    };
    let api_config = args.api(&data_dir, &redis_url)?;
    let mut queue_config = QueueConfig::new(redis_url.clone());
    queue_config.prefix = api_config.redis_prefix.clone();
    let queue = Queue::connect(&queue_config)
        .await
        .context("cannot use Redis")?;

    let reap = api_config.reap_options();
    let bound = api::bind(api_config).await?;
    let api_url = config::url_of(bound.local_addr()?);
    let api_stop = CancellationToken::new();
    let api = tokio::spawn(bound.serve(api_stop.clone()));

    let workers =
        Workers::start(args.workers(&data_dir, &redis_url, &api_url)?, queue, reap).await?;
    Ok(Running {
        api_url,
        data_dir,
        workers,
        api,
        api_stop,
        redis,
        _lock: lock,
    })
}

impl Running {
    /// Waits until the API ends by itself, which it should not.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match (&mut self.api).await {
            Ok(Ok(())) => anyhow::anyhow!("the API ended without being asked to"),
            Ok(Err(error)) => error.context("the API ended"),
            Err(panic) => anyhow::Error::from(panic).context("the API panicked"),
        }
    }

    /// Stops workers, API and Redis, in this order, so that each can still say goodbye to the next. Bounded.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let Running {
            workers,
            mut api,
            api_stop,
            redis,
            _lock,
            ..
        } = self;
        workers.stop().await;
        api_stop.cancel();
        let served = if api.is_finished() {
            Ok(())
        } else {
            match tokio::time::timeout(API_STOP, &mut api).await {
                Ok(Ok(served)) => served.context("the API ended with an error"),
                Ok(Err(panic)) => Err(anyhow::Error::from(panic).context("the API panicked")),
                Err(_) => {
                    api.abort();
                    Err(anyhow::anyhow!(
                        "the API did not end within {} s",
                        API_STOP.as_secs()
                    ))
                }
            }
        };
        if let Some(redis) = redis {
            redis.stop().await;
        }
        served
    }
}

/// Starts everything and stays until Ctrl-C or SIGTERM.
pub(crate) async fn up(args: UpArgs) -> anyhow::Result<()> {
    let mut asked = Asked::listen()?;
    let mut running = tokio::select! {
        running = start(args) => running?,
        () = asked.again() => return Ok(()),
    };
    ui::line(welcome(&running.api_url, &running.data_dir));
    let failure = tokio::select! {
        () = asked.again() => None,
        error = running.failed() => Some(error),
    };
    ui::note(
        "stopping; running transcriptions go on at the next start (press Ctrl-C again to leave at once)",
    );
    tokio::select! {
        stopped = running.stop() => failure.map_or(stopped, Err),
        // The children end with this process.
        () = asked.again() => std::process::exit(130),
    }
}

/// Ctrl-C and SIGTERM, each time they come.
struct Asked {
    terminate: Signal,
    interrupt: Signal,
}

impl Asked {
    fn listen() -> std::io::Result<Self> {
        Ok(Asked {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn welcome(api_url: &str, data_dir: &Path) -> String {
    let server = if api_url == "http://127.0.0.1:8000" {
        String::new()
    } else {
        format!(" --server {api_url}")
    };
    format!(
        "What's The Tab is ready at {api_url}\n\
         data in {}\n\n\
         try:\n  \
         wtt submit{server} SONG.flac --wait -o SONG.mid\n  \
         wtt list{server}\n  \
         curl -F audio=@SONG.flac {api_url}/api/v1/transcriptions\n\n\
         Ctrl-C stops it.",
        data_dir.display()
    )
}

/// Not an error: the system is useful without (uploads wait, models can be pulled meanwhile), but nobody should wonder.
fn warn_about_missing_models(models_dir: &Path) {
    let store = transcription::registry::Store::new(models_dir.to_owned());
    let installed: Vec<String> = store
        .list()
        .into_iter()
        .filter(|model| model.installed)
        .map(|model| model.name)
        .collect();
    for name in transcription::MODELS
        .iter()
        .filter(|name| !installed.iter().any(|model| model == *name))
    {
        ui::note(format!(
            "model {name} is not installed, so its transcriptions will fail; run: wtt models pull {name}"
        ));
    }
}

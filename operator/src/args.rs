//! The command line. Each flag of `run` is also an environment variable, which is what the chart uses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::pools::WorkerEnv;
use crate::scale::Factors;
use crate::{Settings, cluster, ledger};

/// The operator of What's The Tab: TranscriptionJobs go to the API, WorkerPools get as many workers as their work needs.
#[derive(Debug, Parser)]
#[command(name = "wtt-operator", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the cluster that the service account or the kubeconfig leads to
    Run(Box<RunArgs>),
    /// Print the definitions of both resources: wtt-operator crd | kubectl apply --server-side -f -
    Crd,
    /// Work the last decision of each pool out again from what `kubectl get wp -o json` printed
    Explain {
        /// The file; - for standard input
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Only this namespace; without it, all of them
    #[arg(long, env = "WTT_WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// Name of this installation; the API keeps each one's jobs apart by it
    #[arg(long, env = "WTT_RELEASE", default_value = "wtt")]
    release: String,
    /// The transcription API
    #[arg(long, env = "WTT_API_URL")]
    api_url: String,
    /// The API's key for operators
    #[arg(long, env = "WTT_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// A file with that key, as a mounted Secret has it
    #[arg(long, env = "WTT_API_KEY_FILE")]
    api_key_file: Option<PathBuf>,
    /// What stands before the addresses of results when the API does not know its own; the API's address without it
    #[arg(long, env = "WTT_PUBLIC_URL")]
    public_url: Option<String>,
    /// The Redis with the queue: redis:// rediss:// unix://
    #[arg(long, env = "WTT_REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,
    /// A file with that address
    #[arg(long, env = "WTT_REDIS_URL_FILE")]
    redis_url_file: Option<PathBuf>,
    /// Before every key in Redis
    #[arg(long, env = "WTT_REDIS_PREFIX", default_value = "")]
    redis_prefix: String,
    /// The API as workers reach it; --api-url without it
    #[arg(long, env = "WTT_WORKER_API_URL")]
    worker_api_url: Option<String>,
    /// NAME:KEY of the Secret in each pool's namespace with the address of Redis for its workers
    #[arg(long, env = "WTT_WORKER_REDIS_SECRET", value_name = "NAME:KEY")]
    worker_redis_secret: Option<String>,
    /// The same as plain text, where Redis has no password
    #[arg(long, env = "WTT_WORKER_REDIS_URL")]
    worker_redis_url: Option<String>,
    /// How many times faster than real time a worker is expected to be before that was measured: MODEL=N, repeatable
    #[arg(
        long,
        env = "WTT_EXPECTED_FACTORS",
        value_delimiter = ',',
        value_name = "MODEL=N"
    )]
    expected_factor: Vec<String>,
    /// The same for every other model
    #[arg(long, env = "WTT_DEFAULT_FACTOR", default_value_t = 10.0)]
    default_factor: f64,
    /// When a task that takes its workers down is given up; as the API has it
    #[arg(long, env = "WTT_MAX_CRASHES", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    max_crashes: u32,
    /// Pause of a task that lost its worker; as the API has it
    #[arg(long, env = "WTT_CRASH_BACKOFF", value_name = "DURATION", default_value = "0s", value_parser = duration)]
    crash_backoff: Duration,
    /// How long given-up tasks are kept in Redis; as the API has it
    #[arg(long, env = "WTT_DEAD_LETTER_TTL", value_name = "DURATION", default_value = "7d", value_parser = duration)]
    dead_letter_ttl: Duration,
    /// Where health and metrics are answered
    #[arg(long, env = "WTT_METRICS_ADDRESS", default_value = "0.0.0.0:9090")]
    metrics_address: SocketAddr,
    /// Where the Lease is
    #[arg(long, env = "WTT_NAMESPACE", default_value = "default")]
    lease_namespace: String,
    /// What the Lease is called
    #[arg(long, env = "WTT_LEASE_NAME", default_value = crate::MANAGER)]
    lease_name: String,
    /// This process among its replicas; the pod's name
    #[arg(long, env = "WTT_POD")]
    identity: Option<String>,
    /// How many objects are worked on at once, of each kind
    #[arg(long, env = "WTT_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Logs for reading instead of JSON
    #[arg(long, env = "WTT_LOG_PLAIN")]
    pub log_plain: bool,
}

impl RunArgs {
    pub fn settings(self) -> anyhow::Result<Settings> {
        // Named one by one, so that a new flag cannot be forgotten.
        let RunArgs {
            watch_namespace,
            release,
            api_url,
            api_key,
            api_key_file,
            public_url,
            redis_url,
            redis_url_file,
            redis_prefix,
            worker_api_url,
            worker_redis_secret,
            worker_redis_url,
            expected_factor,
            default_factor,
            max_crashes,
            crash_backoff,
            dead_letter_ttl,
            metrics_address,
            lease_namespace,
            lease_name,
            identity,
            concurrency,
            log_plain: _,
        } = self;
        anyhow::ensure!(
            !release.is_empty() && !release.contains('/'),
            "--release {release:?} must not be empty nor contain a slash"
        );
        anyhow::ensure!(
            default_factor.is_finite() && default_factor > 0.0,
            "--default-factor must be above 0"
        );
        let redis = either("--redis-url", redis_url, redis_url_file.as_deref())?
            .context("where is Redis? set --redis-url or WTT_REDIS_URL (or ..._FILE)")?;
        let mut redis = queue::QueueConfig::new(redis);
        redis.prefix = redis_prefix;
        // The tick has a bound of its own, and a second is enough.
        redis.response_timeout = Duration::from_secs(1);
        let redis_secret = worker_redis_secret
            .map(|text| {
                text.split_once(':')
                    .map(|(name, key)| (name.to_owned(), key.to_owned()))
                    .with_context(|| format!("--worker-redis-secret {text:?} is not NAME:KEY"))
            })
            .transpose()?;
        Ok(Settings {
            namespace: watch_namespace.filter(|namespace| !namespace.is_empty()),
            release,
            public_url: public_url
                .unwrap_or_else(|| api_url.clone())
                .trim_end_matches('/')
                .to_owned(),
            workers: WorkerEnv {
                api_url: Some(worker_api_url.unwrap_or_else(|| api_url.clone())),
                redis_secret,
                redis_url: worker_redis_url,
            },
            ledger: ledger::Settings {
                url: api_url,
                key: either("--api-key", api_key, api_key_file.as_deref())?,
            },
            redis,
            reaping: queue::ReapOptions {
                max_crashes,
                crash_backoff_ms: milliseconds(crash_backoff),
                dead_letter_ttl_ms: milliseconds(dead_letter_ttl),
                ..queue::ReapOptions::default()
            },
            factors: Factors {
                expected: factors(&expected_factor)?,
                default: default_factor,
            },
            metrics_address,
            lease_namespace,
            lease_name,
            identity: identity.unwrap_or_else(identity_of_host),
            concurrency: concurrency.into(),
            timing: cluster::Timing::default(),
        })
    }
}

/// The value, or what is in the file; both is a mistake.
fn either(
    name: &str,
    value: Option<String>,
    file: Option<&Path>,
) -> anyhow::Result<Option<String>> {
    match (value.filter(|value| !value.is_empty()), file) {
        (Some(_), Some(file)) => anyhow::bail!(
            "{name} and {name}-file ({}) are both given; one is enough",
            file.display()
        ),
        (Some(value), None) => Ok(Some(value)),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {} ({name}-file)", file.display()))?;
            Ok(Some(text.trim().to_owned()))
        }
        (None, None) => Ok(None),
    }
}

fn factors(given: &[String]) -> anyhow::Result<BTreeMap<String, f64>> {
    given
        .iter()
        .map(|text| {
            let (model, number) = text
                .rsplit_once('=')
                .with_context(|| format!("--expected-factor {text:?} is not MODEL=N"))?;
            let factor: f64 = number
                .trim()
                .parse()
                .with_context(|| format!("--expected-factor {text:?}: not a number"))?;
            anyhow::ensure!(
                factor.is_finite() && factor > 0.0,
                "--expected-factor {text:?} must be above 0"
            );
            Ok((model.trim().to_owned(), factor))
        })
        .collect()
}

/// `7d`, `30s`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Unique among replicas even where hosts share a name.
fn identity_of_host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{:08x}", host.trim(), rand::random::<u32>())
}

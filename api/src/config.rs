//! What the service can be told from outside: one clap struct, every flag with an environment variable.
//! It knows names and defaults; it opens nothing and decides nothing but whether the values fit together.

mod operator;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::Keys;
use crate::models::Models;

pub use operator::OperatorConfig;

/// Settings of the API service.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Address of the public port.
    #[arg(long, env = "WTT_LISTEN", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,

    /// Address for Prometheus metrics and health; none = no metrics are served.
    #[arg(long, env = "WTT_ADMIN_LISTEN")]
    pub admin_listen: Option<SocketAddr>,

    /// Folder for the embedded database and, by default, the recordings and results.
    #[arg(long, env = "WTT_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,

    /// `sqlite://PATH` or `postgres://...`; default: a SQLite file in the data folder.
    #[arg(long, env = "WTT_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// `redis://`, `rediss://` or `unix://` URL of the queue.
    #[arg(
        long,
        env = "WTT_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true
    )]
    pub redis_url: String,

    /// Prefix of every Redis key.
    #[arg(long, env = "WTT_REDIS_PREFIX", default_value = "")]
    pub redis_prefix: String,

    /// Where recordings and results live: `s3://`, `gs://`, `az://` or `file://`; default: the data folder.
    #[arg(long, env = "WTT_OBJECTS_URL", hide_env_values = true)]
    pub objects_url: Option<String>,

    /// Key that clients must send (Bearer or X-Api-Key); several are separated by commas.
    #[arg(long, env = "WTT_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,

    /// File with one key per line.
    #[arg(long, env = "WTT_API_KEY_FILE")]
    pub api_key_file: Option<PathBuf>,

    /// Models on offer and the queue of each: `model=queue,...`; the first is the default. `model=queue+other`: jobs may also name
    /// the other queue.
    #[arg(long, env = "WTT_MODELS", default_value = crate::models::DEFAULT)]
    pub models: String,

    /// Run the reaper in this process (an operator may run it instead).
    #[arg(long, env = "WTT_REAP", default_value_t = true, action = clap::ArgAction::Set)]
    pub reap: bool,

    #[command(flatten)]
    pub limits: Limits,

    #[command(flatten)]
    pub timing: Timing,

    #[command(flatten)]
    pub operator: OperatorConfig,
}

/// What one client, or all of them, may ask of the service.
#[derive(Debug, Clone, clap::Args)]
pub struct Limits {
    /// Largest recording, in bytes.
    #[arg(long, env = "WTT_MAX_UPLOAD_BYTES", default_value_t = 200 * 1024 * 1024)]
    pub max_upload_bytes: u64,

    /// Longest recording, in decoded seconds.
    #[arg(long, env = "WTT_MAX_DECODED_SECONDS", default_value_t = 3600)]
    pub max_decoded_seconds: u64,

    /// Queued tasks before new ones are refused with 503; 0 = no limit.
    #[arg(long, env = "WTT_MAX_QUEUE_DEPTH", default_value_t = 10_000)]
    pub max_queue_depth: u64,

    /// Largest JSON body or options part, in bytes.
    #[arg(long, env = "WTT_MAX_JSON_BYTES", default_value_t = 64 * 1024)]
    pub max_json_bytes: usize,

    /// Most parts of one multipart body.
    #[arg(long, env = "WTT_MAX_PARTS", default_value_t = 8)]
    pub max_parts: usize,

    /// Seconds a client has for sending a body.
    #[arg(long, env = "WTT_BODY_DEADLINE_SECONDS", default_value_t = 600)]
    pub body_deadline_seconds: u64,

    /// Seconds between two pieces of a body after which its sender is taken for gone.
    #[arg(long, env = "WTT_BODY_SILENCE_SECONDS", default_value_t = 60)]
    pub body_silence_seconds: u64,

    /// Seconds a client has for sending the headers of a request.
    #[arg(long, env = "WTT_HEADER_TIMEOUT_SECONDS", default_value_t = 30)]
    pub header_timeout_seconds: u64,

    /// Event streams open at once, all clients together.
    #[arg(long, env = "WTT_MAX_STREAMS", default_value_t = 1000)]
    pub max_streams: usize,

    /// Event streams open at once with one key.
    #[arg(long, env = "WTT_MAX_STREAMS_PER_KEY", default_value_t = 20)]
    pub max_streams_per_key: usize,

    /// Largest result part that a worker may store, in bytes.
    #[arg(long, env = "WTT_MAX_RESULT_BYTES", default_value_t = 64 * 1024 * 1024)]
    pub max_result_bytes: usize,
}

/// How often the loops run and how long things are kept.
#[derive(Debug, Clone, clap::Args)]
pub struct Timing {
    /// Seconds a finished transcription is kept (7 days); 0 = for ever.
    #[arg(long, env = "WTT_RETENTION_SECONDS", default_value_t = 7 * 24 * 3600)]
    pub retention_seconds: u64,

    /// Seconds the recording is kept after success (24 hours); 0 = as long as the transcription.
    #[arg(long, env = "WTT_SOURCE_RETENTION_SECONDS", default_value_t = 24 * 3600)]
    pub source_retention_seconds: u64,

    /// Seconds an answer to an Idempotency-Key is kept.
    #[arg(long, env = "WTT_IDEMPOTENCY_SECONDS", default_value_t = 24 * 3600)]
    pub idempotency_seconds: u64,

    /// How long a dead letter is kept in Redis: `7d`, `12h`; a bare number is seconds.
    #[arg(long, env = "WTT_DEAD_LETTER_TTL", default_value = "7d", value_parser = duration)]
    pub dead_letter_ttl: Duration,

    /// Crashes of a task that ran alone after which it fails as poison: higher rescues more unlucky tasks, and lets a deadly
    /// one take more workers down. The same for everyone who reaps.
    #[arg(long, env = "WTT_MAX_CRASHES", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_crashes: u32,

    /// Pause before a task runs again after it lost its worker, doubled each time up to 30 s: `500ms`, `2s`; a bare number is
    /// seconds; 0 = at once.
    #[arg(long, env = "WTT_CRASH_BACKOFF", default_value = "0", value_parser = duration)]
    pub crash_backoff: Duration,

    /// Milliseconds between two looks at the outbox without a hint.
    #[arg(long, env = "WTT_OUTBOX_POLL_MS", default_value_t = 5_000)]
    pub outbox_poll_ms: u64,

    /// Milliseconds between two runs of the reaper.
    #[arg(long, env = "WTT_REAP_INTERVAL_MS", default_value_t = 2_000)]
    pub reap_interval_ms: u64,

    /// Milliseconds between two runs of the reconciler.
    #[arg(long, env = "WTT_RECONCILE_INTERVAL_MS", default_value_t = 60_000)]
    pub reconcile_interval_ms: u64,

    /// Milliseconds between two runs of the retention sweeper.
    #[arg(long, env = "WTT_SWEEP_INTERVAL_MS", default_value_t = 60_000)]
    pub sweep_interval_ms: u64,

    /// Seconds that open requests have after SIGTERM.
    #[arg(long, env = "WTT_SHUTDOWN_GRACE_SECONDS", default_value_t = 20)]
    pub shutdown_grace_seconds: u64,
}

/// Settings that do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "refusing to listen on {0} without an API key: set WTT_API_KEY (or WTT_API_KEY_FILE), or listen on 127.0.0.1"
    )]
    OpenAddress(SocketAddr),
    #[error("failed to read the API key file {path}: {source}")]
    KeyFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "an API key of {0} characters is too short: use at least 16 characters, for example from `openssl rand -hex 24`"
    )]
    ShortKey(usize),
    #[error(
        "a signing key of {0} characters is too short: use at least 32 characters, for example from `openssl rand -hex 32`"
    )]
    ShortSigningKey(usize),
    #[error("the API key setting is empty: remove it, or set a key")]
    NoKey,
    #[error("--models {value:?}: {problem}")]
    Models { value: String, problem: String },
}

impl Config {
    /// How this service takes tasks back.
    pub fn reap_options(&self) -> queue::ReapOptions {
        queue::ReapOptions {
            max_crashes: self.timing.max_crashes,
            crash_backoff_ms: milliseconds(self.timing.crash_backoff),
            dead_letter_ttl_ms: milliseconds(self.timing.dead_letter_ttl),
            ..queue::ReapOptions::default()
        }
    }

    /// The keys that are accepted; an address other than loopback is refused without one.
    pub fn keys(&self) -> Result<Keys, ConfigError> {
        let keys = Keys::load(self.api_key.as_deref(), self.api_key_file.as_deref())?;
        if keys.is_open() && !self.listen.ip().is_loopback() {
            return Err(ConfigError::OpenAddress(self.listen));
        }
        Ok(keys)
    }

    /// The keys of operators; none: nobody is one.
    pub fn operator_keys(&self) -> Result<Keys, ConfigError> {
        let operator = &self.operator;
        Keys::load(
            operator.operator_key.as_deref(),
            operator.operator_key_file.as_deref(),
        )
    }

    /// The catalogue of models on offer.
    pub fn catalogue(&self) -> Result<Models, ConfigError> {
        Models::parse(&self.models)
    }

    /// The database URL, or the SQLite file in the data folder.
    pub fn database_url(&self) -> String {
        self.database_url.clone().unwrap_or_else(|| {
            let path = self.data_dir.join("whatsthetab.db");
            format!("sqlite://{}", path.display())
        })
    }

    pub fn body_silence(&self) -> Duration {
        Duration::from_secs(self.limits.body_silence_seconds)
    }

    pub fn body_deadline(&self) -> Duration {
        Duration::from_secs(self.limits.body_deadline_seconds)
    }
}

/// `7d`, `1h 30m`, `500ms`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    match text.trim().parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    fn config(arguments: &[&str]) -> Config {
        Cli::parse_from(std::iter::once(&"wtt-api").chain(arguments)).config
    }

    #[test]
    fn open_address_without_key_is_refused_and_says_what_to_set() {
        let error = config(&["--listen", "0.0.0.0:8000"]).keys().unwrap_err();
        assert!(error.to_string().contains("WTT_API_KEY"), "{error}");
    }

    #[test]
    fn loopback_needs_no_key_and_other_addresses_do_with_one() {
        assert!(config(&[]).keys().unwrap().is_open());
        assert!(config(&["--listen", "[::1]:0"]).keys().unwrap().is_open());
        let key = "0123456789abcdef";
        let keys = config(&["--listen", "0.0.0.0:8000", "--api-key", key]).keys();
        assert!(!keys.unwrap().is_open());
    }

    #[test]
    fn durations_are_said_as_people_say_them() {
        let options = config(&["--dead-letter-ttl", "12h", "--crash-backoff=500ms"]).reap_options();
        assert_eq!(options.dead_letter_ttl_ms, 12 * 3_600_000);
        assert_eq!(options.crash_backoff_ms, 500);
        let options = config(&["--crash-backoff", "30"]).reap_options();
        assert_eq!(options.crash_backoff_ms, 30_000);
        let defaults = config(&[]).reap_options();
        assert_eq!(defaults.dead_letter_ttl_ms, 7 * 24 * 3_600_000);
        assert_eq!(defaults.crash_backoff_ms, 0);
        for bad in ["", "-1", "soon", "7 parsecs"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn empty_or_short_keys_are_refused() {
        assert!(config(&["--api-key", " "]).keys().is_err());
        assert!(config(&["--api-key", "short"]).keys().is_err());
    }
}

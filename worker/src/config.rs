//! What an operator of a worker can choose. Only values: nothing here connects or starts anything.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// Settings of a worker. Every flag can also be given as the environment variable shown beside it.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Address of the API that hands out audio and takes results. Workers need no database and no object store.
    #[arg(long, env = "WTT_API_URL", default_value = "http://127.0.0.1:8000")]
    pub api_url: String,

    /// Redis that holds the queue (redis://, rediss://, unix://). Falls back to REDIS_URL, then to a local Redis.
    #[arg(long, env = "WTT_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,

    /// Put before every Redis key; for Redis Cluster, or several systems in one Redis.
    #[arg(long, env = "WTT_REDIS_PREFIX", default_value = "")]
    pub redis_prefix: String,

    /// Queues to claim from, the most urgent first: a later queue is served only while the earlier ones are empty.
    #[arg(
        long,
        env = "WTT_QUEUES",
        value_delimiter = ',',
        default_value = "default"
    )]
    pub queues: Vec<String>,

    /// Tasks held at a time. More slots fill a GPU's batches better; on a CPU they only make each task slower.
    #[arg(long, env = "WTT_SLOTS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub slots: u32,

    /// Where networks run: cpu, cuda or cuda:N.
    #[arg(long, env = "WTT_DEVICE", default_value = "cpu")]
    pub device: String,

    /// In what the networks compute: f32 reproduces the reference, tf32 and bf16 are quicker on a GPU and shift single notes.
    #[arg(
        long,
        env = "WTT_PRECISION",
        default_value = "f32",
        value_name = "f32|tf32|bf16"
    )]
    pub precision: String,

    /// Reproduce the reference packages, their quirks included, and compute each song in groups of its own, so that no bit of its
    /// notes depends on what runs beside it. Slower.
    #[arg(long, env = "WTT_PARITY", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, default_missing_value = "true")]
    pub parity: bool,

    /// For tests: steps of the device that fail, such as oom@3,error@7,sticky@9.
    #[arg(long, env = "WTT_INJECT_FAULTS", default_value = "", hide = true)]
    pub inject_faults: String,

    /// CPU threads of the networks, 0 = all cores. Give each worker of a machine its share, or they slow each other down.
    #[arg(long, env = "WTT_THREADS", default_value_t = 0)]
    pub threads: usize,

    /// Folder of converted models (`wtt models pull` fills it). Default: ~/.cache/whatsthetab/models.
    #[arg(long, env = "WTT_MODELS_DIR")]
    pub models_dir: Option<PathBuf>,

    /// Name of this worker in Redis: [a-z0-9.-], never used twice. Default: pod or host name and random digits.
    #[arg(long, env = "WTT_WORKER_ID")]
    pub worker_id: Option<String>,

    /// How long running tasks may go on after SIGTERM before they are handed back. 0 hands back at once; under Kubernetes
    /// use the grace period less 10 seconds.
    #[arg(long, env = "WTT_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "50s", value_parser = duration)]
    pub drain_timeout: Duration,

    /// A task whose network shows no progress for so long is given up, and the worker with it, as its device hangs: the task
    /// runs again elsewhere, and the process ends with a failure so that a new one opens the device.
    #[arg(long, env = "WTT_STALL_SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub stall_seconds: u64,

    /// Crashes of a task that ran alone after which it fails as poison: higher rescues more unlucky tasks, and lets a deadly
    /// one take more workers down. The same for everyone who reaps.
    #[arg(long, env = "WTT_MAX_CRASHES", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_crashes: u32,

    /// Pause before a task runs again after it lost its worker, doubled each time up to 30 s; 0 = at once.
    #[arg(long, env = "WTT_CRASH_BACKOFF", value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub crash_backoff: Duration,

    /// Folder for the recordings in work. The worker owns it alone and empties it at start. Default: a new temporary folder.
    #[arg(long, env = "WTT_TEMP_DIR")]
    pub temp_dir: Option<PathBuf>,

    /// Name of the pod, as the operator knows it.
    #[arg(long, env = "WTT_POD", default_value = "")]
    pub pod: String,

    /// UID of the pod: the operator drains workers by it.
    #[arg(long, env = "WTT_POD_UID", default_value = "")]
    pub pod_uid: String,

    /// Name of the worker pool that this worker belongs to.
    #[arg(long, env = "WTT_POOL", default_value = "")]
    pub pool: String,

    /// End when standard input closes, which is what happens when the parent dies: tasks are handed back.
    #[arg(long, env = "WTT_EXIT_WITH_PARENT", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, default_missing_value = "true")]
    pub exit_with_parent: bool,

    /// The protocol's clocks; tests shorten them, people do not. Boxed: a command line of many subcommands holds these settings.
    #[arg(skip)]
    pub timing: Box<Timing>,
}

/// Intervals of the protocol (docs: the queue's timing table), in one place so that tests can be quick.
#[derive(Clone, Debug)]
pub struct Timing {
    /// The longest pause between two heartbeats; a shorter lease shortens it to a third of that lease.
    pub beat: Duration,
    /// How long `worker:{wid}` outlives the last heartbeat. For display only.
    pub worker_ttl: Duration,
    /// The longest wait of an idle worker that hears no hint.
    pub poll: Duration,
    /// Between two PROGRESS calls of one task.
    pub progress: Duration,
    /// How long an engine may take to obey a cancel before it counts as hung and the process ends.
    pub engine_stop: Duration,
    /// For the last calls (RELEASE, deleting the worker's keys) while Redis does not answer.
    pub farewell: Duration,
    /// How long the API may say nothing while it is asked for audio.
    pub api_silence: Duration,
    /// For one hand-in of a result, upload and answer together.
    pub hand_in: Duration,
    /// First and longest pause between two runs of a failed task.
    pub retry_base: Duration,
    pub retry_cap: Duration,
    /// First and longest pause between two tries of a call that an outage refused.
    pub outage_base: Duration,
    pub outage_cap: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            beat: Duration::from_secs(5),
            worker_ttl: Duration::from_secs(30),
            poll: Duration::from_secs(5),
            progress: Duration::from_millis(500),
            engine_stop: Duration::from_secs(30),
            farewell: Duration::from_secs(3),
            api_silence: Duration::from_secs(30),
            hand_in: Duration::from_secs(600),
            retry_base: Duration::from_secs(5),
            retry_cap: Duration::from_secs(600),
            outage_base: Duration::from_millis(200),
            outage_cap: Duration::from_secs(5),
        }
    }
}

/// `50s`, `500ms`, `1m 30s`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a duration such as 50s, 500ms or 2m"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        config: Config,
    }

    fn read(flags: &[&str]) -> Result<Config, clap::Error> {
        Line::try_parse_from(std::iter::once(&"wtt-worker").chain(flags)).map(|line| line.config)
    }

    #[test]
    fn durations_take_a_unit_and_a_bare_number_is_seconds() {
        let config = read(&["--drain-timeout", "90", "--crash-backoff", "500ms"]).unwrap();
        assert_eq!(
            (config.drain_timeout, config.crash_backoff),
            (Duration::from_secs(90), Duration::from_millis(500))
        );
        assert_eq!(
            read(&["--drain-timeout", "0"]).unwrap().drain_timeout,
            Duration::ZERO
        );
        let error = read(&["--drain-timeout", "soon"])
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("--drain-timeout") && error.contains("50s"),
            "{error}"
        );
    }
}

//! What `wtt up` can be told, and what each of its parts is told in turn. Secrets reach the children by environment: a
//! command line is world-readable.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Parser};
use transcription::DeviceChoice;
use transcription::registry::Store;

use super::threads;
use super::workers::Plan;
use super::{API_MARGIN, API_STOP};

/// Settings of `wtt up`. The API's and the workers' further settings (`wtt-api --help`, `wtt-worker --help`) are taken from
/// their environment variables.
#[derive(Args, Clone, Debug)]
pub(crate) struct UpArgs {
    /// Where the API listens. Any address but a loopback one needs an API key
    #[arg(
        long,
        env = "WTT_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8000"
    )]
    pub(crate) listen: SocketAddr,

    /// Where Prometheus metrics are served; not at all by default
    #[arg(long, env = "WTT_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub(crate) admin_listen: Option<SocketAddr>,

    /// Folder of the database, the recordings, the results and the queue [default: ~/.local/share/whatsthetab]
    #[arg(long, env = "WTT_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Worker processes. More of them transcribe more recordings at once, each of them slower
    #[arg(long, env = "WTT_WORKERS", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=256))]
    pub(crate) workers: u32,

    /// CPU threads that all workers share; all cores by default
    #[arg(long, env = "WTT_THREADS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) threads: Option<u32>,

    /// Redis for the queue; a private redis-server is started when none is given
    #[arg(
        long,
        env = "WTT_REDIS_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) redis_url: Option<String>,

    /// Database: sqlite://PATH or postgres://...; a SQLite file in the data folder by default
    #[arg(
        long,
        env = "WTT_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) database_url: Option<String>,

    /// Where networks run: cpu, cuda or cuda:N
    #[arg(long, env = "WTT_DEVICE", value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: DeviceChoice,

    /// Folder of the installed models [default: where `wtt models pull` puts them]
    #[arg(long, env = "WTT_MODELS_DIR", value_name = "DIR")]
    pub(crate) models_dir: Option<PathBuf>,

    /// Key that clients must send; the environment variable keeps it off the command line
    #[arg(long, env = "WTT_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,

    /// File of keys that clients must send one of
    #[arg(long, env = "WTT_API_KEY_FILE", value_name = "FILE")]
    pub(crate) api_key_file: Option<PathBuf>,

    /// Write the workers' logs to files in this folder instead of standard error
    #[arg(long, env = "WTT_LOG_DIR", value_name = "DIR")]
    pub(crate) log_dir: Option<PathBuf>,
}

/// The API's settings as its own binary would read them from the environment.
#[derive(Parser)]
struct ApiFromEnvironment {
    #[command(flatten)]
    config: api::Config,
}

impl UpArgs {
    pub(super) fn models_dir(&self) -> PathBuf {
        self.models_dir.clone().unwrap_or_else(Store::default_dir)
    }

    pub(super) fn api(&self, data_dir: &Path, redis_url: &str) -> anyhow::Result<api::Config> {
        let ApiFromEnvironment { mut config } = ApiFromEnvironment::try_parse_from(["wtt-api"])?;
        config.listen = self.listen;
        config.admin_listen = self.admin_listen;
        config.data_dir = data_dir.to_owned();
        config.database_url = self.database_url.clone();
        config.redis_url = redis_url.to_owned();
        config.api_key = self.api_key.clone();
        config.api_key_file = self.api_key_file.clone();
        let grace = (API_STOP - API_MARGIN).as_secs();
        config.timing.shutdown_grace_seconds = config.timing.shutdown_grace_seconds.min(grace);
        // There is no operator here that could do it.
        config.reap = true;
        Ok(config)
    }

    pub(super) fn workers(
        &self,
        data_dir: &Path,
        redis_url: &str,
        api_url: &str,
    ) -> anyhow::Result<Plan> {
        Crew {
            api_url,
            redis_url,
            device: self.device,
            threads: self.threads,
            count: self.workers,
            models_dir: self.models_dir(),
            log_dir: self.log_dir.clone(),
        }
        .plan(data_dir)
    }
}

/// What the supervised workers are told, whoever runs the API and Redis.
pub(super) struct Crew<'a> {
    pub(super) api_url: &'a str,
    pub(super) redis_url: &'a str,
    pub(super) device: DeviceChoice,
    pub(super) threads: Option<u32>,
    pub(super) count: u32,
    pub(super) models_dir: PathBuf,
    pub(super) log_dir: Option<PathBuf>,
}

impl Crew<'_> {
    pub(super) fn plan(self, data_dir: &Path) -> anyhow::Result<Plan> {
        let threads = threads::share(
            self.threads.map(|threads| threads as usize),
            self.count as usize,
        );
        let set = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let environment = vec![
            set("WTT_API_URL", self.api_url),
            set("WTT_REDIS_URL", self.redis_url),
            set("WTT_DEVICE", &self.device.to_string()),
            set("WTT_THREADS", &threads.to_string()),
            (
                OsString::from("WTT_MODELS_DIR"),
                self.models_dir.into_os_string(),
            ),
            // What runs is handed back at once: it resumes at the next start, and nobody waits in front of a Ctrl-C.
            set("WTT_DRAIN_TIMEOUT", "0s"),
            set("WTT_EXIT_WITH_PARENT", "true"),
        ];
        Ok(Plan {
            count: self.count as usize,
            program: std::env::current_exe()
                .context("cannot find this program's own file, to start workers from it")?,
            environment,
            data_dir: data_dir.to_owned(),
            log_dir: self.log_dir,
        })
    }
}

/// The data folder as an absolute path.
pub(super) fn data_dir(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let dir = match given {
        Some(dir) => dir.to_owned(),
        None => default_data_dir(|name| std::env::var_os(name))?,
    };
    std::path::absolute(&dir).with_context(|| format!("cannot make {} absolute", dir.display()))
}

/// As the XDG rules have it; a relative XDG folder is to be ignored.
fn default_data_dir(variable: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<PathBuf> {
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    base.map(|base| base.join("whatsthetab"))
        .context("HOME is not set, so there is no default data folder; give one with --data-dir")
}

/// Where a client on this machine reaches what listens at `address`.
pub(super) fn url_of(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_follows_xdg_then_home() {
        let dir = |xdg: Option<&str>, home: Option<&str>| {
            default_data_dir(|name| {
                if name == "HOME" {
                    home.map(Into::into)
                } else {
                    xdg.map(Into::into)
                }
            })
        };
        assert_eq!(
            dir(Some("/x"), Some("/h")).unwrap(),
            Path::new("/x/whatsthetab")
        );
        assert_eq!(
            dir(Some("relative"), Some("/h")).unwrap(),
            Path::new("/h/.local/share/whatsthetab")
        );
        assert!(
            dir(None, None)
                .unwrap_err()
                .to_string()
                .contains("--data-dir")
        );
    }

    #[test]
    fn the_api_ends_its_requests_before_it_is_ended_itself() {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            up: UpArgs,
        }
        let Line { up } = Line::try_parse_from(["up"]).unwrap();
        let api = up.api(Path::new("/x"), "unix:///x").unwrap();
        assert!(api.timing.shutdown_grace_seconds < API_STOP.as_secs());
    }

    #[test]
    fn the_address_to_call_is_never_the_unspecified_one() {
        for (listen, url) in [
            ("127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("192.0.2.7:9", "http://192.0.2.7:9"),
        ] {
            assert_eq!(url_of(listen.parse().unwrap()), url);
        }
    }
}

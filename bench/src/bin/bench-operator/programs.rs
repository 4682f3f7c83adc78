//! The real `wtt-operator` and `wtt-api` as processes of their own. They end with this one, however it ends.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

const START_PATIENCE: Duration = Duration::from_secs(60);

/// A child with a log file.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
    name: String,
}

impl Program {
    fn start(
        name: &str,
        log: PathBuf,
        program: &Path,
        make: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        // setpriv asks the kernel to end it with us and then becomes it, so the process is the program's own.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        make(&mut command);
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .context("cannot run setpriv, which is part of util-linux")?;
        Ok(Self {
            child,
            log,
            name: name.to_owned(),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, and does not wait for that.
    pub(crate) fn terminate(&self) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a child has a pid")?, Signal::TERM)?;
        Ok(())
    }

    /// Waits until it has ended by itself; true when it ended well.
    pub(crate) async fn ended(&mut self, limit: Duration) -> Result<bool> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            if Instant::now() > end {
                bail!("{} did not end within {} s", self.name, limit.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn answers(&mut self, http: &reqwest::Client, url: &str) -> Result<()> {
        let end = Instant::now() + START_PATIENCE;
        loop {
            if let Ok(answer) = http.get(url).send().await
                && answer.status().is_success()
            {
                return Ok(());
            }
            if self.child.try_wait()?.is_some() || Instant::now() > end {
                bail!(
                    "{} did not start; its log ends:\n{}",
                    self.name,
                    self.tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where everything of a run lies and how its parts reach each other.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// With `target/release` or another folder of binaries.
    pub(crate) programs: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) redis_url: String,
    pub(crate) http: reqwest::Client,
}

pub(crate) const LEASE_NAMESPACE: &str = "whatsthetab";
pub(crate) const OPERATOR_KEY: &str = "bench-operator-key-0123456789";

#[derive(Debug)]
pub(crate) struct Api {
    #[expect(dead_code, reason = "it runs as long as it is held")]
    program: Program,
    pub(crate) url: String,
}

impl Api {
    /// With SQLite and a folder on disk.
    pub(crate) async fn start(ground: &Ground) -> Result<Self> {
        let address = free_address()?;
        let log = ground.folder.join("api.log");
        let mut program =
            Program::start("wtt-api", log, &ground.programs.join("wtt-api"), |api| {
                api.args(["--listen", &address.to_string()])
                    .args(["--redis-url", &ground.redis_url])
                    .arg("--data-dir")
                    .arg(ground.folder.join("data"))
                    // More may wait than a service allows by itself.
                    .args(["--max-queue-depth", "0"])
                    .env("WTT_OPERATOR_KEY", OPERATOR_KEY)
                    .env("RUST_LOG", "warn");
            })?;
        let url = format!("http://{address}");
        program
            .answers(&ground.http, &format!("{url}/readyz"))
            .await?;
        Ok(Self { program, url })
    }
}

#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) program: Program,
    pub(crate) identity: String,
    pub(crate) metrics: SocketAddr,
}

impl Operator {
    /// Returns when its watches stand; whether it leads, the Lease says.
    pub(crate) async fn start(
        ground: &Ground,
        api_url: &str,
        kubeconfig: &Path,
        identity: &str,
    ) -> Result<Self> {
        let metrics = free_address()?;
        let log = ground.folder.join(format!("operator-{identity}.log"));
        let mut program = Program::start(
            "wtt-operator",
            log,
            &ground.programs.join("wtt-operator"),
            |operator| {
                operator
                    .arg("run")
                    .args(["--release", "bench", "--identity", identity])
                    .args(["--api-url", api_url, "--redis-url", &ground.redis_url])
                    .args(["--metrics-address", &metrics.to_string()])
                    .args(["--lease-namespace", LEASE_NAMESPACE])
                    // A second of audio is a second of work: the played workers take as long.
                    .args(["--default-factor", "1"])
                    .env("WTT_API_KEY", OPERATOR_KEY)
                    .env("KUBECONFIG", kubeconfig);
            },
        )?;
        program
            .answers(&ground.http, &format!("http://{metrics}/readyz"))
            .await?;
        Ok(Self {
            program,
            identity: identity.to_owned(),
            metrics,
        })
    }
}

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

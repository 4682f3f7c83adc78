//! The processes under test: each a child of this one, with a log of its own, killed by the kernel when this one ends. It starts
//! and ends them; when and why is not its business.

pub(crate) mod api;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod workers;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// For a process to begin to serve; the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where the binaries are, and where everything may be written.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) binaries: PathBuf,
    pub(crate) folder: PathBuf,
}

impl Place {
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// The same for workers: all of them share one core, so that a task takes long enough to be hit in the middle, on a machine of
    /// any size.
    pub(crate) fn command_on_one_core(
        &self,
        program: &Path,
        log: &str,
        niceness: u32,
    ) -> anyhow::Result<Command> {
        let mut command = self.command("taskset".as_ref(), log, niceness)?;
        command.args(["-c", &first_core()]).arg(program);
        Ok(command)
    }

    /// A command that dies with this process, logs to `log`, and has no setting of whoever runs us.
    pub(crate) fn command(
        &self,
        program: &Path,
        log: &str,
        niceness: u32,
    ) -> anyhow::Result<Command> {
        // The death signal belongs to the thread that starts the child: all of this program runs on the main one.
        let mut command = Command::new("nice");
        command
            .args([
                "-n",
                &niceness.to_string(),
                "setpriv",
                "--pdeathsig",
                "KILL",
                "--",
            ])
            .arg(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WTT_") {
                command.env_remove(name);
            }
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join(format!("{log}.log")))?;
        command
            .env_remove("REDIS_URL")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        Ok(command)
    }
}

/// The first core that this process may use; a container may not have number 0.
fn first_core() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap_or("0");
    let number = |sign: char| !sign.is_ascii_digit();
    allowed
        .trim()
        .split(number)
        .next()
        .unwrap_or("0")
        .to_owned()
}

pub(crate) fn start(mut command: Command) -> anyhow::Result<Child> {
    command.spawn().context(
        "cannot start a process through nice, setpriv and taskset (packages coreutils and util-linux)",
    )
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    // It can only fail because the process has ended.
    let _ = kill_process(Pid::from_child(child), signal);
}

/// Waits for the end of a process; kills it when it takes too long.
pub(crate) async fn ended(child: &mut Child, patience: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    while child.try_wait()?.is_none() {
        if Instant::now() >= end {
            child.kill()?;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

/// Asks until the answer is yes.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        anyhow::ensure!(
            Instant::now() < end,
            "not within {} s: {what}",
            PATIENCE.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

//! A Postgres cluster of our own, to be stopped and started under the API. As root it runs as the user `postgres`, since it
//! refuses to run as root. It syncs as it would in earnest: that is what a restart rests on.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use rustix::process::Signal;

use super::{PATIENCE, Place, ended, free_port, start, until};

#[derive(Debug)]
pub(crate) struct Postgres {
    place: Place,
    /// Outside the place: its owner must be able to enter every folder above.
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Postgres {
    pub(crate) async fn start(place: &Place) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wtt-chaos-postgres-")
            .tempdir()?;
        if rustix::process::getuid().is_root() {
            let owned = Command::new("chown")
                .arg("postgres")
                .arg(folder.path())
                .status()?;
            anyhow::ensure!(
                owned.success(),
                "cannot give the folder to the user postgres"
            );
        }
        let mut init = as_owner(Command::new("setpriv"));
        init.arg("--")
            .arg(binary("initdb"))
            .args([
                "--auth=trust",
                "--username=postgres",
                "--no-locale",
                "-E",
                "UTF8",
                "-D",
            ])
            .arg(folder.path().join("data"))
            .current_dir("/")
            .stdout(Stdio::null());
        let made = init
            .status()
            .context("cannot run initdb; install the package postgresql")?;
        anyhow::ensure!(made.success(), "initdb failed");
        let port = free_port()?;
        let child = launch(place, folder.path(), port)?;
        let postgres = Postgres {
            place: place.clone(),
            folder,
            port,
            child,
        };
        postgres.serves().await?;
        Ok(postgres)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A fast shutdown: every session is ended, what was committed stays.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        super::signal(&self.child, Signal::INT);
        ended(&mut self.child, PATIENCE).await
    }

    pub(crate) async fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = launch(&self.place, self.folder.path(), self.port)?;
        self.serves().await
    }

    async fn serves(&self) -> anyhow::Result<()> {
        let port = self.port.to_string();
        until("Postgres serves", async || {
            let asked = Command::new(binary("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &port])
                .status();
            asked.is_ok_and(|status| status.success())
        })
        .await
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        super::signal(&self.child, Signal::INT);
        let _ = self.child.wait();
    }
}

fn launch(place: &Place, folder: &Path, port: u16) -> anyhow::Result<Child> {
    let mut command = as_owner(place.command("setpriv".as_ref(), "postgres", 0)?);
    command
        // To change the user forgets the death signal, so it is set again. INT: a fast shutdown.
        .args(["--pdeathsig", "INT", "--"])
        .arg(binary("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .args([
            "-p",
            &port.to_string(),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
        ])
        .arg(format!("unix_socket_directories={}", folder.display()))
        .current_dir("/");
    start(command)
}

fn as_owner(mut setpriv: Command) -> Command {
    if rustix::process::getuid().is_root() {
        setpriv.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    setpriv
}

/// The distribution keeps the server's programs outside the path, by version.
fn binary(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}

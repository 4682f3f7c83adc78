//! The Redis under test: append-only file, written out every second, on a port of this machine.

use std::process::Child;

use rustix::process::Signal;

use super::{PATIENCE, Place, ended, free_port, start, until};
use crate::resp;

#[derive(Debug)]
pub(crate) struct Redis {
    place: Place,
    pub(crate) port: u16,
    child: Child,
}

impl Redis {
    pub(crate) async fn start(place: &Place) -> anyhow::Result<Self> {
        let port = free_port()?;
        let redis = Redis {
            place: place.clone(),
            port,
            child: launch(place, port)?,
        };
        redis.serves().await?;
        Ok(redis)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it by SIGKILL (or SIGTERM, which lets it write out).
    pub(crate) async fn stop(&mut self, signal: Signal) -> anyhow::Result<()> {
        super::signal(&self.child, signal);
        ended(&mut self.child, PATIENCE).await
    }

    /// Starts it again on what it left on disk.
    pub(crate) async fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = launch(&self.place, self.port)?;
        self.serves().await
    }

    async fn serves(&self) -> anyhow::Result<()> {
        let port = self.port;
        until("Redis serves", async || {
            resp::once(port, &["PING"]).await.is_ok()
        })
        .await
    }
}

fn launch(place: &Place, port: u16) -> anyhow::Result<Child> {
    let folder = place.folder.join("redis");
    fs_err::create_dir_all(&folder)?;
    let mut command = place.command("redis-server".as_ref(), "redis", 0)?;
    command
        .args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
        ])
        .args(["--appendonly", "yes", "--appendfsync", "everysec"])
        .args(["--maxmemory-policy", "noeviction", "--dir"])
        .arg(&folder);
    start(command)
}

//! The API under test: `wtt-api` on a port that stays the same over its restarts.

use std::process::Child;
use std::time::Duration;

use rustix::process::Signal;

use super::{PATIENCE, Place, ended, free_port, start, until};

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) redis_url: String,
    /// None: SQLite in the API's own folder.
    pub(crate) database_url: Option<String>,
    pub(crate) max_crashes: u32,
}

#[derive(Debug)]
pub(crate) struct Api {
    place: Place,
    settings: Settings,
    port: u16,
    child: Child,
}

impl Api {
    pub(crate) async fn start(place: &Place, settings: Settings) -> anyhow::Result<Self> {
        let port = free_port()?;
        let child = launch(place, &settings, port)?;
        let api = Api {
            place: place.clone(),
            settings,
            port,
            child,
        };
        api.serves().await?;
        Ok(api)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn stop(&mut self, signal: Signal) -> anyhow::Result<()> {
        super::signal(&self.child, signal);
        ended(&mut self.child, PATIENCE).await
    }

    pub(crate) async fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = launch(&self.place, &self.settings, self.port)?;
        self.serves().await
    }

    /// True once, when it has ended by itself.
    pub(crate) fn died(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    async fn serves(&self) -> anyhow::Result<()> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build()?;
        let url = format!("{}/startupz", self.url());
        until("the API serves", async || {
            client
                .get(&url)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await
    }
}

fn launch(place: &Place, settings: &Settings, port: u16) -> anyhow::Result<Child> {
    let mut command = place.command(&place.binary("wtt-api"), "api", 0)?;
    command
        .args(["--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(place.folder.join("api"))
        .args(["--max-crashes", &settings.max_crashes.to_string()])
        .env("WTT_REDIS_URL", &settings.redis_url);
    if let Some(url) = &settings.database_url {
        command.env("WTT_DATABASE_URL", url);
    }
    start(command)
}

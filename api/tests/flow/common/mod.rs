//! What the tests of the service stand on: a private Redis, a database of either kind, the service on a free port, and a
//! worker without a network. Everything ends with the test.

pub(crate) mod database;
pub(crate) mod worker;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use api::state::AppState;
use clap::Parser;
use queue::testing::RedisServer;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use database::{Database, Kind};
pub(crate) use worker::FakeWorker;

/// Whatever a test waits for must come within this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: api::Config,
}

/// A running service.
pub(crate) struct TestApp {
    pub(crate) base: String,
    pub(crate) admin: String,
    pub(crate) http: reqwest::Client,
    pub(crate) state: AppState,
    shutdown: CancellationToken,
    serving: JoinHandle<anyhow::Result<()>>,
}

/// What a service stands on and outlives it.
pub(crate) struct Ground {
    pub(crate) redis: RedisServer,
    pub(crate) database: Database,
    pub(crate) folder: tempfile::TempDir,
}

impl Ground {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            redis: RedisServer::start_with_aof(),
            database: Database::start(kind),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A service on this ground; `more` are further flags.
    pub(crate) async fn serve(&self, more: &[&str]) -> TestApp {
        TestApp::start(self.bind(more).await)
    }

    /// A service that holds everything and does nothing yet.
    pub(crate) async fn bind(&self, more: &[&str]) -> api::Bound {
        let data = self.folder.path().join("data");
        let mut arguments: Vec<String> = [
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--data-dir",
            data.to_str().unwrap(),
            "--redis-url",
            &self.redis.url(),
            "--database-url",
            &self.database.url(self.folder.path()),
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let flags = std::iter::once("wtt-api".to_owned()).chain(arguments);
        api::bind(Cli::parse_from(flags).config).await.unwrap()
    }

    /// Everything in Redis is gone.
    pub(crate) fn wipe_redis(&self) {
        let socket = self.redis.socket();
        let wiped = Command::new("redis-cli")
            .arg("-s")
            .arg(socket)
            .arg("FLUSHALL")
            .stdout(Stdio::null())
            .status();
        assert!(wiped.unwrap().success());
    }
}

impl TestApp {
    pub(crate) fn start(bound: api::Bound) -> Self {
        let base = format!("http://{}", bound.local_addr().unwrap());
        let admin = format!("http://{}", bound.admin_addr().unwrap());
        let state = bound.state().clone();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(bound.serve(shutdown.clone()));
        Self {
            base,
            admin,
            http: reqwest::Client::new(),
            state,
            shutdown,
            serving,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Ends the service as SIGTERM does.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.serving)
            .await
            .expect("the service ends")
            .unwrap()
            .unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.http.get(self.url(path)).send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    /// `POST /api/v1/transcriptions`; the id.
    pub(crate) async fn create(&self, recording: &[u8]) -> String {
        let form = reqwest::multipart::Form::new().part("audio", file(recording, "take.wav"));
        let response = self
            .http
            .post(self.url("/api/v1/transcriptions"))
            .multipart(form)
            .send()
            .await
            .unwrap();
        let status = response.status();
        let job: Value = response.json().await.unwrap();
        assert_eq!(status, 202, "{job}");
        job["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn job(&self, id: &str) -> Value {
        let (status, job) = self.get(&format!("/api/v1/transcriptions/{id}")).await;
        assert_eq!(status, 200, "{job}");
        job
    }

    /// Waits until the job shows this state.
    pub(crate) async fn reach(&self, id: &str, state: &str) -> Value {
        wait_for(&format!("{id} to be {state}"), async || {
            let job = self.job(id).await;
            (job["state"] == state).then_some(job)
        })
        .await
    }

    /// How many objects the store holds.
    pub(crate) async fn objects(&self) -> usize {
        self.state.objects.count().await.unwrap()
    }
}

pub(crate) fn file(bytes: &[u8], name: &str) -> reqwest::multipart::Part {
    reqwest::multipart::Part::bytes(bytes.to_vec()).file_name(name.to_owned())
}

/// Asks until there is an answer.
pub(crate) async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Seconds of a sine, 16 bit mono, as a WAV file; `pitch_hz` makes recordings differ.
pub(crate) fn wav(seconds: f64, pitch_hz: f64) -> Vec<u8> {
    const RATE: u32 = 8000;
    let count = (seconds * f64::from(RATE)) as u32;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + count * 2).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16_u32.to_le_bytes());
    bytes.extend_from_slice(&1_u16.to_le_bytes());
    bytes.extend_from_slice(&1_u16.to_le_bytes());
    bytes.extend_from_slice(&RATE.to_le_bytes());
    bytes.extend_from_slice(&(RATE * 2).to_le_bytes());
    bytes.extend_from_slice(&2_u16.to_le_bytes());
    bytes.extend_from_slice(&16_u16.to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&(count * 2).to_le_bytes());
    for n in 0..count {
        let phase = f64::from(n) / f64::from(RATE) * pitch_hz * std::f64::consts::TAU;
        bytes.extend_from_slice(&((phase.sin() * 20_000.0) as i16).to_le_bytes());
    }
    bytes
}

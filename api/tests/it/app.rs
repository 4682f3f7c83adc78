//! The service under test and what a client does with it.

use std::time::Duration;

use api::Config;
use clap::Parser;
use queue::testing::RedisServer;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{audio_files, postgres};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// Runs each named function of the module on both databases.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name($crate::app::Database::Sqlite).await })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name($crate::app::Database::Postgres).await })*
        }
    };
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: Config,
}

pub(crate) struct TestApp {
    pub(crate) base: String,
    pub(crate) client: Client,
    pub(crate) state: api::state::AppState,
    pub(crate) redis: RedisServer,
    pub(crate) key: Option<String>,
    /// Every path that the router has.
    pub(crate) paths: Vec<String>,
    folder: tempfile::TempDir,
    shutdown: CancellationToken,
    served: Option<JoinHandle<anyhow::Result<()>>>,
}

impl TestApp {
    pub(crate) async fn start(database: Database) -> Self {
        Self::start_with(database, &[]).await
    }

    /// With further flags of the service.
    pub(crate) async fn start_with(database: Database, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = tokio::task::spawn_blocking(RedisServer::start_with_aof)
            .await
            .unwrap();
        let mut arguments = vec!["wtt-api".to_owned(), "--listen=127.0.0.1:0".to_owned()];
        arguments.push(format!("--data-dir={}", folder.path().display()));
        arguments.push(format!("--redis-url={}", redis.url()));
        arguments.push("--outbox-poll-ms=200".to_owned());
        arguments.push("--shutdown-grace-seconds=5".to_owned());
        if database == Database::Postgres {
            arguments.push(format!(
                "--database-url={}",
                postgres::fresh_database().await
            ));
        }
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let config = Cli::parse_from(arguments).config;
        let key = config.api_key.clone();
        let bound = api::bind(config).await.unwrap();
        let base = format!("http://{}", bound.local_addr().unwrap());
        let state = bound.state().clone();
        let paths = bound.paths();
        let shutdown = CancellationToken::new();
        let served = Some(tokio::spawn(bound.serve(shutdown.clone())));
        let client = Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self {
            base,
            client,
            state,
            redis,
            key,
            paths,
            folder,
            shutdown,
            served,
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str) -> Response {
        self.request(Method::POST, path).send().await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path).send().await.unwrap()
    }

    pub(crate) fn upload(&self, form: Form) -> RequestBuilder {
        self.request(Method::POST, "/api/v1/transcriptions")
            .multipart(form)
    }

    /// Uploads a second of sound; returns the id.
    pub(crate) async fn submit(&self) -> String {
        let response = self
            .upload(audio_form(audio_files::tone(1.0), "take 3.wav"))
            .send()
            .await
            .unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn show(&self, id: &str) -> Value {
        let response = self.get(&job_path(id)).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }

    /// Polls until the job is in this state.
    pub(crate) async fn wait_for(&self, id: &str, state: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let job = self.show(id).await;
            if job["state"] == state {
                return job;
            }
            assert!(Instant::now() < deadline, "waited for {state}: {job}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Nothing is stored: neither whole objects nor pieces of uploads.
    pub(crate) async fn wait_for_no_objects(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = files_below(&self.folder.path().join("objects"));
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind: {left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn stored_files(&self) -> usize {
        files_below(&self.folder.path().join("objects")).len()
    }

    /// Every file of the store with its size.
    pub(crate) fn stored(&self) -> std::collections::BTreeMap<String, u64> {
        let folder = self.folder.path().join("objects");
        let files = files_below(&folder).into_iter();
        files
            .map(|file| {
                let bytes = std::fs::metadata(&file).map_or(0, |about| about.len());
                let name = file.strip_prefix(&folder).unwrap_or(&file);
                (name.display().to_string(), bytes)
            })
            .collect()
    }

    pub(crate) async fn rows(&self) -> usize {
        self.state
            .db
            .list(None, None, 1000)
            .await
            .unwrap()
            .rows
            .len()
    }

    /// Ends the service as SIGTERM does; true if it ended by itself in time.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        match self.served.take() {
            Some(served) => tokio::time::timeout(PATIENCE, served).await??,
            None => Ok(()),
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            files.extend(files_below(&path))
        } else {
            files.push(path)
        }
    }
    files
}

pub(crate) fn job_path(id: &str) -> String {
    format!("/api/v1/transcriptions/{id}")
}

pub(crate) fn audio_form(bytes: Vec<u8>, filename: &str) -> Form {
    Form::new().part("audio", Part::bytes(bytes).file_name(filename.to_owned()))
}

/// Asserts that the answer is this problem, in the shape that every problem has; returns it.
pub(crate) async fn problem(response: Response, status: u16, code: &str) -> Value {
    let headers = response.headers().clone();
    let got = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    assert_eq!(
        headers["content-type"], "application/problem+json",
        "{text}"
    );
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["status"], status);
    assert_eq!(
        body["request_id"],
        headers["x-request-id"].to_str().unwrap(),
        "{body}"
    );
    for name in ["type", "title", "detail", "instance"] {
        assert!(
            body[name].as_str().is_some_and(|text| !text.is_empty()),
            "{name}: {body}"
        );
    }
    if matches!(status, 503 | 429) {
        assert!(headers.contains_key("retry-after"), "{body}");
    }
    body
}

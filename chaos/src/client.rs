//! A patient user: uploads with an Idempotency-Key and repeats until there is an answer, asks for states, fetches results. It knows
//! the API's public routes and nothing behind them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::multipart::{Form, Part};
use serde_json::Value;

use crate::ledger::Ending;
use crate::melody::{Recording, heard};

/// A user gives up after that; the longest fault lasts half a minute.
const UPLOAD: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

/// A task, and after how many tries it was accepted.
#[derive(Debug)]
pub(crate) struct Uploaded {
    pub(crate) id: String,
    pub(crate) tries: u64,
}

impl Client {
    pub(crate) fn new(base: String) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()?;
        Ok(Client { http, base })
    }

    /// Repeats with the same key, so that an answer that was lost makes no second transcription.
    pub(crate) async fn upload(&self, recording: &Recording) -> anyhow::Result<Uploaded> {
        let key = format!("chaos-{:032x}", rand::random::<u128>());
        let end = Instant::now() + UPLOAD;
        let mut tries = 0;
        loop {
            tries += 1;
            let refused = match self.try_upload(recording, &key).await {
                Ok(id) => return Ok(Uploaded { id, tries }),
                Err(error) => error,
            };
            if Instant::now() >= end {
                return Err(refused.context(format!("not accepted in {tries} tries of {UPLOAD:?}")));
            }
            tokio::time::sleep(PAUSE.mul_f64(0.5 + rand::random::<f64>())).await;
        }
    }

    async fn try_upload(&self, recording: &Recording, key: &str) -> anyhow::Result<String> {
        let audio = Part::bytes(recording.wav.clone()).file_name(recording.name.clone());
        let answer = self
            .http
            .post(format!("{}/api/v1/transcriptions", self.base))
            .header("Idempotency-Key", key)
            .multipart(Form::new().part("audio", audio))
            .send()
            .await?;
        let (status, body) = (answer.status(), answer.text().await?);
        anyhow::ensure!(status.is_success(), "{status}: {body}");
        let body: Value = serde_json::from_str(&body)?;
        Ok(body["id"]
            .as_str()
            .context("an answer without an id")?
            .to_owned())
    }

    /// State and error code, in users' words.
    pub(crate) async fn state(&self, id: &str) -> anyhow::Result<(String, String)> {
        let url = format!("{}/api/v1/transcriptions/{id}", self.base);
        let text = self
            .http
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .text()
            .await?;
        let job: Value = serde_json::from_str(&text)?;
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok((word(&job["state"]), word(&job["error"]["code"])))
    }

    /// Whether both files of a transcription are what they should be, to the last byte and note.
    pub(crate) async fn is_right(&self, id: &str, expected: &Recording) -> anyhow::Result<bool> {
        let midi = self.file(id, "midi").await?;
        let notes: Value = serde_json::from_slice(&self.file(id, "notes.json").await?)?;
        Ok(midi == expected.midi && heard(&notes) == expected.notes)
    }

    async fn file(&self, id: &str, name: &str) -> anyhow::Result<Vec<u8>> {
        let url = format!("{}/api/v1/transcriptions/{id}/files/{name}", self.base);
        let answer = self.http.get(url).send().await?.error_for_status()?;
        Ok(answer.bytes().await?.to_vec())
    }

    /// How a task ended, as its user sees it and as the store has it.
    pub(crate) async fn ending(&self, id: &str, expected: &Recording, api_folder: &Path) -> Ending {
        let (state, code) = self.state(id).await.unwrap_or_default();
        let folder = api_folder.join("objects/results").join(id);
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let results =
            names.filter(|entry| entry.path().extension().is_some_and(|end| end == "mid"));
        Ending {
            is_right: self.is_right(id, expected).await.unwrap_or(false),
            results: results.count(),
            state,
            code,
            attempts: 0,
        }
    }
}

pub(crate) fn is_final(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "cancelled" | "expired")
}

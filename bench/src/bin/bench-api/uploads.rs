//! Many large uploads at once: all accepted, each with the right checksum, and the service's memory stays where it was.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, StatusCode};
use serde_json::Value;

use crate::recording::Recording;
use crate::service::{Memory, Service, Watch};

pub(crate) struct Uploaded {
    pub(crate) memory: Memory,
    pub(crate) seconds: f64,
    pub(crate) wrong: Vec<String>,
}

/// One recording; the id of its transcription.
pub(crate) async fn upload(
    client: &Client,
    service: &Service,
    bytes: usize,
    seed: u64,
) -> Result<String> {
    let pieces = Recording::new(bytes, seed).map(Ok::<_, std::io::Error>);
    let part = Part::stream_with_length(Body::wrap_stream(stream::iter(pieces)), bytes as u64)
        .file_name(format!("recording-{seed}.wav"))
        .mime_str("audio/wav")?;
    let answer = client
        .post(service.url("/api/v1/transcriptions"))
        .multipart(Form::new().part("audio", part))
        .send()
        .await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status == StatusCode::ACCEPTED, "{status}: {text}");
    let body: Value = serde_json::from_str(&text)?;
    Ok(body["id"]
        .as_str()
        .context("an answer has an id")?
        .to_owned())
}

pub(crate) async fn run(service: &Service, count: usize, bytes: usize) -> Result<Uploaded> {
    let client = Client::builder().pool_max_idle_per_host(0).build()?;
    // What the first request of its kind leaves behind is no growth.
    upload(&client, service, 1_000_000, u64::MAX).await?;
    let watch = Watch::begin(service.pid())?;
    let start = Instant::now();
    let all = (0..count as u64).map(|seed| upload(&client, service, bytes, seed));
    let ids = futures::future::join_all(all).await;
    let seconds = start.elapsed().as_secs_f64();
    let memory = watch.end(service.pid())?;
    let mut wrong = Vec::new();
    for (seed, id) in (0..).zip(ids) {
        match id {
            Ok(id) => {
                let job: Value = client
                    .get(service.url(&format!("/api/v1/transcriptions/{id}")))
                    .send()
                    .await?
                    .json()
                    .await?;
                let (said, bytes_said) = (&job["source"]["sha256"], &job["source"]["bytes"]);
                if *said != Recording::sha256(bytes, seed) || *bytes_said != bytes {
                    wrong.push(format!(
                        "recording {seed}: stored as {bytes_said} bytes, {said}"
                    ));
                }
            }
            Err(error) => wrong.push(format!("recording {seed}: {error:#}")),
        }
    }
    Ok(Uploaded {
        memory,
        seconds,
        wrong,
    })
}

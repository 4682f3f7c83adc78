//! Sending a recording: streamed from the file, repeated under the same `Idempotency-Key` when the answer got lost, so
//! that a repeat never makes a second transcription.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use futures::TryStreamExt;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use serde_json::{Map, Value, json};
use tokio_util::io::ReaderStream;

use super::Client;
use crate::failure::Failure;

/// Pauses between the tries; there is one try more than there are pauses.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
const BLOCK_BYTES: usize = 64 * 1024;

pub(crate) struct Upload {
    pub(crate) path: PathBuf,
    /// `None`: the server's default.
    pub(crate) model: Option<String>,
    pub(crate) options: Map<String, Value>,
    /// One per submission, not per try.
    pub(crate) idempotency_key: String,
}

/// One try that did not end with a transcription.
enum Try {
    /// Nothing was sent: there is no server.
    NotConnected(Failure),
    /// Nobody knows whether the server took it.
    Lost(anyhow::Error),
    /// The server said no, or the file cannot be sent.
    Refused(anyhow::Error),
}

impl Client {
    /// Uploads and queues; `sent` hears the bytes of this try that have left so far.
    pub(crate) async fn submit(
        &self,
        upload: &Upload,
        sent: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<Value> {
        let mut pauses = PAUSES.iter();
        let mut was_lost = false;
        loop {
            let error = match self.try_once(upload, sent.clone()).await {
                Ok(job) => return Ok(job),
                Err(Try::Refused(error)) => return Err(error),
                // A server that was never there will not come in the next seconds; one that went away may.
                Err(Try::NotConnected(failure)) if !was_lost => return Err(failure.into()),
                Err(Try::NotConnected(failure)) => failure.into(),
                Err(Try::Lost(error)) => error,
            };
            let Some(pause) = pauses.next() else {
                return Err(error);
            };
            was_lost = true;
            tracing::warn!("{error:#}; sending it again under the same key");
            tokio::time::sleep(*pause).await;
        }
    }

    async fn try_once(
        &self,
        upload: &Upload,
        sent: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Value, Try> {
        let form = form(upload, sent).await.map_err(Try::Refused)?;
        let request = self
            .request(Method::POST, self.route(&[]).map_err(Try::Refused)?)
            .header("idempotency-key", &upload.idempotency_key)
            .multipart(form);
        let answer = request
            .send()
            .await
            .map_err(|error| match error.is_connect() {
                true => Try::NotConnected(self.unreachable(&error)),
                false => Try::Lost(self.unreachable(&error).into()),
            })?;
        if answer.status().is_success() {
            return super::json(answer).await.map_err(Try::Lost);
        }
        match self.refusal(answer).await {
            failure if may_have_been_taken(&failure) => Err(Try::Lost(failure.into())),
            failure => Err(Try::Refused(failure.into())),
        }
    }
}

/// A proxy lost the service behind it, or an earlier try of ours is still being worked on.
fn may_have_been_taken(failure: &Failure) -> bool {
    match failure {
        Failure::NotOurs { status, .. } => matches!(status, 502..=504),
        Failure::Problem(problem) => {
            matches!(
                problem.code.as_deref(),
                Some("idempotency_in_progress" | "shutting_down")
            )
        }
        _ => false,
    }
}

async fn form(upload: &Upload, sent: impl Fn(u64) + Send + Sync + 'static) -> anyhow::Result<Form> {
    let file = tokio::fs::File::open(&upload.path)
        .await
        .context("failed to open the file")?;
    let metadata = file
        .metadata()
        .await
        .context("failed to look at the file")?;
    anyhow::ensure!(metadata.is_file(), "this is not a file");
    let mut bytes = 0;
    let stream = ReaderStream::with_capacity(file, BLOCK_BYTES).inspect_ok(move |block| {
        bytes += block.len() as u64;
        sent(bytes);
    });
    let name = upload
        .path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let audio = Part::stream_with_length(Body::wrap_stream(stream), metadata.len())
        .file_name(name)
        .mime_str("application/octet-stream")?;
    let mut choice = json!({"options": upload.options});
    if let Some(model) = &upload.model {
        choice["model"] = model.as_str().into();
    }
    let options = Part::text(choice.to_string()).mime_str("application/json")?;
    // The options come first, so that a server can refuse them before it has taken the recording.
    Ok(Form::new().part("options", options).part("audio", audio))
}

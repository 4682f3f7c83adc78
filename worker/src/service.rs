//! The two calls a worker makes to the API: fetch a task's audio, hand in its result. It says what an answer means and
//! never repeats anything: how long to go on trying is the attempt's decision.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use queue::{TaskId, TaskPayload, Token};
use reqwest::multipart::{Form, Part};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;

use crate::conclusion::Outcome;
use crate::config::Timing;
use crate::transcriber::{Failure, Finished};
use crate::workspace::AudioFile;

/// Why a call did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer, or one that says "later": repeat.
    #[error("the API is away: {0}")]
    Away(String),
    /// The bytes are not the announced ones.
    #[error("{0}")]
    Damaged(String),
    /// The token is worth nothing any more.
    #[error("the API says that the attempt is stale ({0})")]
    Stale(String),
    /// The API will not do it, however often it is asked.
    #[error("the API refused with {status} {code}: {detail}")]
    Refused {
        status: StatusCode,
        code: String,
        detail: String,
    },
    /// This machine's disk.
    #[error("cannot write the audio to a temporary file: {0}")]
    Disk(#[from] std::io::Error),
}

impl CallError {
    pub(crate) fn into_outcome(self, what: &str) -> Outcome {
        match self {
            CallError::Stale(reason) => Outcome::Discarded(reason),
            CallError::Disk(_) => Outcome::NoRoom(self.to_string()),
            CallError::Refused {
                ref code, status, ..
            } => {
                let code = if code.is_empty() {
                    format!("http_{}", status.as_u16())
                } else {
                    code.clone()
                };
                // What the API says about our request it will say again, but for what it says about the key or the way there.
                let for_good = status.is_client_error() && status != StatusCode::UNAUTHORIZED;
                Outcome::Failed(Failure {
                    retryable: !for_good,
                    ..Failure::storage(&code, format!("could not {what}: {self}"))
                })
            }
            CallError::Away(_) | CallError::Damaged(_) => Outcome::Failed(Failure::storage(
                "api_unavailable",
                format!("could not {what}: {self}"),
            )),
        }
    }
}

/// Answer of a stored result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Now,
    /// An earlier try got through; only its answer was lost.
    Already,
}

/// The three parts of a result, ready to be sent as often as need be.
pub(crate) struct Result {
    midi: Bytes,
    notes_json: Bytes,
    report: Bytes,
    pub(crate) notes: usize,
}

impl Result {
    pub(crate) fn render(
        model: &str,
        finished: Finished,
        wall: Duration,
    ) -> std::result::Result<Self, music::Error> {
        let Finished {
            transcript,
            audio_seconds,
            busy,
            device_time,
            warnings,
            model_digest,
            device,
        } = finished;
        let midi = transcription::midi(&transcript);
        let report = json!({
            "audio_ms": (audio_seconds * 1000.0).round().max(0.0) as u64,
            "busy_ms": busy.as_millis() as u64,
            "device_ms": device_time.as_millis() as u64,
            "wall_ms": wall.as_millis() as u64,
            "device": device,
            "model": model,
            "model_digest": model_digest,
            "warnings": warnings,
        });
        Ok(Result {
            midi: midi.into(),
            notes_json: transcript.to_json()?.into(),
            report: report.to_string().into(),
            notes: transcript.notes.len(),
        })
    }

    fn form(&self) -> reqwest::Result<Form> {
        let part = |bytes: &Bytes, name: &'static str, media_type| {
            Part::stream_with_length(bytes.clone(), bytes.len() as u64)
                .file_name(name)
                .mime_str(media_type)
        };
        Ok(Form::new()
            .part("midi", part(&self.midi, "notes.mid", "audio/midi")?)
            .part(
                "notes",
                part(&self.notes_json, "notes.json", "application/json")?,
            )
            .part(
                "report",
                part(&self.report, "report.json", "application/json")?,
            ))
    }
}

/// The API's address and the connections to it.
pub(crate) struct Api {
    client: reqwest::Client,
    /// For hand-ins: reqwest's read time-out runs from the request to the answer's head, so it would end a long upload.
    uploads: reqwest::Client,
    hand_in: Duration,
    base: Url,
}

impl Api {
    pub(crate) fn new(base: &str, timing: &Timing) -> anyhow::Result<Self> {
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(5))
                // The API is ours and near: a proxy meant for the internet must not see tokens.
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
        };
        let client = builder().read_timeout(timing.api_silence).build()?;
        // A peer that vanished is noticed by the kernel: by data or probes that nobody acknowledges.
        let uploads = builder()
            .tcp_keepalive(Duration::from_secs(10))
            .tcp_user_timeout(Duration::from_secs(30))
            .build()?;
        let base = Url::parse(base)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                anyhow::anyhow!(
                    "the API's address {base:?} is not an http(s) URL; set --api-url or WTT_API_URL"
                )
            })?;
        Ok(Api {
            client,
            uploads,
            hand_in: timing.hand_in,
            base,
        })
    }

    /// Streams the audio into `file`, and checks its size and hash.
    pub(crate) async fn audio(
        &self,
        id: &TaskId,
        token: &Token,
        expected: &TaskPayload,
        file: &AudioFile,
    ) -> std::result::Result<(), CallError> {
        let response = self
            .client
            .get(self.url(id, "audio"))
            .bearer_auth(token.as_str())
            .send()
            .await
            .map_err(away)?;
        let mut body = accept(response).await?.bytes_stream();
        let mut file = std::io::BufWriter::new(file.reopen()?);
        let (mut hash, mut bytes) = (Sha256::new(), 0u64);
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(away)?;
            bytes += chunk.len() as u64;
            if expected.bytes > 0 && bytes > expected.bytes {
                return Err(CallError::Damaged(format!(
                    "the audio is longer than the announced {} bytes",
                    expected.bytes
                )));
            }
            hash.update(&chunk);
            file.write_all(&chunk)?;
        }
        file.flush()?;
        if expected.bytes > 0 && bytes != expected.bytes {
            return Err(CallError::Damaged(format!(
                "the audio has {bytes} bytes instead of the announced {}",
                expected.bytes
            )));
        }
        let hash = hex::encode(hash.finalize());
        if !expected.sha256.is_empty() && !hash.eq_ignore_ascii_case(&expected.sha256) {
            return Err(CallError::Damaged(format!(
                "the audio's SHA-256 is {hash} instead of the announced {}",
                expected.sha256
            )));
        }
        Ok(())
    }

    /// Bounded by the hand-in's deadline, and by the lease: the attempt drops this call when it goes.
    pub(crate) async fn store(
        &self,
        id: &TaskId,
        token: &Token,
        result: &Result,
    ) -> std::result::Result<Stored, CallError> {
        #[derive(Deserialize)]
        struct Answer {
            outcome: String,
        }
        let form = result.form().map_err(away)?;
        let request = self
            .uploads
            .put(self.url(id, "result"))
            .bearer_auth(token.as_str())
            .multipart(form);
        let response = request.timeout(self.hand_in).send().await.map_err(away)?;
        let answer: Answer = accept(response).await?.json().await.map_err(away)?;
        Ok(if answer.outcome == "already" {
            Stored::Already
        } else {
            Stored::Now
        })
    }

    fn url(&self, id: &TaskId, what: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(["internal", "v1", "tasks", id.as_str(), what]);
        }
        url
    }
}

/// What an answer means, before its body is read as success.
async fn accept(response: Response) -> std::result::Result<Response, CallError> {
    /// RFC 9457, as much of it as decides.
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Problem {
        code: String,
        detail: String,
    }
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    let Problem { code, detail } = serde_json::from_str(&text).unwrap_or_default();
    Err(match status {
        StatusCode::CONFLICT => CallError::Stale(code),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            CallError::Away(format!("{status} {code}"))
        }
        _ if status.is_server_error() => CallError::Away(format!("{status} {code}")),
        _ => CallError::Refused {
            status,
            code,
            detail,
        },
    })
}

fn away(error: reqwest::Error) -> CallError {
    // reqwest's own text stops at "error sending request"; the reason is in its sources.
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    CallError::Away(text)
}

/// The extension of a user's file name, as a hint for the decoder.
pub(crate) fn extension(filename: &str) -> Option<String> {
    let extension = std::path::Path::new(filename).extension()?.to_str()?;
    (extension.len() <= 8 && extension.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .then(|| extension.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_kept_and_the_id_is_one_segment() {
        let api = Api::new("http://api:8000/wtt/", &Timing::default()).unwrap();
        let url = api.url(&TaskId::parse("abc-1").unwrap(), "audio");
        assert_eq!(
            url.as_str(),
            "http://api:8000/wtt/internal/v1/tasks/abc-1/audio"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_flag_to_set() {
        for wrong in ["", "api:8000", "ftp://api", "redis://x"] {
            let error = Api::new(wrong, &Timing::default()).err().unwrap();
            assert!(
                error.to_string().contains("WTT_API_URL"),
                "{wrong}: {error}"
            );
        }
    }

    #[test]
    fn extensions_are_hints_and_never_paths() {
        assert_eq!(extension("Take 3.FLAC").as_deref(), Some("flac"));
        assert_eq!(extension("x.tar/../y"), None);
        assert_eq!(extension("noise"), None);
    }
}

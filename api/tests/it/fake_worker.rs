//! A worker without a network: claims through `queue`, fetches and hands in through the workers' routes, deterministic notes.

use music::{Note, Transcript};
use queue::{Claim, ClaimAnswer, ClaimRequest, Failure, Progress, QueueName, TaskError, WorkerId};
use reqwest::multipart::{Form, Part};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::{PATIENCE, TestApp};

pub(crate) struct FakeWorker<'a> {
    app: &'a TestApp,
    id: WorkerId,
}

/// What every fake transcription hears.
pub(crate) fn transcript() -> Transcript {
    let mut transcript = Transcript::new(json!({"app": "test", "model": "basic-pitch"}));
    for (at, pitch) in [60_u8, 64, 67].into_iter().enumerate() {
        let onset = at as f64 * 0.25;
        transcript.notes.push(Note {
            onset,
            offset: onset + 0.2,
            pitch,
            velocity: 80,
            program: 0,
            is_drum: false,
            bends: None,
        });
    }
    transcript
}

pub(crate) fn midi() -> Vec<u8> {
    let options = music::midi::MidiOptions {
        text: Some("test".to_owned()),
        ..Default::default()
    };
    music::midi::write(&transcript(), &options)
}

impl<'a> FakeWorker<'a> {
    pub(crate) fn new(app: &'a TestApp) -> Self {
        Self::named(app, "fake-1")
    }

    pub(crate) fn named(app: &'a TestApp, name: &str) -> Self {
        Self {
            app,
            id: WorkerId::parse(name).unwrap(),
        }
    }

    pub(crate) fn id(&self) -> &WorkerId {
        &self.id
    }

    pub(crate) async fn claim(&self) -> Claim {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = ClaimRequest {
                worker: self.id.clone(),
                queues: vec![QueueName::default()],
                nonce: ClaimRequest::nonce(),
                held: 0,
                slots: 1,
            };
            // A Redis that is just coming back is no reason to give up.
            match self.app.state.queue.claim(&request).await {
                Ok(ClaimAnswer::Claimed(claim)) => return *claim,
                other => assert!(Instant::now() < deadline, "nothing to claim: {other:?}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn progress(&self, claim: &Claim, current: u64, total: u64) {
        let progress = Progress {
            stage: "inference".to_owned(),
            current,
            total,
        };
        assert!(
            self.app
                .state
                .queue
                .progress(&claim.id, &claim.token, &progress)
                .await
                .unwrap()
        );
    }

    pub(crate) async fn fetch(&self, claim: &Claim) -> Response {
        let url = format!("{}/internal/v1/tasks/{}/audio", self.app.base, claim.id);
        self.app
            .client
            .get(url)
            .bearer_auth(claim.token.as_str())
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn hand_in(&self, claim: &Claim) -> Response {
        let report = json!({
            "audio_ms": 1234, "busy_ms": 50, "wall_ms": 60, "device": "cpu", "model": "basic-pitch",
            "model_digest": "sha256:0", "warnings": ["quiet"],
        });
        let form = Form::new()
            .part("midi", Part::bytes(midi()).mime_str("audio/midi").unwrap())
            .part(
                "notes",
                Part::text(transcript().to_json().unwrap())
                    .mime_str("application/json")
                    .unwrap(),
            )
            .part(
                "report",
                Part::text(report.to_string())
                    .mime_str("application/json")
                    .unwrap(),
            );
        let url = format!("{}/internal/v1/tasks/{}/result", self.app.base, claim.id);
        let request = self.app.client.put(url).bearer_auth(claim.token.as_str());
        request.multipart(form).send().await.unwrap()
    }

    /// Claims one task and finishes it.
    pub(crate) async fn finish_one(&self) -> Claim {
        let claim = self.claim().await;
        assert_eq!(self.fetch(&claim).await.status(), StatusCode::OK);
        let answer = self.hand_in(&claim).await;
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert_eq!(
            (status, &body["outcome"]),
            (StatusCode::OK, &json!("stored")),
            "{body}"
        );
        claim
    }

    /// Claims one task and fails it for good.
    pub(crate) async fn fail_one(&self) -> Claim {
        let claim = self.claim().await;
        let error = TaskError {
            code: "audio_undecodable".to_owned(),
            kind: "decode".to_owned(),
            message: "the stream is broken".to_owned(),
        };
        let failure = Failure {
            id: claim.id.clone(),
            token: claim.token.clone(),
            error,
            retryable: false,
            backoff_ms: 0,
        };
        self.app.state.queue.fail(&failure).await.unwrap();
        claim
    }
}

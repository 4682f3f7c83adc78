//! A worker without a network: claims over Redis, fetches and hands in over HTTP, makes one note per recording.

use music::{Note, Transcript};
use queue::{Claim, ClaimAnswer, ClaimRequest, Progress, Queue, QueueConfig, QueueName, WorkerId};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::{TestApp, wait_for};

pub(crate) struct FakeWorker {
    pub(crate) queue: Queue,
    name: WorkerId,
    base: String,
    http: reqwest::Client,
}

impl FakeWorker {
    pub(crate) async fn new(app: &TestApp, redis_url: &str, name: &str) -> Self {
        Self {
            queue: Queue::connect(&QueueConfig::new(redis_url)).await.unwrap(),
            name: WorkerId::parse(name).unwrap(),
            base: app.base.clone(),
            http: reqwest::Client::new(),
        }
    }

    /// What is there now.
    pub(crate) async fn try_claim(&self) -> Option<Claim> {
        let request = ClaimRequest {
            worker: self.name.clone(),
            queues: vec![QueueName::default()],
            nonce: ClaimRequest::nonce(),
            held: 0,
            slots: 1,
        };
        match self.queue.claim(&request).await {
            Ok(ClaimAnswer::Claimed(claim)) => Some(*claim),
            _ => None,
        }
    }

    pub(crate) async fn claim(&self) -> Claim {
        wait_for("a task", async || self.try_claim().await).await
    }

    pub(crate) async fn fetch(&self, id: &str, token: Option<&str>) -> reqwest::Response {
        let mut request = self
            .http
            .get(format!("{}/internal/v1/tasks/{id}/audio", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn audio(&self, claim: &Claim) -> Vec<u8> {
        let response = self
            .fetch(claim.id.as_str(), Some(claim.token.as_str()))
            .await;
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap().to_vec()
    }

    pub(crate) async fn progress(&self, claim: &Claim, current: u64, total: u64) {
        let progress = Progress {
            stage: "inference".to_owned(),
            current,
            total,
        };
        assert!(
            self.queue
                .progress(&claim.id, &claim.token, &progress)
                .await
                .unwrap()
        );
    }

    /// Hands in one note of this pitch. Status and body of the answer.
    pub(crate) async fn hand_in(&self, claim: &Claim, pitch: u8) -> (u16, Value) {
        self.put(claim, result_form(pitch)).await
    }

    pub(crate) async fn put(&self, claim: &Claim, form: Form) -> (u16, Value) {
        let response = self
            .http
            .put(format!(
                "{}/internal/v1/tasks/{}/result",
                self.base, claim.id
            ))
            .bearer_auth(claim.token.as_str())
            .multipart(form)
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    /// One task from claim to stored result; the note's pitch says which recording it was.
    pub(crate) async fn work(&self, pitch_of: impl Fn(&[u8]) -> u8) -> Claim {
        let claim = self.claim().await;
        let recording = self.audio(&claim).await;
        self.progress(&claim, 1, 2).await;
        let (status, body) = self.hand_in(&claim, pitch_of(&recording)).await;
        assert_eq!(status, 200, "{body}");
        claim
    }
}

pub(crate) fn transcript(pitch: u8) -> Transcript {
    let mut transcript = Transcript::new(json!({ "app": "test" }));
    let note = Note {
        onset: 0.1,
        offset: 0.6,
        pitch,
        velocity: 90,
        program: 0,
        is_drum: false,
        bends: None,
    };
    transcript.notes.push(note);
    transcript
}

pub(crate) fn midi(pitch: u8) -> Vec<u8> {
    music::midi::write(&transcript(pitch), &music::midi::MidiOptions::default())
}

pub(crate) fn result_form(pitch: u8) -> Form {
    add_result(Form::new(), pitch)
}

pub(crate) fn add_result(form: Form, pitch: u8) -> Form {
    let report = json!({
        "audio_ms": 1000, "busy_ms": 300, "wall_ms": 400, "device": "cpu", "model": "basic-pitch",
        "model_digest": "sha256:test", "warnings": [],
    });
    form.part(
        "midi",
        Part::bytes(midi(pitch)).mime_str("audio/midi").unwrap(),
    )
    .part(
        "notes",
        Part::text(transcript(pitch).to_json().unwrap())
            .mime_str("application/json")
            .unwrap(),
    )
    .part(
        "report",
        Part::text(report.to_string())
            .mime_str("application/json")
            .unwrap(),
    )
}

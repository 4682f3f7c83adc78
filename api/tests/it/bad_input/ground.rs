//! What the table stands on: a service with a key, a transcription in every state, claims that live, that were handed back,
//! that were lost and that are done. And what is stored, so that nothing of it may change.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use queue::{Claim, TaskId};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{Database, TestApp, job_path};
use crate::fake_worker::FakeWorker;

pub(crate) const KEY: &str = "a-key-of-the-table-0123";
pub(crate) const OPERATOR: &str = "operator-of-the-table-0123";
pub(crate) const ORIGIN: &str = "wtt/music";
pub(crate) const LIMIT_BYTES: usize = 300_000;
pub(crate) const LIMIT_SECONDS: u64 = 20;
pub(crate) const RESULT_BYTES: usize = 5_000;

pub(crate) struct Ground {
    pub(crate) app: TestApp,
    pub(crate) succeeded: String,
    pub(crate) failed: String,
    pub(crate) cancelled: String,
    pub(crate) deleted: String,
    pub(crate) queued: String,
    /// Uploaded the first version's way and never started: its integer.
    pub(crate) created: i64,
    /// Running, and the claim is live.
    pub(crate) live: Claim,
    /// The integers of the running and the finished one.
    pub(crate) live_number: i64,
    pub(crate) succeeded_number: i64,
    /// The claim whose result was stored.
    pub(crate) done: Claim,
    /// Handed back by its worker.
    pub(crate) released: Claim,
    /// Its worker was taken for dead.
    pub(crate) lost: Claim,
    /// An operator's: suspended, and what was asked for.
    pub(crate) job: String,
    pub(crate) asked: Value,
    /// An operator's, whose source was not there.
    pub(crate) failed_job: String,
}

/// All that must be the same before and after.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    files: BTreeMap<String, u64>,
    rows: BTreeMap<String, String>,
    queue: BTreeMap<String, u64>,
}

impl Ground {
    pub(crate) async fn lay(database: Database) -> Self {
        let limits = [
            format!("--max-upload-bytes={LIMIT_BYTES}"),
            format!("--max-decoded-seconds={LIMIT_SECONDS}"),
            format!("--max-result-bytes={RESULT_BYTES}"),
            format!("--api-key={KEY}"),
            format!("--operator-key={OPERATOR}"),
            "--fetch-interval-ms=100".to_owned(),
            // Claims of the table live until it is through.
            "--reap=false".to_owned(),
            "--max-parts=4".to_owned(),
        ];
        let limits: Vec<&str> = limits.iter().map(String::as_str).collect();
        let app = TestApp::start_with(database, &limits).await;
        let worker = FakeWorker::new(&app);
        let other = FakeWorker::named(&app, "fake-lost");

        let succeeded = app.submit().await;
        let done = worker.finish_one().await;
        app.wait_for(&succeeded, "succeeded").await;
        let failed = app.submit().await;
        worker.fail_one().await;
        app.wait_for(&failed, "failed").await;
        let deleted = app.submit().await;
        let answer = app.delete(&job_path(&deleted)).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let cancelled = app.submit().await;
        app.post(&format!("{}/cancel", job_path(&cancelled))).await;
        app.wait_for(&cancelled, "cancelled").await;
        app.submit().await;
        let live = worker.claim().await;
        app.submit().await;
        let lost = other.claim().await;
        let queued = app.submit().await;
        let released = worker.claim().await;
        app.state
            .queue
            .release(&released.id, &released.token)
            .await
            .unwrap();

        // Last, because its task now waits alone, in front of all others.
        let reap = app.state.config.reap_options();
        app.state
            .queue
            .expire_worker(other.id(), None, &reap)
            .await
            .unwrap();

        let form = crate::app::audio_form(crate::audio_files::tone(1.0), "seed.wav");
        let request = app.request(reqwest::Method::POST, "/transcribe/upload/");
        let uploaded = request.multipart(form).send().await.unwrap();
        let uploaded: serde_json::Value = uploaded.json().await.unwrap();
        let created = uploaded["audio_midi_id"].as_i64().unwrap();
        let asked =
            json!({"source": {"transcription": succeeded}, "origin": ORIGIN, "suspended": true});
        let missing = json!({"source": {"object": "imports/music/missing.wav"}, "origin": ORIGIN});
        for (id, body, state) in [
            ("job", &asked, "queued"),
            ("failed-job", &missing, "failed"),
        ] {
            let url = format!("{}/internal/v1/transcriptions/{id}", app.base);
            let request = app.client.put(url).bearer_auth(OPERATOR).json(body);
            assert_eq!(request.send().await.unwrap().status(), StatusCode::ACCEPTED);
            app.wait_for(id, state).await;
        }
        let number = async |id: &str| app.state.db.get(id).await.unwrap().unwrap().seed_id;
        let live_number = number(live.id.as_str()).await;
        let succeeded_number = number(&succeeded).await;
        Self {
            succeeded,
            failed,
            cancelled,
            deleted,
            queued,
            created,
            live,
            live_number,
            succeeded_number,
            done,
            released,
            lost,
            job: "job".to_owned(),
            asked,
            failed_job: "failed-job".to_owned(),
            app,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.app.base.trim_start_matches("http://").parse().unwrap()
    }

    /// Files with their sizes, rows with their states, and the counts of the queue.
    pub(crate) async fn stored(&self) -> Stored {
        let rows = self.app.state.db.list(None, None, 1000).await.unwrap().rows;
        let ids: Vec<TaskId> = rows
            .iter()
            .map(|row| TaskId::parse(row.id.as_str()).unwrap())
            .collect();
        let snapshots = self.app.state.queue.snapshots(&ids).await.unwrap();
        let rows = rows.iter().zip(snapshots).map(|(row, snapshot)| {
            let live = snapshot.map(|live| (live.status, live.attempt, live.cancel_requested));
            (
                row.id.clone(),
                format!("{:?} {} {live:?}", row.state, row.life),
            )
        });
        let info = self.app.state.queue.server_info().await.unwrap();
        let queue = [
            ("pending", info.queue_pending),
            ("processing", info.queue_processing),
            ("failed", info.queue_failed),
        ];
        Stored {
            files: self.app.stored(),
            rows: rows.collect(),
            queue: queue
                .map(|(name, count)| (name.to_owned(), count))
                .into_iter()
                .collect(),
        }
    }

    /// What no answer may say.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let tokens = [&self.live, &self.done, &self.released, &self.lost]
            .map(|claim| claim.token.as_str().to_owned());
        let mut secrets = vec![
            KEY.to_owned(),
            OPERATOR.to_owned(),
            self.app.state.config.data_dir.display().to_string(),
            self.app.redis.socket().display().to_string(),
        ];
        secrets.extend(tokens);
        secrets
    }
}

//! A row as users see it: the database's truth, with what Redis knows of an unfinished one laid over it.

use queue::{TaskError, TaskId, TaskSnapshot, TaskStatus};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::db::{Row, State};
use crate::error::Code;
use crate::problems;
use crate::state::AppState;
use crate::transcriptions::files;

#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) row: Row,
    /// Of the row's own life, and only while the row is unfinished.
    pub(crate) snapshot: Option<TaskSnapshot>,
}

/// Overlays what Redis knows, in one round trip. Redis away: the rows as they stand.
pub(crate) async fn view(state: &AppState, rows: Vec<Row>) -> Vec<View> {
    let ids: Vec<TaskId> = rows
        .iter()
        .filter(|row| row.state == State::Queued)
        .filter_map(|row| TaskId::parse(row.id.as_str()).ok())
        .collect();
    let mut snapshots = Vec::new();
    if !ids.is_empty() {
        match state.queue.snapshots(&ids).await {
            Ok(found) => snapshots = found.into_iter().flatten().collect(),
            Err(error) => tracing::warn!(cause = %error, "showing rows without what Redis knows"),
        }
    }
    let mut known: std::collections::HashMap<String, TaskSnapshot> = snapshots
        .into_iter()
        .map(|snapshot: TaskSnapshot| (snapshot.id.to_string(), snapshot))
        .collect();
    rows.into_iter()
        .map(|row| {
            let snapshot = known
                .remove(&row.id)
                .filter(|snapshot| snapshot.life == row.life);
            View { row, snapshot }
        })
        .collect()
}

pub(crate) async fn view_one(state: &AppState, row: Row) -> View {
    let fallback = row.clone();
    view(state, vec![row]).await.pop().unwrap_or(View {
        row: fallback,
        snapshot: None,
    })
}

impl View {
    /// Final states come from the row alone: until the outcome is there, a task that has ended in Redis shows `running`, or
    /// `queued` if it never ran.
    pub(crate) fn state(&self) -> State {
        match (self.row.state, &self.snapshot) {
            (State::Queued, Some(snapshot)) => match snapshot.status {
                TaskStatus::Pending => State::Queued,
                TaskStatus::Failed if snapshot.started_at_ms.is_none() => State::Queued,
                _ => State::Running,
            },
            (state, _) => state,
        }
    }

    /// The job object. What has no content yet is left out.
    pub(crate) fn to_json(&self) -> Value {
        let row = &self.row;
        let state = self.state();
        let base = format!("/api/v1/transcriptions/{}", row.id);
        let mut job = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                job.insert(name.to_owned(), value);
            }
        };
        let started = self
            .snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.started_at_ms)
            .or(row.started_at_ms);
        put("id", Some(row.id.as_str().into()));
        put("object", Some("transcription".into()));
        put("state", Some(state.as_str().into()));
        put("created_at", Some(rfc3339(row.created_at_ms)));
        put("queued_at", row.queued_at_ms.map(rfc3339));
        put("started_at", started.map(rfc3339));
        put("finished_at", row.finished_at_ms.map(rfc3339));
        put("expires_at", row.expires_at_ms.map(rfc3339));
        put("source", Some(self.source()));
        put("model", Some(row.model.as_str().into()));
        put("options", Some(Value::Object(row.options.clone())));
        put(
            "labels",
            (!row.labels.is_empty()).then(|| json!(row.labels)),
        );
        put("queue", Some(row.queue.as_str().into()));
        if let Some(operated) = &row.operated {
            put("origin", Some(operated.origin.as_str().into()));
            put("suspended", operated.suspended.then(|| true.into()));
        }
        if let Some(snapshot) = &self.snapshot {
            put(
                "progress",
                snapshot.progress.as_ref().map(|progress| {
                    json!({
                        "stage": progress.stage,
                        "current": progress.current,
                        "total": progress.total,
                        "fraction": progress.fraction(),
                    })
                }),
            );
            put(
                "attempt",
                (snapshot.attempt > 0).then(|| snapshot.attempt.into()),
            );
            put("worker", snapshot.worker.as_deref().map(Value::from));
            put(
                "cancel_requested",
                snapshot.cancel_requested.then(|| true.into()),
            );
            put("last_error", snapshot.error.as_ref().map(problem));
        } else {
            put("attempt", (row.attempt > 0).then(|| row.attempt.into()));
        }
        put("retries", (row.life > 1).then(|| (row.life - 1).into()));
        put("error", row.error.as_ref().map(problem));
        if let Some(result) = &row.result {
            put("notes", Some(result.notes.into()));
            put("outputs", Some(files::outputs(row)));
            put(
                "warnings",
                (!result.warnings.is_empty()).then(|| json!(result.warnings)),
            );
            put(
                "provenance",
                Some(json!({
                    "app": env!("CARGO_PKG_VERSION"),
                    "model": {"name": result.model, "digest": result.model_digest},
                    "device": result.device,
                    "busy_seconds": seconds(result.busy_ms),
                    "wall_seconds": seconds(result.wall_ms),
                })),
            );
        }
        let mut links = json!({"self": base, "events": format!("{base}/events"), "files": format!("{base}/files")});
        if !state.is_final() {
            links["cancel"] = format!("{base}/cancel").into();
        }
        if matches!(state, State::Failed | State::Cancelled) && row.source_stored {
            links["retry"] = format!("{base}/retry").into();
        }
        put("links", Some(links));
        Value::Object(job)
    }

    fn source(&self) -> Value {
        let row = &self.row;
        let kind = match &row.operated {
            None => "upload",
            Some(operated) => operated.asked.source.kind(),
        };
        if row.sha256.is_empty() {
            return json!({"kind": kind, "filename": row.filename, "stored": false});
        }
        let mut source = json!({
            "kind": kind,
            "filename": row.filename,
            "bytes": row.bytes,
            "sha256": row.sha256,
            "media_type": row.media_type,
            "duration_seconds": seconds(row.audio_ms),
            "sample_rate": row.sample_rate,
            "channels": row.channels,
        });
        if row.duration_estimated {
            source["duration_estimated"] = true.into();
        }
        if !row.source_stored {
            source["stored"] = false.into();
        }
        source
    }
}

/// A task's error in the shape of every other problem.
fn problem(error: &TaskError) -> Value {
    let title = Code::ALL
        .iter()
        .find(|code| code.as_str() == error.code)
        .map(|code| code.title());
    json!({
        "type": problems::address(&error.code),
        "title": title.unwrap_or("The transcription failed"),
        "code": error.code,
        "kind": error.kind,
        "detail": error.message,
    })
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn rfc3339(ms: u64) -> Value {
    let nanos = i128::from(ms) * 1_000_000;
    let moment =
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    moment.format(&Rfc3339).unwrap_or_default().into()
}

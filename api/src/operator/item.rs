//! A row as an operator sees it: one shape on every route.

use axum::extract::State;
use queue::Progress;
use serde_json::{Map, Value, json};

use super::operated;
use crate::error::ApiResult;
use crate::extract::{Json, Path};
use crate::signed;
use crate::state::AppState;
use crate::transcriptions::{View, view_one};

pub(super) async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    let row = operated(&state, &id).await?;
    Ok(Json(item(&state, &view_one(&state, row).await)))
}

/// What has no content yet is left out.
pub(super) fn item(state: &AppState, shown: &View) -> Value {
    let row = &shown.row;
    let mut item = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            item.insert(name.to_owned(), value);
        }
    };
    let snapshot = shown.snapshot.as_ref();
    put("id", Some(row.id.as_str().into()));
    if let Some(operated) = &row.operated {
        put("origin", Some(operated.origin.as_str().into()));
        put("seq", Some(operated.seq.into()));
        put("suspended", Some(operated.suspended.into()));
        let ttl_seconds = operated.ttl_ms.map(|ms| ms / 1000);
        put("ttl_seconds", ttl_seconds.map(Value::from));
    }
    put("state", Some(shown.state().as_str().into()));
    put("model", Some(row.model.as_str().into()));
    put("queue", Some(row.queue.as_str().into()));
    let known = !row.sha256.is_empty();
    put("audio_ms", known.then(|| row.audio_ms.into()));
    put("sample_rate", known.then(|| row.sample_rate.into()));
    put("channels", known.then(|| row.channels.into()));
    let attempt = snapshot.map_or(row.attempt, |snapshot| snapshot.attempt.into());
    put("attempt", (attempt > 0).then(|| attempt.into()));
    let started = snapshot.and_then(|snapshot| snapshot.started_at_ms);
    put("created_at_ms", Some(row.created_at_ms.into()));
    put("queued_at_ms", row.queued_at_ms.map(Value::from));
    put(
        "started_at_ms",
        started.or(row.started_at_ms).map(Value::from),
    );
    put("finished_at_ms", row.finished_at_ms.map(Value::from));
    let error = row.error.as_ref();
    put(
        "error",
        error
            .map(|error| json!({"code": error.code, "kind": error.kind, "message": error.message})),
    );
    if let Some(result) = &row.result {
        let url = signed::midi_url(state, row);
        put(
            "result",
            Some(json!({"url": url, "sha256": result.midi_sha256, "notes": result.notes})),
        );
    }
    put(
        "progress",
        snapshot
            .and_then(|snapshot| snapshot.progress.as_ref())
            .map(progress),
    );
    Value::Object(item)
}

fn progress(progress: &Progress) -> Value {
    json!({"stage": progress.stage, "current": progress.current, "total": progress.total})
}

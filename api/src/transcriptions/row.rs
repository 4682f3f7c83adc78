//! A new row from what was received, found and chosen; and a row by its id, or the error that says why there is none.

use std::collections::BTreeMap;

use queue::TaskId;
use serde_json::{Map, Value};

use crate::db::{Row, State};
use crate::error::{ApiError, ApiResult, Code};
use crate::models::Model;
use crate::state::{AppState, now_ms};
use crate::upload::{Inspected, Received};

/// What the client chose.
#[derive(Clone)]
pub(crate) struct Choice {
    pub(crate) model: Model,
    pub(crate) options: Map<String, Value>,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Choice {
    pub(crate) fn default_of(state: &AppState) -> Self {
        let model = state.models.default_model().clone();
        Self {
            model,
            options: Map::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// A fresh transcription id: sortable by time, unguessable.
pub(crate) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// `state` is `Created` (started later, the seed's way) or `Queued`.
pub(crate) fn new_row(
    state: &AppState,
    initial: State,
    received: &Received,
    inspected: &Inspected,
    choice: Choice,
) -> Row {
    let now = now_ms();
    let queued = initial == State::Queued;
    Row {
        id: received.id().to_owned(),
        seed_id: new_seed_id(),
        state: initial,
        life: 1,
        outbox_number: 0,
        created_at_ms: now,
        updated_at_ms: now,
        queued_at_ms: queued.then_some(now),
        started_at_ms: None,
        finished_at_ms: None,
        expires_at_ms: if queued { None } else { expiry(state, now) },
        filename: received.filename.clone(),
        media_type: inspected.media_type.clone(),
        bytes: received.bytes,
        sha256: received.sha256.clone(),
        sample_rate: inspected.sample_rate.into(),
        channels: inspected.channels.into(),
        audio_ms: inspected.audio_ms,
        duration_estimated: inspected.duration_estimated,
        source_stored: true,
        queue: choice.model.queue.as_str().to_owned(),
        model: choice.model.name,
        options: choice.options,
        labels: choice.labels,
        attempt: 0,
        error: None,
        result: None,
        operated: None,
    }
}

/// When something that ended now goes; `None` = never.
pub(crate) fn expiry(state: &AppState, now_ms: u64) -> Option<u64> {
    let seconds = state.config.timing.retention_seconds;
    (seconds > 0).then(|| now_ms.saturating_add(seconds.saturating_mul(1000)))
}

/// Positive, 53 bits (exact in JavaScript), random: as hard to guess as a short id can be.
pub(crate) fn new_seed_id() -> i64 {
    rand::random_range(1..(1_i64 << 53))
}

/// The row of this id; 404 where there never was one, 410 where it is gone.
pub(crate) async fn find(state: &AppState, id: &str) -> ApiResult<Row> {
    let unknown = || {
        ApiError::new(
            Code::TranscriptionUnknown,
            format!("there is no transcription {id:?}"),
        )
    };
    // What cannot be an id is no question for a database: Postgres, for one, takes no NUL.
    if TaskId::parse(id).is_err() {
        return Err(unknown());
    }
    if let Some(row) = state.db.get(id).await? {
        return Ok(row);
    }
    match state.db.tombstone(id).await? {
        Some(tombstone) if tombstone.reason == "expired" => Err(ApiError::new(
            Code::Expired,
            format!("transcription {id} has passed its retention and is gone"),
        )),
        Some(_) => Err(ApiError::new(
            Code::Deleted,
            format!("transcription {id} was deleted"),
        )),
        None => Err(unknown()),
    }
}

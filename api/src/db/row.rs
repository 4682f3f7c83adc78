//! One row of `transcriptions` in Rust: its fields, its states, and how it is read back. No SQL statements here.

use std::collections::BTreeMap;

use queue::{ResultPointer, TaskError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row as _};

use super::{Error, Operated, to_db};

/// The states of a transcription, in the users' words. `Running` is never stored: Redis knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Created,
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
}

impl State {
    pub const ALL: [State; 7] = [
        State::Created,
        State::Queued,
        State::Running,
        State::Succeeded,
        State::Failed,
        State::Cancelled,
        State::Expired,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            State::Created => "created",
            State::Queued => "queued",
            State::Running => "running",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Expired => "expired",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Only retry leaves such a state.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            State::Succeeded | State::Failed | State::Cancelled | State::Expired
        )
    }
}

/// A transcription as the database holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: String,
    /// The integer that only the seed's routes show.
    pub seed_id: i64,
    pub state: State,
    /// 1, and one more with each retry.
    pub life: u64,
    /// Number of the last outbox entry that was applied.
    pub outbox_number: u64,
    pub created_at_ms: u64,
    pub updated_at_ms: u64,
    pub queued_at_ms: Option<u64>,
    pub started_at_ms: Option<u64>,
    pub finished_at_ms: Option<u64>,
    pub expires_at_ms: Option<u64>,
    /// Display text from the client; never part of a path.
    pub filename: String,
    pub media_type: String,
    pub bytes: u64,
    pub sha256: String,
    pub sample_rate: u64,
    pub channels: u64,
    pub audio_ms: u64,
    pub duration_estimated: bool,
    /// The recording is still in the object store.
    pub source_stored: bool,
    pub model: String,
    pub options: Map<String, Value>,
    pub queue: String,
    pub labels: BTreeMap<String, String>,
    /// Of the finished life; while it runs Redis knows.
    pub attempt: u64,
    pub error: Option<TaskError>,
    pub result: Option<ResultPointer>,
    /// Of rows that an operator asked for; boxed, because most are uploads.
    pub operated: Option<Box<Operated>>,
}

impl Row {
    /// Its owner wants no worker to have it.
    pub fn is_suspended(&self) -> bool {
        self.operated
            .as_ref()
            .is_some_and(|operated| operated.suspended)
    }
}

/// A final state on its way from the outbox into a row.
#[derive(Debug, Clone)]
pub struct Finish {
    pub id: String,
    pub life: u64,
    pub number: u64,
    /// Succeeded, Failed or Cancelled.
    pub state: State,
    pub attempt: u64,
    pub error: Option<TaskError>,
    pub result: Option<ResultPointer>,
    pub started_at_ms: Option<u64>,
    pub finished_at_ms: u64,
    pub expires_at_ms: Option<u64>,
}

/// A part of the list.
#[derive(Debug)]
pub struct Page {
    pub rows: Vec<Row>,
    /// The place of the last row that was looked at, readable or not; none where nothing comes after it.
    pub end: Option<(u64, String)>,
}

/// What became of a `Finish`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Done,
    /// Of an older life, already applied, or the row is final already. Acknowledge it and go on.
    Ignored,
    /// There is no such row (deleted, or of another system). Acknowledge it and go on.
    Unknown,
}

pub(super) const COLUMNS: &str = "id, seed_id, state, life, outbox_number, created_at_ms, updated_at_ms, queued_at_ms, \
     started_at_ms, finished_at_ms, expires_at_ms, filename, media_type, bytes, sha256, sample_rate, channels, audio_ms, \
     duration_estimated, source_stored, model, options, queue, labels, attempt, error, result, origin, change_seq, asked, \
     suspended, ttl_ms, queue_deadline_ms, run_deadline_ms";

/// A place for each of them.
pub(super) const PLACES: &str = "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
     $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34";

impl Row {
    pub(super) fn read(row: &AnyRow) -> Result<Self, Error> {
        let id: String = row.try_get("id")?;
        let state: String = row.try_get("state")?;
        let Some(state) = State::parse(&state) else {
            return Err(Error::Unreadable {
                id,
                column: "state",
                value: state,
            });
        };
        let number = |column| -> Result<u64, Error> { Ok(from_db(row.try_get::<i64, _>(column)?)) };
        let moment = |column| -> Result<Option<u64>, Error> {
            Ok(row.try_get::<Option<i64>, _>(column)?.map(from_db))
        };
        Ok(Self {
            seed_id: row.try_get("seed_id")?,
            state,
            life: number("life")?,
            outbox_number: number("outbox_number")?,
            created_at_ms: number("created_at_ms")?,
            updated_at_ms: number("updated_at_ms")?,
            queued_at_ms: moment("queued_at_ms")?,
            started_at_ms: moment("started_at_ms")?,
            finished_at_ms: moment("finished_at_ms")?,
            expires_at_ms: moment("expires_at_ms")?,
            filename: row.try_get("filename")?,
            media_type: row.try_get("media_type")?,
            bytes: number("bytes")?,
            sha256: row.try_get("sha256")?,
            sample_rate: number("sample_rate")?,
            channels: number("channels")?,
            audio_ms: number("audio_ms")?,
            duration_estimated: number("duration_estimated")? != 0,
            source_stored: number("source_stored")? != 0,
            model: row.try_get("model")?,
            options: json(&id, "options", Some(row.try_get("options")?))?.unwrap_or_default(),
            queue: row.try_get("queue")?,
            labels: json(&id, "labels", Some(row.try_get("labels")?))?.unwrap_or_default(),
            attempt: number("attempt")?,
            error: json(&id, "error", row.try_get("error")?)?,
            result: json(&id, "result", row.try_get("result")?)?,
            operated: operated(&id, row)?.map(Box::new),
            id,
        })
    }

    /// Binds `COLUMNS` in their order; `number` is the change's.
    pub(super) fn bind_all<'q>(
        &'q self,
        query: Query<'q, Any, AnyArguments>,
        number: i64,
    ) -> Query<'q, Any, AnyArguments> {
        let operated = self.operated.as_deref();
        query
            .bind(&self.id)
            .bind(self.seed_id)
            .bind(self.state.as_str())
            .bind(to_db(self.life))
            .bind(to_db(self.outbox_number))
            .bind(to_db(self.created_at_ms))
            .bind(to_db(self.updated_at_ms))
            .bind(self.queued_at_ms.map(to_db))
            .bind(self.started_at_ms.map(to_db))
            .bind(self.finished_at_ms.map(to_db))
            .bind(self.expires_at_ms.map(to_db))
            .bind(&self.filename)
            .bind(&self.media_type)
            .bind(to_db(self.bytes))
            .bind(&self.sha256)
            .bind(to_db(self.sample_rate))
            .bind(to_db(self.channels))
            .bind(to_db(self.audio_ms))
            .bind(i64::from(self.duration_estimated))
            .bind(i64::from(self.source_stored))
            .bind(&self.model)
            .bind(to_json(&self.options))
            .bind(&self.queue)
            .bind(to_json(&self.labels))
            .bind(to_db(self.attempt))
            .bind(self.error.as_ref().map(to_json))
            .bind(self.result.as_ref().map(to_json))
            .bind(operated.map(|operated| operated.origin.as_str()))
            .bind(number)
            .bind(operated.map(|operated| to_json(&operated.asked)))
            .bind(i64::from(self.is_suspended()))
            .bind(operated.and_then(|operated| operated.ttl_ms).map(to_db))
            .bind(
                operated
                    .and_then(|operated| operated.queue_deadline_ms)
                    .map(to_db),
            )
            .bind(
                operated
                    .and_then(|operated| operated.run_deadline_ms)
                    .map(to_db),
            )
    }
}

fn operated(id: &str, row: &AnyRow) -> Result<Option<Operated>, Error> {
    let origin: Option<String> = row.try_get("origin")?;
    let Some(origin) = origin else {
        return Ok(None);
    };
    let Some(asked) = json(id, "asked", row.try_get("asked")?)? else {
        return Err(Error::Unreadable {
            id: id.to_owned(),
            column: "asked",
            value: String::new(),
        });
    };
    let number = |column| -> Result<Option<u64>, Error> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(from_db))
    };
    Ok(Some(Operated {
        origin,
        seq: from_db(row.try_get("change_seq")?),
        asked,
        suspended: row.try_get::<i64, _>("suspended")? != 0,
        ttl_ms: number("ttl_ms")?,
        queue_deadline_ms: number("queue_deadline_ms")?,
        run_deadline_ms: number("run_deadline_ms")?,
    }))
}

/// Of many rows: one that cannot be read must not hide the others.
pub(super) fn readable(found: &[AnyRow]) -> Vec<Row> {
    found
        .iter()
        .filter_map(|row| match Row::read(row) {
            Ok(row) => Some(row),
            Err(cause) => {
                tracing::error!(%cause, "skipped a row");
                None
            }
        })
        .collect()
}

fn json<T: serde::de::DeserializeOwned>(
    id: &str,
    column: &'static str,
    text: Option<String>,
) -> Result<Option<T>, Error> {
    let Some(text) = text else { return Ok(None) };
    let unreadable = |_| Error::Unreadable {
        id: id.to_owned(),
        column,
        value: text.clone(),
    };
    serde_json::from_str(&text).map(Some).map_err(unreadable)
}

pub(super) fn to_json<T: Serialize>(value: &T) -> String {
    // Maps of strings and plain structs always serialise.
    serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned())
}

pub(super) fn from_db(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

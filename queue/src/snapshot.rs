//! Reading tasks back, many in one round trip.

use std::collections::HashMap;
use std::str::FromStr;

use crate::{Error, Progress, Queue, ResultPointer, TaskError, TaskId, Token};

/// The words in Redis; the API maps them to users' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskStatus {
    Pending,
    Processing,
    Completed,
    Failed,
}

impl TaskStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            TaskStatus::Pending => "pending",
            TaskStatus::Processing => "processing",
            TaskStatus::Completed => "completed",
            TaskStatus::Failed => "failed",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [
            TaskStatus::Pending,
            TaskStatus::Processing,
            TaskStatus::Completed,
            TaskStatus::Failed,
        ]
        .into_iter()
        .find(|status| status.as_str() == word)
    }
}

#[derive(Clone, Debug)]
pub struct TaskSnapshot {
    pub id: TaskId,
    pub status: TaskStatus,
    pub life: u64,
    pub attempt: u32,
    pub seq: u64,
    pub progress: Option<Progress>,
    pub worker: Option<String>,
    /// Who has it or had it last: a hash names its last worker also when the attempt is over.
    pub last_worker: Option<String>,
    pub error: Option<TaskError>,
    pub error_kind: Option<String>,
    pub cancel_requested: bool,
    pub parked: bool,
    pub created_at_ms: u64,
    pub updated_at_ms: u64,
    pub started_at_ms: Option<u64>,
    pub finished_at_ms: Option<u64>,
    pub due_ms: Option<u64>,
    pub token: Option<Token>,
    pub result: Option<ResultPointer>,
    pub retries: u32,
    pub crashes: u32,
    pub releases: u32,
}

impl Queue {
    /// In the order of `ids`; None = Redis does not know the task.
    pub async fn snapshots(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskSnapshot>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for id in ids {
            pipeline.hgetall(self.keys.task(id));
        }
        let hashes: Vec<HashMap<String, Vec<u8>>> =
            pipeline.query_async(&mut self.manager()).await?;
        Ok(ids
            .iter()
            .zip(hashes)
            .map(|(id, hash)| read(id, &Fields(hash)))
            .collect())
    }
}

struct Fields(HashMap<String, Vec<u8>>);

impl Fields {
    fn text(&self, name: &str) -> Option<String> {
        self.0
            .get(name)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn number<N: FromStr>(&self, name: &str) -> Option<N> {
        self.text(name)?.parse().ok()
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(self.0.get(name)?).ok()
    }
}

/// Every field has a default: a hash of the seed's era holds payload and status only.
fn read(id: &TaskId, hash: &Fields) -> Option<TaskSnapshot> {
    let status = match hash.text("status") {
        Some(word) => TaskStatus::parse(&word)?,
        None if hash.0.contains_key("payload") => TaskStatus::Pending,
        None => return None,
    };
    let error = hash.text("error").map(|text| {
        serde_json::from_str(&text).unwrap_or_else(|_| TaskError {
            message: text,
            ..TaskError::default()
        })
    });
    Some(TaskSnapshot {
        id: id.clone(),
        status,
        life: hash.number("life").unwrap_or(1),
        attempt: hash.number("attempt").unwrap_or(0),
        seq: hash.number("seq").unwrap_or(0),
        progress: hash.json("progress"),
        worker: hash
            .text("worker_id")
            .filter(|_| status == TaskStatus::Processing),
        last_worker: hash.text("worker_id"),
        error,
        error_kind: hash.text("error_kind"),
        cancel_requested: hash.0.contains_key("cancel"),
        parked: hash.0.contains_key("parked"),
        created_at_ms: hash.number("created_at").unwrap_or(0),
        updated_at_ms: ["updated_at", "created_at", "started_at", "finished_at"]
            .into_iter()
            .filter_map(|moment| hash.number(moment))
            .max()
            .unwrap_or(0),
        started_at_ms: hash.number("started_at"),
        finished_at_ms: hash.number("finished_at"),
        due_ms: hash.number("due"),
        token: hash.text("token").map(Token::new),
        result: hash.json("result"),
        retries: hash.number("retries").unwrap_or(0),
        crashes: hash.number("crashes").unwrap_or(0),
        releases: hash.number("releases").unwrap_or(0),
    })
}

//! Reading tasks back, many in one round trip.

use crate::{Error, Progress, Queue, ResultPointer, TaskError, TaskId, Token};

/// The words in Redis; the API maps them to users' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskStatus {
    Pending,
    Processing,
    Completed,
    Failed,
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
        let _ = ids;
        todo!()
    }
}

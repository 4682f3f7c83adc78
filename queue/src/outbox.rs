//! Final records on their way to the database: read, store, then acknowledge.

use crate::{Error, Queue, TaskId, TaskStatus};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Strictly rising.
    pub number: u64,
    pub id: TaskId,
    pub life: u64,
    pub attempt: u32,
    /// Completed or Failed.
    pub status: TaskStatus,
    /// `ok`, or the kind of the failure.
    pub kind: String,
    /// JSON of a `ResultPointer` or a `TaskError`.
    pub body: String,
    pub at_ms: u64,
}

impl Queue {
    /// Oldest first; does not pop.
    pub async fn results(&self, max: usize) -> Result<Vec<OutboxEntry>, Error> {
        let _ = max;
        todo!()
    }

    /// Pops what the database has committed: entries with a number of at most `up_to`, at most `max` of them.
    pub async fn ack_results(&self, up_to: u64, max: usize) -> Result<usize, Error> {
        let _ = (up_to, max);
        todo!()
    }
}

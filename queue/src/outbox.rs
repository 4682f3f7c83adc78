//! Final records on their way to the database: read, store, then acknowledge.

use redis::AsyncCommands;
use serde::Deserialize;

use crate::{Error, Queue, TaskId, TaskStatus, script};

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
    /// Oldest first; does not pop. Empty only when the outbox is: entries that nobody could ever read are dropped here
    /// (logged, and counted as `unreadable_results`), or a batch full of them would hold up all that follow.
    pub async fn results(&self, max: usize) -> Result<Vec<OutboxEntry>, Error> {
        let most = isize::try_from(max.max(1)).unwrap_or(isize::MAX);
        loop {
            let raw: Vec<Vec<u8>> = self
                .manager()
                .lrange(self.keys.results(), -most, -1)
                .await?;
            let mut entries = Vec::with_capacity(raw.len());
            let mut unreadable = Vec::new();
            for entry in raw.into_iter().rev() {
                match parse(&String::from_utf8_lossy(&entry)) {
                    Some(read) => entries.push(read),
                    None => unreadable.push(entry),
                }
            }
            let dropped = !unreadable.is_empty();
            if dropped {
                self.drop_results(unreadable).await?;
            }
            if !entries.is_empty() || !dropped {
                return Ok(entries);
            }
        }
    }

    /// By value, so that two readers at once drop no more than what they have read.
    async fn drop_results(&self, entries: Vec<Vec<u8>>) -> Result<(), Error> {
        for entry in &entries {
            tracing::error!(
                entry = format!("{:.200}", String::from_utf8_lossy(entry)),
                "an entry of task:results cannot be read; dropped"
            );
        }
        let keys = [self.keys.results()];
        self.run(&script::DROP_RESULTS, &keys, entries).await?;
        Ok(())
    }

    /// Pops what the database has committed: entries with a number of at most `up_to`, at most `max` of them.
    pub async fn ack_results(&self, up_to: u64, max: usize) -> Result<usize, Error> {
        let args = vec![up_to.to_string(), max.to_string()];
        let answer = self
            .run(&script::ACK_RESULTS, &[self.keys.results()], args)
            .await?;
        Ok(answer.unsigned()? as usize)
    }
}

/// `NUMBER\nJSON`, all values of the JSON as text.
fn parse(entry: &str) -> Option<OutboxEntry> {
    #[derive(Deserialize)]
    struct Record {
        id: String,
        life: String,
        attempt: String,
        status: String,
        kind: String,
        body: String,
        at: String,
    }
    let (number, json) = entry.split_once('\n')?;
    let record: Record = serde_json::from_str(json).ok()?;
    Some(OutboxEntry {
        number: number.parse().ok()?,
        id: TaskId::parse(record.id).ok()?,
        life: record.life.parse().ok()?,
        attempt: record.attempt.parse().ok()?,
        status: TaskStatus::parse(&record.status)?,
        kind: record.kind,
        body: record.body,
        at_ms: record.at.parse().ok()?,
    })
}

//! Suspend: a parked task waits outside the lists.

use crate::{Error, Queue, TaskId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkAnswer {
    Done,
    /// Processing: only the field changed; the running attempt goes on.
    Noted,
    AlreadyFinal,
    Unknown,
}

impl Queue {
    pub async fn park(&self, id: &TaskId) -> Result<ParkAnswer, Error> {
        let _ = id;
        todo!()
    }

    /// Back to the front of its queue.
    pub async fn unpark(&self, id: &TaskId) -> Result<ParkAnswer, Error> {
        let _ = id;
        todo!()
    }
}

//! Suspend: a parked task waits outside the lists.

use crate::script::Transition;
use crate::{Error, Queue, TaskId, script};

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
        self.suspend(&script::PARK, id).await
    }

    /// Back to the front of its queue.
    pub async fn unpark(&self, id: &TaskId) -> Result<ParkAnswer, Error> {
        self.suspend(&script::UNPARK, id).await
    }

    async fn suspend(&self, transition: &Transition, id: &TaskId) -> Result<ParkAnswer, Error> {
        let answer = self
            .run(
                transition,
                &[self.keys.task(id), self.keys.parked()],
                vec![id.to_string()],
            )
            .await?;
        match answer.number()? {
            1 => Ok(ParkAnswer::Done),
            2 => Ok(ParkAnswer::Noted),
            0 => Ok(ParkAnswer::AlreadyFinal),
            -1 => Ok(ParkAnswer::Unknown),
            _ => Err(answer.unexpected()),
        }
    }
}

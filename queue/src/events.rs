//! Hints from pub/sub, reconnecting. A hint may be lost: whoever acts on it also polls, and catches up on `Connected`.

use crate::{Progress, Queue, TaskId};

/// Which channels to listen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interest {
    NewTasks,
    /// task:completed and task:failed.
    Finished,
    /// Its progress and its end.
    Task(TaskId),
    Everything,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// After every (re)subscription: catch up now.
    Connected,
    Disconnected,
    New {
        id: TaskId,
    },
    Claimed {
        id: TaskId,
    },
    Progress {
        id: TaskId,
        seq: u64,
        progress: Option<Progress>,
        cancel: bool,
    },
    Completed {
        id: TaskId,
        seq: u64,
    },
    Failed {
        id: TaskId,
        seq: u64,
        kind: String,
    },
    /// A message that is none of ours.
    Other,
}

/// Never ends; drop it to unsubscribe.
pub struct EventStream {}

impl EventStream {
    pub async fn next(&mut self) -> Event {
        todo!()
    }
}

impl Queue {
    pub fn events(&self, interest: Interest) -> EventStream {
        let _ = interest;
        todo!()
    }
}

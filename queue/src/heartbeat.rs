//! What a living worker says: its lease renewals and the progress of its tasks.

use crate::{Error, Progress, Queue, TaskId, Token, WorkerId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    Idle,
    Busy,
    Draining,
}

/// What a worker tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerAbout {
    pub pod: String,
    pub pod_uid: String,
    pub pool: String,
    pub models: Vec<String>,
    pub slots: u32,
}

/// One heartbeat for all tasks that the worker holds.
#[derive(Clone, Debug)]
pub struct Beat {
    pub worker: WorkerId,
    pub state: WorkerState,
    pub about: WorkerAbout,
    pub held: Vec<(TaskId, Token)>,
    /// How long `worker:{wid}` stays without another beat (30 s); display only.
    pub ttl_ms: u64,
}

/// Answer of [`Queue::heartbeat`], leases in the order of `held`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeatAnswer {
    pub draining: bool,
    pub leases: Vec<LeaseState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    Kept,
    /// Kept, but stop and FAIL with kind `cancelled`.
    CancelRequested,
    /// Stop and FAIL with kind `timeout`.
    LimitPassed,
    /// Stop and discard everything.
    Lost,
}

impl Queue {
    pub async fn heartbeat(&self, beat: &Beat) -> Result<BeatAnswer, Error> {
        let _ = beat;
        todo!()
    }

    /// False = fenced: the task is no longer this token's.
    pub async fn progress(
        &self,
        id: &TaskId,
        token: &Token,
        progress: &Progress,
    ) -> Result<bool, Error> {
        let _ = (id, token, progress);
        todo!()
    }
}

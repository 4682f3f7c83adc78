//! What a living worker says: its lease renewals and the progress of its tasks.

use crate::{Error, Progress, Queue, TaskId, Token, WorkerId, script};

const PROGRESS_LIMIT_BYTES: usize = 2 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    Idle,
    Busy,
    Draining,
}

impl WorkerState {
    fn as_str(self) -> &'static str {
        match self {
            WorkerState::Idle => "idle",
            WorkerState::Busy => "busy",
            WorkerState::Draining => "draining",
        }
    }
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
        let keys = &self.keys;
        let names = [
            keys.worker(&beat.worker),
            keys.worker_index(),
            keys.leases(),
            keys.drain(),
        ];
        let about = &beat.about;
        let mut args = vec![
            beat.worker.to_string(),
            beat.ttl_ms.to_string(),
            beat.state.as_str().to_owned(),
            about.pod.clone(),
            about.pod_uid.clone(),
            about.pool.clone(),
            about.models.join(","),
            about.slots.to_string(),
        ];
        for (id, token) in &beat.held {
            args.push(id.to_string());
            args.push(token.as_str().to_owned());
        }
        let mut answer = self
            .run(&script::HEARTBEAT, &names, args)
            .await?
            .list()?
            .into_iter();
        let draining = answer.next().map_or(Ok(0), |flag| flag.number())? == 1;
        let leases = answer.map(|code| match code.number()? {
            0 => Ok(LeaseState::Lost),
            1 => Ok(LeaseState::Kept),
            2 => Ok(LeaseState::CancelRequested),
            3 => Ok(LeaseState::LimitPassed),
            _ => Err(code.unexpected()),
        });
        Ok(BeatAnswer {
            draining,
            leases: leases.collect::<Result<_, Error>>()?,
        })
    }

    /// A worker says good-bye: it disappears from OBSERVE at once. It has handed back its tasks before.
    pub async fn leave(&self, worker: &WorkerId) -> Result<(), Error> {
        let mut pipeline = redis::pipe();
        pipeline
            .zrem(self.keys.worker_index(), worker.as_str())
            .del(self.keys.worker(worker));
        Ok(pipeline.exec_async(&mut self.manager()).await?)
    }

    /// False = fenced: the task is no longer this token's.
    pub async fn progress(
        &self,
        id: &TaskId,
        token: &Token,
        progress: &Progress,
    ) -> Result<bool, Error> {
        let body = serde_json::to_string(progress).unwrap_or_default();
        if body.len() > PROGRESS_LIMIT_BYTES {
            return Err(Error::TooLarge {
                what: "the progress",
                bytes: body.len(),
                limit: PROGRESS_LIMIT_BYTES,
            });
        }
        let args = vec![id.to_string(), token.as_str().to_owned(), body];
        Ok(self
            .run(&script::PROGRESS, &[self.keys.task(id)], args)
            .await?
            .number()?
            == 1)
    }
}

//! Which workers get nothing new: a flag by worker id or by pod.

use crate::{Error, Queue, WorkerId};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DrainTarget {
    Worker(WorkerId),
    /// The pod's uid.
    Pod(String),
}

/// Whether the caller is still the leader that may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epoch {
    Accepted,
    Stale,
}

impl Queue {
    pub async fn drain(&self, target: &DrainTarget, epoch: Option<u64>) -> Result<Epoch, Error> {
        let _ = (target, epoch);
        todo!()
    }

    pub async fn undrain(&self, target: &DrainTarget, epoch: Option<u64>) -> Result<Epoch, Error> {
        let _ = (target, epoch);
        todo!()
    }

    /// Holds back all claims of all workers (or lets them go on).
    pub async fn pause(&self, paused: bool) -> Result<(), Error> {
        let _ = paused;
        todo!()
    }
}

//! Looks for tasks that fell between the keys, and puts them back. Expected to find nothing.

use crate::{Error, Queue};

/// Everything but `tasks` is expected to be 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// Hashes seen.
    pub tasks: u64,
    /// Pending and in no list, not delayed, not parked: pushed again.
    pub lost: u64,
    /// Ids in a list, in delayed or in parked without a hash: dropped.
    pub ghosts: u64,
    /// Processing and not in the list, or without a lease: adopted.
    pub unleased: u64,
    /// `task:work` minus the recomputed sums, summed over absolute differences, in ms.
    pub work_drift_ms: u64,
    /// The same for `task:inflight`.
    pub inflight_drift: u64,
}

impl Queue {
    pub async fn fsck(&self) -> Result<FsckReport, Error> {
        todo!()
    }
}

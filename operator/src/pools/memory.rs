//! What is remembered of a pool between passes. A new leader begins without and is only slower for it, never wrong.

use std::collections::{HashMap, HashSet, VecDeque};

use crds::WorkerPoolStatus;
use tokio::time::Instant;

use crate::scale::{Decision, History};

const STARTS: usize = 20;

#[derive(Debug, Default)]
pub struct Memory {
    pub history: History,
    /// The last applied Deployment: hash, number, and the generation that it got.
    pub applied: Option<(String, i32, i64)>,
    /// Hash and number that the API server would not take, with its words, and when to try it again.
    pub rejected: Option<(String, i32, String, Instant)>,
    pub decision: Option<Decision>,
    pub written: Option<WorkerPoolStatus>,
    pub written_at: Option<Instant>,
    /// Since when the queue has not been readable.
    pub blind_since: Option<Instant>,
    /// Since when each pod (uid) has had nothing to do.
    pub idle_since: HashMap<String, Instant>,
    /// When its workers' time was counted last, and how much it is together.
    counted_at: Option<Instant>,
    worker_ms: u64,
    starts_ms: VecDeque<i64>,
    counted: HashSet<String>,
    /// When the number was lowered last, and the pods (uids) that were to go.
    pub lowered: Option<(Instant, HashSet<String>)>,
    /// Pods (uids) with tasks at the last look.
    pub busy: HashSet<String>,
}

impl Memory {
    /// A pod that got ready, once.
    pub fn started(&mut self, uid: &str, start_ms: i64) {
        if self.counted.insert(uid.to_owned()) {
            self.starts_ms.push_back(start_ms);
            if self.starts_ms.len() > STARTS {
                self.starts_ms.pop_front();
            }
        }
    }

    /// So many workers have been there since the last time this was said; seconds of workers so far.
    pub fn spent(&mut self, workers: u64, now: Instant) -> u64 {
        let since = self.counted_at.replace(now).map(|at| now - at);
        let passed_ms = since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
        self.worker_ms = self
            .worker_ms
            .saturating_add(passed_ms.saturating_mul(workers));
        self.worker_ms / 1000
    }

    /// The usual start: the median of the last ones.
    pub fn cold_start_ms(&self) -> Option<i64> {
        let mut sorted: Vec<i64> = self.starts_ms.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// Forgets pods that are not there any more.
    pub fn keep(&mut self, uids: &HashSet<String>) {
        self.counted.retain(|uid| uids.contains(uid));
        self.idle_since.retain(|uid, _| uids.contains(uid));
    }
}

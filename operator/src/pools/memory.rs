//! What is remembered of a pool between passes. A new leader begins without and is only slower for it, never wrong.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crds::WorkerPoolStatus;
use tokio::time::Instant;

use crate::scale::{Decision, History};

const STARTS: usize = 20;
/// So long after a change was made or seen, the other watchers of the cluster have surely seen it as well.
const KNOWN_BY_ALL: Duration = Duration::from_secs(2);
/// A ReplicaSet makes pods at once; those that it has not made after so long, it cannot.
const MADE_AT_ONCE: Duration = Duration::from_secs(5);

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
    /// Whether each pod (uid) is ready and whether it has the deletion cost, and since when both are so.
    marks: HashMap<String, (bool, bool, Instant)>,
    /// Pods that are wanted, those that are made, and since when they are so many.
    made: Option<(i32, i32, Instant)>,
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

    /// Whether what decides who is deleted first has changed a moment ago on this pod.
    pub fn fresh(&mut self, uid: &str, ready: bool, condemned: bool, now: Instant) -> bool {
        let marks = self.marks.entry(uid.to_owned());
        let (was_ready, was_condemned, since) = marks.or_insert((ready, condemned, now));
        if (*was_ready, *was_condemned) != (ready, condemned) {
            (*was_ready, *was_condemned, *since) = (ready, condemned, now);
        }
        now.saturating_duration_since(*since) < KNOWN_BY_ALL
    }

    /// Whether the ReplicaSet controller may still act on an older number: on the one before a raise, or on one whose pods it is
    /// about to make.
    pub fn unsettled(&mut self, wanted: i32, made: i32, now: Instant) -> bool {
        let (was_wanted, was_made, since) = self.made.get_or_insert((wanted, made, now));
        if (*was_wanted, *was_made) != (wanted, made) {
            (*was_wanted, *was_made, *since) = (wanted, made, now);
        }
        let passed = |since: Instant| now.saturating_duration_since(since);
        let lowered = self.lowered.as_ref();
        lowered.is_some_and(|(when, _)| passed(*when) < KNOWN_BY_ALL)
            || (made < wanted && passed(*since) < MADE_AT_ONCE)
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
        self.marks.retain(|uid, _| uids.contains(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_fresh_for_two_seconds_and_each_one_begins_anew() {
        let (mut memory, begun) = (Memory::default(), Instant::now());
        let mut at = |ms: u64, ready, condemned| {
            memory.fresh("a", ready, condemned, begun + Duration::from_millis(ms))
        };
        let seen = [
            at(0, false, false),
            at(1_999, false, false),
            at(2_000, false, false),
            at(2_001, true, false),
            at(4_000, true, false),
            at(4_001, true, false),
            at(5_000, true, true),
            at(6_000, true, false),
            at(7_999, true, false),
            at(8_000, true, false),
        ];
        assert_eq!(
            seen,
            [
                true, true, false, true, true, false, true, true, true, false
            ]
        );
    }

    #[test]
    fn a_number_is_in_force_when_its_pods_are_made_and_the_one_before_is_forgotten() {
        let (mut memory, begun) = (Memory::default(), Instant::now());
        let at = |ms: u64| begun + Duration::from_millis(ms);
        assert!(!memory.unsettled(4, 4, at(0)));
        memory.lowered = Some((at(100), HashSet::new()));
        // Lowered, and raised again before anybody was deleted.
        assert!(memory.unsettled(3, 4, at(101)));
        assert!(memory.unsettled(4, 4, at(2_099)));
        assert!(!memory.unsettled(4, 4, at(2_100)));
        // Two more, of which one is made at once and the other cannot be.
        assert!(memory.unsettled(6, 4, at(3_000)));
        assert!(memory.unsettled(6, 5, at(4_000)));
        assert!(memory.unsettled(6, 5, at(8_999)));
        assert!(!memory.unsettled(6, 5, at(9_000)));
    }
}

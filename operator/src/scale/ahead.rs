//! What lies ahead of the workers that are there, were there no more of them: when they have done what waits, and what they leave of it
//! until another one could begin. A task that runs stays where it is; what waits goes to whoever is free first.

use super::inputs::{MOST, bounded};
use super::{Demand, Fleet};

/// A pool has a thousand at most; whoever writes two thousand million into a Deployment shall not fill our memory.
const MOST_WORKERS: usize = 10_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    /// When all that waits is done.
    pub(super) alone_ms: i64,
    /// How many are free before another one could begin.
    pub(super) free: i64,
    /// What they leave until then of the waiting work.
    pub(super) rest_ms: i64,
}

impl Ahead {
    pub(super) fn of(demand: &Demand, fleet: &Fleet, cold_start_ms: i64) -> Self {
        // Of unknown length is not of none.
        let queued_ms = bounded(demand.queued_ms.max(demand.queued));
        let free_at_ms = free_at_ms(demand, fleet, cold_start_ms);
        let before = || free_at_ms.iter().filter(|at| **at <= cold_start_ms);
        let spare_ms: i64 = before().map(|at| cold_start_ms - at).sum();
        Ahead {
            alone_ms: bounded(filled_ms(&free_at_ms, queued_ms)),
            free: before().count() as i64,
            rest_ms: (queued_ms - spare_ms).max(0),
        }
    }
}

/// From when on each of them takes waiting work, ascending.
fn free_at_ms(demand: &Demand, fleet: &Fleet, cold_start_ms: i64) -> Vec<i64> {
    let mut at_ms: Vec<i64> = demand.left_by_worker_ms().map(bounded).collect();
    let some = |count: i32| usize::try_from(count).unwrap_or(0).min(MOST_WORKERS);
    let idle = some(fleet.ready);
    at_ms.resize(at_ms.len().max(idle), 0);
    let starting = fleet.starting_ms.iter();
    at_ms.extend(starting.map(|age_ms| (cold_start_ms - bounded(*age_ms)).max(0)));
    // Asked for, and not there yet or kept from starting: they are not asked for again.
    let asked_for = some(fleet.replicas);
    at_ms.resize(at_ms.len().max(asked_for), cold_start_ms);
    at_ms.sort_unstable();
    at_ms
}

/// When so much work is done by workers of whom each begins at its time.
fn filled_ms(free_at_ms: &[i64], mut left_ms: i64) -> i64 {
    if left_ms == 0 {
        return 0;
    }
    let mut workers = 0;
    for (place, at_ms) in free_at_ms.iter().enumerate() {
        workers += 1;
        // What they do before the next one joins them.
        let room_ms = match free_at_ms.get(place + 1) {
            Some(next_ms) => (next_ms - at_ms).saturating_mul(workers),
            None => i64::MAX,
        };
        if left_ms <= room_ms {
            return at_ms + left_ms / workers;
        }
        left_ms -= room_ms;
    }
    // Nobody is there.
    MOST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::Running;

    fn ahead(queued_ms: i64, left_ms: &[i64], ready: i32, starting_ms: &[i64]) -> (i64, i64, i64) {
        let running = |(number, left_ms): (usize, &i64)| Running {
            id: number.to_string(),
            worker: number.to_string(),
            left_ms: *left_ms,
        };
        let demand = Demand {
            queued_ms,
            running: left_ms.iter().enumerate().map(running).collect(),
            ..Demand::default()
        };
        let fleet = Fleet {
            ready,
            starting_ms: starting_ms.to_vec(),
            ..Fleet::default()
        };
        let ahead = Ahead::of(&demand, &fleet, 100);
        (ahead.alone_ms, ahead.free, ahead.rest_ms)
    }

    #[test]
    fn idle_ones_begin_now_busy_ones_when_they_are_free_and_starting_ones_when_they_have_started() {
        assert_eq!(ahead(600, &[], 2, &[]), (300, 2, 400));
        assert_eq!(ahead(600, &[1000], 2, &[]), (600, 1, 500), "one is bound");
        assert_eq!(ahead(600, &[50], 1, &[]), (650, 1, 550));
        assert_eq!(ahead(600, &[], 0, &[0, 40]), (380, 2, 560));
        // 200 by one alone, then two of them 200 each.
        assert_eq!(ahead(600, &[200], 2, &[]), (400, 1, 500));
    }

    #[test]
    fn who_was_asked_for_is_taken_to_be_starting() {
        let fleet = Fleet {
            replicas: 3,
            ready: 1,
            ..Fleet::default()
        };
        let demand = Demand {
            queued_ms: 700,
            ..Demand::default()
        };
        let ahead = Ahead::of(&demand, &fleet, 100);
        assert_eq!((ahead.alone_ms, ahead.free), (300, 3));
    }

    #[test]
    fn a_task_of_unknown_length_waits_for_the_first_that_is_free() {
        let running = Running {
            left_ms: 500,
            ..Running::default()
        };
        let demand = Demand {
            queued: 1,
            running: vec![running],
            ..Demand::default()
        };
        let fleet = Fleet {
            ready: 1,
            ..Fleet::default()
        };
        let ahead = Ahead::of(&demand, &fleet, 100);
        assert_eq!((ahead.alone_ms, ahead.free), (501, 0));
        assert!(ahead.rest_ms > 0);
    }

    #[test]
    fn without_anybody_it_is_never_done_and_without_work_at_once() {
        assert_eq!(ahead(600, &[], 0, &[]), (MOST, 0, 600));
        assert_eq!(ahead(0, &[5000], 1, &[]), (0, 0, 0));
        assert_eq!(
            ahead(i64::MAX, &[i64::MAX, i64::MAX], 2, &[]),
            (MOST, 0, MOST)
        );
    }
}

//! The decision, row by row: each test is one way in which scaling on a queue has gone wrong somewhere.

mod down;
mod starts;

use std::collections::BTreeMap;

use operator::scale::{
    Decision, Demand, Factors, Fleet, History, MOST_RECORD_BYTES, Mode, Observation, Reason,
    Running, Spec, decide, read_record, write_record,
};
use proptest::prelude::*;

const SECOND: i64 = 1000;

fn spec() -> Spec {
    Spec {
        mode: Mode::Auto,
        min: 0,
        max: 8,
        target_ms: 120 * SECOND,
        zero_delay_ms: 300 * SECOND,
        down_window_ms: 60 * SECOND,
    }
}

/// So many tasks wait, of so many seconds each; and each number in `running` is a worker with so many seconds left.
fn demand(queued: i64, each_s: i64, running: &[i64]) -> Option<Demand> {
    Some(Demand {
        queued,
        queued_ms: queued * each_s * SECOND,
        running_tasks: running.len() as i64,
        running: running
            .iter()
            .enumerate()
            .map(|(number, left_s)| Running {
                id: format!("t{number}"),
                worker: format!("w{number}"),
                left_ms: left_s * SECOND,
            })
            .collect(),
        ..Demand::default()
    })
}

fn fleet(replicas: i32, ready: i32, starting_s: &[i64]) -> Fleet {
    Fleet {
        replicas,
        ready,
        starting_ms: starting_s.iter().map(|age| age * SECOND).collect(),
        rollout: false,
        cold_start_ms: 60 * SECOND,
    }
}

/// A history in which this was seen every second for so long.
fn after(seconds: i64, seen: &Observation, spec: &Spec) -> (History, i64) {
    let mut history = History::default();
    for second in 0..=seconds {
        let now_ms = second * SECOND;
        let decision = decide(seen, spec, &history, now_ms);
        history.note(&decision, spec.down_window_ms, now_ms);
    }
    (history, seconds * SECOND)
}

fn fresh(demand: Option<Demand>, fleet: Fleet) -> Decision {
    decide(
        &Observation { demand, fleet },
        &spec(),
        &History::default(),
        0,
    )
}

fn long(demand: Option<Demand>, fleet: Fleet, spec: &Spec) -> Decision {
    let seen = Observation { demand, fleet };
    let (history, now_ms) = after(1000, &seen, spec);
    decide(&seen, spec, &history, now_ms)
}

#[test]
fn from_zero_to_as_many_as_needed_in_one_step() {
    let decision = fresh(demand(40, 12, &[]), fleet(0, 0, &[]));
    assert_eq!(
        (decision.desired, decision.reason),
        (4, Reason::BacklogAboveTarget),
        "480 s of work in 120 s"
    );
    assert!(!decision.limited);
}

#[test]
fn one_short_task_gets_one_worker() {
    assert_eq!(fresh(demand(1, 1, &[]), fleet(0, 0, &[])).desired, 1);
    let unknown_length = demand(3, 0, &[]);
    assert_eq!(fresh(unknown_length, fleet(0, 0, &[])).desired, 1);
}

#[test]
fn the_number_is_absolute_so_starting_workers_are_not_asked_for_again() {
    let work = demand(40, 12, &[]);
    for starting in [vec![0; 4], vec![30; 4], vec![500; 4]] {
        let decision = fresh(work.clone(), fleet(4, 0, &starting));
        assert_eq!(decision.desired, 4, "starting for {starting:?}");
    }
    let half = fresh(work, fleet(4, 2, &[20, 20]));
    assert_eq!(half.desired, 4);
}

#[test]
fn a_long_task_takes_one_worker_however_long() {
    assert_eq!(fresh(demand(1, 36_000, &[]), fleet(0, 0, &[])).desired, 1);
    assert_eq!(
        fresh(demand(2, 36_000, &[36_000]), fleet(1, 1, &[])).desired,
        3,
        "one that runs and two that wait: three workers, not nine hundred"
    );
}

#[test]
fn what_runs_cannot_move_so_it_asks_for_no_new_worker() {
    // Four songs on one worker, 600 s together.
    let mut work = demand(0, 0, &[150, 150, 150, 150]).unwrap();
    for task in &mut work.running {
        task.worker = "w0".to_owned();
    }
    let decision = fresh(Some(work), fleet(1, 1, &[]));
    assert_eq!(
        (decision.desired, decision.reason),
        (1, Reason::EnoughWorkers)
    );
}

#[test]
fn demand_is_what_waits_and_what_runs() {
    // The queue is empty for an hour, but all four work on something long.
    let decision = long(
        demand(0, 0, &[900, 900, 900, 900]),
        fleet(4, 4, &[]),
        &spec(),
    );
    assert_eq!(decision.desired, 4);
    assert_eq!(decision.inputs.quiet_ms, 0);
}

#[test]
fn an_unreadable_queue_is_not_an_empty_one() {
    for replicas in [0, 1, 5] {
        let decision = long(None, fleet(replicas, replicas, &[]), &spec());
        assert_eq!(
            (decision.desired, decision.reason),
            (replicas, Reason::QueueUnreadable),
            "held for a quarter of an hour"
        );
    }
}

#[test]
fn the_lower_bound_needs_no_queue_and_works_at_zero() {
    let decision = decide(
        &Observation {
            demand: None,
            fleet: fleet(0, 0, &[]),
        },
        &Spec { min: 2, ..spec() },
        &History::default(),
        0,
    );
    assert_eq!(
        (decision.desired, decision.reason),
        (2, Reason::QueueUnreadable)
    );
}

#[test]
fn a_paused_queue_asks_for_nobody() {
    let mut work = demand(1000, 60, &[]).unwrap();
    work.held = true;
    let decision = fresh(Some(work), fleet(1, 1, &[]));
    assert_eq!(
        (decision.desired, decision.reason),
        (1, Reason::QueuePaused)
    );
}

#[test]
fn with_no_worker_at_all_every_start_is_worth_it() {
    let slow = Fleet {
        cold_start_ms: 3_600 * SECOND,
        ..fleet(0, 0, &[])
    };
    assert_eq!(fresh(demand(1, 1, &[]), slow).desired, 1);
}

#[test]
fn up_needs_no_window() {
    let (history, now_ms) = after(
        500,
        &Observation {
            demand: demand(0, 0, &[]),
            fleet: fleet(0, 0, &[]),
        },
        &spec(),
    );
    let burst = Observation {
        demand: demand(100, 60, &[]),
        fleet: fleet(0, 0, &[]),
    };
    assert_eq!(decide(&burst, &spec(), &history, now_ms).desired, 8);
}

#[test]
fn the_bounds_hold_and_say_so() {
    let most = fresh(demand(1000, 60, &[]), fleet(0, 0, &[]));
    assert_eq!(
        (most.desired, most.reason, most.limited),
        (8, Reason::AtMaxReplicas, true)
    );
    let there = fresh(demand(1000, 60, &[]), fleet(8, 8, &[]));
    assert_eq!((there.desired, there.reason), (8, Reason::AtMaxReplicas));
    let least = long(
        demand(0, 0, &[]),
        fleet(2, 2, &[]),
        &Spec { min: 2, ..spec() },
    );
    assert_eq!((least.desired, least.reason), (2, Reason::AtMinReplicas));
    let zero = long(
        demand(5, 5, &[]),
        fleet(0, 0, &[]),
        &Spec { max: 0, ..spec() },
    );
    assert_eq!(zero.desired, 0);
}

#[test]
fn a_lowered_upper_bound_needs_no_window() {
    let seen = Observation {
        demand: demand(1000, 60, &[]),
        fleet: fleet(8, 8, &[]),
    };
    let decision = decide(&seen, &Spec { max: 3, ..spec() }, &History::default(), 0);
    assert_eq!(decision.desired, 3);
}

#[test]
fn with_an_upper_bound_of_zero_the_last_one_goes_without_a_quiet_window() {
    let seen = Observation {
        demand: demand(0, 0, &[]),
        fleet: fleet(1, 1, &[]),
    };
    let spec = Spec { max: 0, ..spec() };
    let (history, now_ms) = after(61, &seen, &spec);
    assert_eq!(decide(&seen, &spec, &history, now_ms).desired, 0);
}

#[test]
fn manual_and_paused_are_obeyed_even_without_a_queue() {
    for demand in [None, demand(500, 60, &[])] {
        let seen = Observation {
            demand,
            fleet: fleet(3, 3, &[]),
        };
        let manual = Spec {
            mode: Mode::Manual(6),
            ..spec()
        };
        let decision = decide(&seen, &manual, &History::default(), 0);
        assert_eq!((decision.desired, decision.reason), (6, Reason::Manual));
        let paused = Spec {
            mode: Mode::Paused,
            ..spec()
        };
        let decision = decide(&seen, &paused, &History::default(), 0);
        assert_eq!((decision.desired, decision.reason), (3, Reason::Paused));
    }
}

#[test]
fn measured_speed_counts_after_five_tasks_and_the_expected_one_before() {
    let factors = Factors {
        expected: BTreeMap::from([("big".to_owned(), 2.0)]),
        default: 10.0,
    };
    let mut measured = BTreeMap::new();
    assert_eq!(factors.work_ms("small", 60_000, &measured), 6_000);
    assert_eq!(factors.work_ms("big", 60_000, &measured), 30_000);
    let sums = |samples| queue::RealTimeFactor {
        audio_ms: 600.0,
        busy_ms: 20.0,
        samples,
    };
    measured.insert("big".to_owned(), sums(4));
    assert_eq!(factors.work_ms("big", 60_000, &measured), 30_000);
    measured.insert("big".to_owned(), sums(5));
    assert_eq!(factors.work_ms("big", 60_000, &measured), 2_000);
    measured.insert(
        "big".to_owned(),
        queue::RealTimeFactor {
            audio_ms: 0.0,
            ..sums(50)
        },
    );
    assert!(factors.work_ms("big", u64::MAX, &measured) > 0);
}

#[test]
fn a_task_that_overruns_still_has_something_left() {
    let seen = queue::Observation {
        in_flight_count: 2,
        in_flight: [1_000, 500_000]
            .map(|age_ms| queue::InFlight {
                id: "a".to_owned(),
                worker: format!("w{age_ms}"),
                model: "m".to_owned(),
                audio_ms: 100_000,
                age_ms,
                alone: false,
            })
            .to_vec(),
        ..queue::Observation::default()
    };
    let demand = Demand::read(
        &seen,
        &Factors {
            expected: BTreeMap::new(),
            default: 1.0,
        },
    );
    let left: Vec<i64> = demand.running.iter().map(|task| task.left_ms).collect();
    assert_eq!(left, [99_000, 10_000]);
}

#[test]
fn the_record_holds_the_largest_numbers_in_a_kilobyte_and_is_worked_out_to_the_same() {
    let huge = Observation {
        demand: Some(Demand {
            held: false,
            queued: i64::MAX,
            queued_ms: i64::MAX,
            running_tasks: i64::MAX,
            running: (0..999)
                .map(|number| Running {
                    id: String::new(),
                    worker: number.to_string(),
                    left_ms: i64::MAX,
                })
                .collect(),
            oldest_wait_ms: i64::MAX,
        }),
        fleet: Fleet {
            replicas: i32::MAX,
            ready: i32::MAX,
            starting_ms: vec![i64::MAX; 99],
            rollout: true,
            cold_start_ms: i64::MAX,
        },
    };
    let spec = Spec {
        mode: Mode::Auto,
        min: i32::MAX,
        max: i32::MAX,
        target_ms: i64::MAX,
        zero_delay_ms: i64::MAX,
        down_window_ms: i64::MAX,
    };
    let decision = decide(&huge, &spec, &History::default(), i64::MAX);
    let record = write_record(&decision.inputs);
    assert!(
        record.len() <= MOST_RECORD_BYTES,
        "{} bytes: {record}",
        record.len()
    );
    assert_eq!(read_record(&record).unwrap(), decision);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever is seen: between the bounds or as it was, never a panic, never fewer for more work, and it can be replayed.
    #[test]
    fn whatever_is_seen(
        queued in 0i64..5000, each_s in 0i64..5000, running in proptest::collection::vec(0i64..5000, 0..20),
        replicas in 0i32..20, starting in 0usize..5, cold in 0i64..400, min in 0i32..4, extra in 0i32..20, watched in 0i64..400,
    ) {
        let spec = Spec { min, max: min + extra, ..spec() };
        let starting = starting.min(replicas as usize);
        let fleet = Fleet {
            replicas,
            ready: replicas - starting as i32,
            starting_ms: vec![5_000; starting],
            rollout: false,
            cold_start_ms: cold * SECOND,
        };
        let seen = Observation { demand: demand(queued, each_s, &running), fleet };
        let (history, now_ms) = after(watched, &seen, &spec);
        let decision = decide(&seen, &spec, &history, now_ms);
        prop_assert!(decision.desired <= spec.max);
        prop_assert!(decision.desired >= spec.min);
        prop_assert!(decision.desired >= 0);
        if decision.desired == 0 && replicas > 0 {
            prop_assert!(queued == 0 && running.is_empty() && watched * SECOND >= spec.zero_delay_ms || spec.max == 0);
        }
        let more = Observation { demand: demand(queued + 10, each_s.max(1), &running), ..seen.clone() };
        let with_more = decide(&more, &spec, &history, now_ms);
        prop_assert!(with_more.needed >= decision.needed);
        // Nothing flows back: with the number it asked for, it asks for the same.
        let mut obeyed = seen.clone();
        obeyed.fleet.starting_ms.resize(starting + (decision.desired - replicas).max(0) as usize, 0);
        obeyed.fleet.replicas = decision.desired.max(replicas);
        if decision.desired > replicas {
            prop_assert_eq!(decide(&obeyed, &spec, &history, now_ms).desired, decision.desired);
        }
        prop_assert_eq!(read_record(&write_record(&decision.inputs)).unwrap(), decision);
    }
}

//! When one more worker is worth its start, and how many more are.

use super::*;

#[test]
fn no_new_worker_for_what_the_present_ones_do_in_a_few_starts() {
    // A start takes 50 s: three of them are less than twice the target of 120 s.
    let quick = Fleet {
        cold_start_ms: 50 * SECOND,
        ..fleet(1, 1, &[])
    };
    let decision = fresh(demand(15, 10, &[]), quick.clone());
    assert_eq!(
        (decision.desired, decision.reason),
        (1, Reason::ColdStartNotWorthIt),
        "150 s"
    );
    let more = fresh(demand(16, 10, &[]), quick.clone());
    assert_eq!(
        (more.desired, more.reason),
        (1, Reason::ColdStartNotWorthIt),
        "160 s, of which 110 s are left when another one could begin: that is within the target"
    );
    let more = fresh(demand(20, 10, &[]), quick);
    assert_eq!(
        (more.desired, more.reason),
        (2, Reason::BacklogAboveTarget),
        "200 s, of which 150 s are left"
    );
}

#[test]
fn slow_starts_make_nobody_wait_for_more_than_twice_the_target() {
    let slow = Fleet {
        cold_start_ms: 200 * SECOND,
        ..fleet(1, 1, &[])
    };
    assert_eq!(fresh(demand(24, 10, &[]), slow.clone()).desired, 1, "240 s");
    let more = fresh(demand(40, 10, &[]), slow);
    assert_eq!(more.desired, 2, "400 s, of which 200 s are left");
    // A start that is longer than that: nothing that is done before it ends is worth one.
    let slower = Fleet {
        cold_start_ms: 300 * SECOND,
        ..fleet(1, 1, &[])
    };
    assert_eq!(fresh(demand(30, 10, &[]), slower.clone()).desired, 1);
    assert_eq!(
        fresh(demand(45, 10, &[]), slower).desired,
        2,
        "150 s are left"
    );
}

#[test]
fn who_is_bound_to_a_long_task_does_nothing_of_what_waits() {
    let busy = fleet(1, 1, &[]);
    let free_soon = fresh(demand(1, 10, &[130]), busy.clone());
    assert_eq!(
        (free_soon.desired, free_soon.reason),
        (1, Reason::ColdStartNotWorthIt)
    );
    let bound = fresh(demand(1, 10, &[1800]), busy);
    assert_eq!(
        (bound.desired, bound.reason),
        (2, Reason::BacklogAboveTarget),
        "it would wait for half an hour"
    );
}

#[test]
fn of_those_that_are_starting_the_part_of_the_start_that_lies_behind_them_counts() {
    let starting = Fleet {
        cold_start_ms: 240 * SECOND,
        ..fleet(2, 0, &[100, 100])
    };
    assert_eq!(
        fresh(demand(28, 10, &[]), starting.clone()).desired,
        2,
        "280 s: both have begun after 140 s, and after 240 s they leave 80 s"
    );
    assert_eq!(fresh(demand(80, 10, &[]), starting).desired, 5, "800 s");
}

#[test]
fn who_was_asked_for_and_is_not_seen_yet_is_not_asked_for_again() {
    let work = demand(100, 12, &[]);
    let spec = Spec { max: 50, ..spec() };
    let with = |fleet: Fleet| {
        let seen = Observation {
            demand: work.clone(),
            fleet,
        };
        decide(&seen, &spec, &History::default(), 0).desired
    };
    let asked = with(fleet(1, 1, &[]));
    assert!((5..10).contains(&asked), "{asked}");
    assert_eq!(with(fleet(asked, 1, &[])), asked, "no pod is there yet");
    let starting = vec![0; asked as usize - 1];
    assert_eq!(with(fleet(asked, 1, &starting)), asked);
}

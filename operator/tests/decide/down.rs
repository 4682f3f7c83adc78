//! When workers may go, and which windows must have passed before.

use super::*;

#[test]
fn zero_only_after_the_quiet_window() {
    let seen = Observation {
        demand: demand(0, 0, &[]),
        fleet: fleet(1, 1, &[]),
    };
    let (history, _) = after(100, &seen, &spec());
    let early = decide(&seen, &spec(), &history, 299 * SECOND);
    assert_eq!((early.desired, early.reason), (1, Reason::IdleSoonZero));
    assert!(early.message.contains("in 1 s"), "{}", early.message);
    let late = decide(&seen, &spec(), &history, 300 * SECOND);
    assert_eq!((late.desired, late.reason), (0, Reason::Idle));
}

#[test]
fn one_task_starts_the_quiet_window_anew() {
    let idle = Observation {
        demand: demand(0, 0, &[]),
        fleet: fleet(1, 1, &[]),
    };
    let busy = Observation {
        demand: demand(0, 0, &[5]),
        ..idle.clone()
    };
    let (mut history, now_ms) = after(290, &idle, &spec());
    history.note(
        &decide(&busy, &spec(), &history, now_ms),
        60 * SECOND,
        now_ms,
    );
    let decision = decide(&idle, &spec(), &history, now_ms + 20 * SECOND);
    assert_eq!(decision.desired, 1);
}

#[test]
fn the_others_go_before_the_last_one() {
    let decision = long(
        demand(0, 0, &[]),
        fleet(5, 5, &[]),
        &Spec {
            zero_delay_ms: 9_000 * SECOND,
            ..spec()
        },
    );
    assert_eq!(
        (decision.desired, decision.reason),
        (1, Reason::FewerAreEnough)
    );
}

#[test]
fn blind_time_is_no_quiet_time() {
    let idle = Observation {
        demand: demand(0, 0, &[]),
        fleet: fleet(1, 1, &[]),
    };
    let blind = Observation {
        demand: None,
        ..idle.clone()
    };
    let (mut history, now_ms) = after(299, &idle, &spec());
    history.note(
        &decide(&blind, &spec(), &history, now_ms),
        60 * SECOND,
        now_ms,
    );
    assert_eq!(
        decide(&idle, &spec(), &history, now_ms + 2 * SECOND).desired,
        1
    );
}

#[test]
fn fewer_must_have_been_enough_for_the_whole_window() {
    let busy = Observation {
        demand: demand(40, 12, &[]),
        fleet: fleet(4, 4, &[]),
    };
    let calm = Observation {
        demand: demand(1, 12, &[]),
        ..busy.clone()
    };
    let (mut history, start_ms) = after(100, &busy, &spec());
    let mut fell_at = None;
    for second in 1..=70 {
        let now_ms = start_ms + second * SECOND;
        let decision = decide(&calm, &spec(), &history, now_ms);
        history.note(&decision, 60 * SECOND, now_ms);
        if decision.desired < 4 && fell_at.is_none() {
            fell_at = Some(second);
            assert_eq!(decision.reason, Reason::FewerAreEnough);
        } else if fell_at.is_none() {
            assert_eq!(decision.reason, Reason::Stabilizing);
        }
    }
    assert_eq!(fell_at, Some(61));
}

#[test]
fn a_new_leader_looks_on_before_it_takes_away() {
    let seen = Observation {
        demand: demand(0, 0, &[]),
        fleet: fleet(5, 5, &[]),
    };
    let first = decide(&seen, &spec(), &History::default(), 77 * SECOND);
    assert_eq!((first.desired, first.reason), (5, Reason::Stabilizing));
}

#[test]
fn nobody_goes_while_others_start_and_tasks_wait() {
    let work = demand(1, 12, &[]);
    let waiting = long(work.clone(), fleet(4, 3, &[10]), &spec());
    assert_eq!(
        (waiting.desired, waiting.reason),
        (4, Reason::WorkersStarting)
    );
    let empty = long(demand(0, 0, &[5]), fleet(4, 3, &[10]), &spec());
    assert_eq!(
        empty.desired, 1,
        "nothing waits: the starting one is superfluous"
    );
}

#[test]
fn nobody_goes_during_a_rollout() {
    let rollout = Fleet {
        rollout: true,
        ..fleet(4, 4, &[])
    };
    let decision = long(demand(0, 0, &[]), rollout, &spec());
    assert_eq!(
        (decision.desired, decision.reason),
        (4, Reason::RolloutInProgress)
    );
}

#[test]
fn a_clock_that_goes_backwards_takes_nobody_away() {
    let seen = Observation {
        demand: demand(0, 0, &[]),
        fleet: fleet(2, 2, &[]),
    };
    let (history, _) = after(30, &seen, &spec());
    assert_eq!(
        decide(&seen, &spec(), &history, -1_000_000 * SECOND).desired,
        2
    );
}

//! The short form of `make sim`: what is promised on the committed traces.

use operator::sim::{Trace, committed, compare, descents, generate};

#[test]
fn all_traces_are_there_and_read_back_as_written() {
    let names: Vec<String> = committed().into_iter().map(|trace| trace.name).collect();
    assert_eq!(
        names,
        [
            "poisson", "bursts", "long", "mixed", "cold", "deaths", "trickle", "day"
        ]
    );
    for trace in generate(7) {
        assert_eq!(Trace::read(&trace.write()).as_ref(), Some(&trace));
    }
}

#[test]
fn never_much_worse_than_the_usual_rule_unless_waits_are_halved() {
    for trace in committed() {
        let found = compare(&trace, 1);
        assert_eq!(
            (found.ours.unfinished, found.ours.busy_kills),
            (0, 0),
            "{}",
            found.trace
        );
        assert!(
            found.holds() || found.bought(),
            "{}: GPU {:.2}, wait {:.2}",
            found.trace,
            found.gpu_ratio(),
            found.wait_ratio()
        );
        if ["bursts", "long"].contains(&&*found.trace) {
            assert!(
                found.better_in_both(),
                "{}: GPU {:.2}, wait {:.2}",
                found.trace,
                found.gpu_ratio(),
                found.wait_ratio()
            );
        }
    }
}

#[test]
fn no_busy_worker_among_a_thousand_that_are_taken_away() {
    let (all, busy, unfinished) = descents(1000, 11);
    assert!(all >= 1000);
    assert_eq!((busy, unfinished), (0, 0));
}

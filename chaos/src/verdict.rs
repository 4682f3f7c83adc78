//! What the ledger says about the promises: each count beside its limit. Pure, so that tests can show that each promise, when
//! broken, is seen to be broken.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::{Blow, Ledger, Ms, What};
use crate::reruns::{Class, p99, reruns};

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) seen: String,
    pub(crate) limit: String,
    pub(crate) holds: bool,
}

/// What must have been done for the run to count, and how many tasks there are.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) tasks: usize,
    pub(crate) blows: Vec<Blow>,
}

/// Longest p99 of the delay until a task runs again, by who could know of the loss.
const LIMITS_MS: [(Class, &str, Ms); 3] = [
    (
        Class::Watched,
        "re-run p99, supervised worker SIGKILLed",
        5_000,
    ),
    (
        Class::Unwatched,
        "re-run p99, nobody saw it (bare SIGKILL, SIGSTOP, Redis)",
        20_000,
    ),
    (Class::Told, "re-run p99, worker SIGTERMed", 2_000),
];

pub(crate) fn verdict(ledger: &Ledger, terms: &Terms) -> Vec<Line> {
    let tasks = terms.tasks as u64;
    let of = |state: &str| {
        let endings = ledger.endings.values();
        endings.filter(|ending| ending.state == state).count() as u64
    };
    let mut lines = vec![
        exactly(
            "tasks that the API knows",
            ledger.endings.len() as u64,
            tasks,
        ),
        exactly("succeeded", of("succeeded"), tasks),
        exactly(
            "results that differ from an undisturbed run",
            ledger
                .endings
                .values()
                .filter(|ending| !ending.is_right)
                .count() as u64,
            0,
        ),
        exactly(
            "completions counted by the queue",
            ledger.leftovers.completed,
            tasks,
        ),
        exactly(
            "tasks announced as completed more than once",
            doubled(ledger),
            0,
        ),
        exactly(
            "stuck 60 s after the last fault",
            ledger.stuck.len() as u64,
            0,
        ),
    ];
    let reruns = reruns(ledger);
    for (class, what, limit) in LIMITS_MS {
        let of_class = || reruns.iter().filter(|rerun| rerun.class == class);
        let delay = p99(of_class().map(|rerun| rerun.delay_ms).collect());
        let raw = p99(of_class().map(|rerun| rerun.raw_ms).collect());
        lines.push(Line {
            what: what.to_owned(),
            seen: match (delay, raw) {
                (Some(delay), Some(raw)) => format!(
                    "{} of {} (worst {}; with the wait for a free worker {})",
                    seconds(delay),
                    of_class().count(),
                    seconds(of_class().map(|rerun| rerun.delay_ms).max().unwrap_or(0)),
                    seconds(raw)
                ),
                _ => "not measured: no such fault hit a task".to_owned(),
            },
            limit: format!("<= {}", seconds(limit)),
            holds: delay.is_some_and(|delay| delay <= limit),
        });
    }
    let (again, held) = (executions_beyond_first(ledger), held(ledger));
    lines.push(Line {
        what: "executions beyond the first".to_owned(),
        seen: again.to_string(),
        limit: format!("<= {held}, held by whom the faults hit"),
        holds: again <= held,
    });
    lines.push(exactly(
        "executions that no fault explains",
        unexplained(ledger),
        0,
    ));
    for blow in &terms.blows {
        let count = ledger
            .faults
            .iter()
            .filter(|fault| fault.blow == *blow)
            .count();
        lines.push(Line {
            what: format!("faults: {}", blow.name()),
            seen: count.to_string(),
            limit: ">= 1".to_owned(),
            holds: count > 0,
        });
    }
    let left = &ledger.leftovers;
    lines.extend([
        exactly(
            "processes that died by themselves",
            ledger.surprises.len() as u64,
            0,
        ),
        exactly("task:processing at the end", left.processing, 0),
        exactly("task:results (outbox) at the end", left.outbox, 0),
        exactly("task:work at the end", left.work, 0),
        exactly("task:inflight at the end", left.inflight, 0),
        exactly("what fsck had to mend", left.fsck, 0),
        exactly(
            "tasks without a stored result",
            ledger
                .endings
                .values()
                .filter(|ending| ending.results == 0)
                .count() as u64,
            0,
        ),
    ]);
    lines
}

/// Results of overtaken attempts: nobody is given them, and the API's sweeper removes them after an hour.
pub(crate) fn orphans(ledger: &Ledger) -> usize {
    let endings = ledger.endings.values();
    endings.map(|ending| ending.results.saturating_sub(1)).sum()
}

pub(crate) fn executions_beyond_first(ledger: &Ledger) -> u64 {
    let mut runs: BTreeMap<&str, u64> = BTreeMap::new();
    for event in &ledger.events {
        if let What::Claimed { .. } = event.what {
            *runs.entry(&event.task).or_default() += 1;
        }
    }
    let endings = ledger.endings.iter();
    endings
        .map(|(task, ending)| {
            // Redis' own count also knows the claims that we missed; ours also those that a restart made it forget.
            let runs = runs.get(task.as_str()).copied().unwrap_or(0);
            runs.max(ending.attempts).saturating_sub(1)
        })
        .sum()
}

/// Runs of a task whose run before was not held by anybody that a fault hit: the sum alone would let one hide behind a task that
/// was hit and got through.
fn unexplained(ledger: &Ledger) -> u64 {
    let hits = ledger.faults.iter().flat_map(|fault| &fault.held);
    let hits: BTreeSet<(&str, u64)> = hits
        .map(|(task, attempt)| (task.as_str(), *attempt))
        .collect();
    let again = ledger.events.iter().filter(|event| match event.what {
        What::Claimed { attempt, .. } => {
            attempt > 1 && !hits.contains(&(event.task.as_str(), attempt - 1))
        }
        _ => false,
    });
    again.count() as u64
}

pub(crate) fn held(ledger: &Ledger) -> u64 {
    ledger
        .faults
        .iter()
        .map(|fault| fault.held.len() as u64)
        .sum()
}

fn doubled(ledger: &Ledger) -> u64 {
    let mut completed: BTreeMap<&str, u64> = BTreeMap::new();
    for event in &ledger.events {
        if event.what == What::Completed {
            *completed.entry(&event.task).or_default() += 1;
        }
    }
    completed.values().filter(|count| **count > 1).count() as u64
}

pub(crate) fn exactly(what: &str, seen: u64, limit: u64) -> Line {
    Line {
        what: what.to_owned(),
        seen: seen.to_string(),
        limit: limit.to_string(),
        holds: seen == limit,
    }
}

fn seconds(ms: Ms) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ending, Event, Fault, Leftovers, Life, Victim};

    fn event(at: Ms, task: &str, what: What) -> Event {
        Event {
            at,
            task: task.into(),
            what,
        }
    }

    fn claim(at: Ms, task: &str, attempt: u64) -> Event {
        let worker = "idle".into();
        event(at, task, What::Claimed { worker, attempt })
    }

    /// Three tasks, each taken from its worker by another blow, each run again in time.
    fn good() -> (Ledger, Terms) {
        let mut ledger = Ledger {
            lives: vec![Life {
                worker: "other".into(),
                from: 0,
                to: None,
            }],
            leftovers: Leftovers {
                completed: 3,
                ..Leftovers::default()
            },
            ..Ledger::default()
        };
        for (task, blow, is_supervised) in [
            ("watched", Blow::Kill, true),
            ("bare", Blow::Kill, false),
            ("told", Blow::Term, false),
        ] {
            let victim = Victim {
                worker: "idle".into(),
                is_supervised,
            };
            ledger.events.extend([
                claim(100, task, 1),
                event(1100, task, What::Back),
                claim(1200, task, 2),
                event(1300, task, What::Completed),
            ]);
            ledger.faults.push(Fault {
                at: 1000,
                blow,
                victim: Some(victim),
                held: vec![(task.into(), 1)],
            });
            let ending = Ending {
                state: "succeeded".into(),
                is_right: true,
                attempts: 2,
                results: 1,
                ..Ending::default()
            };
            ledger.endings.insert(task.into(), ending);
        }
        ledger.events.sort_by_key(|event| event.at);
        let blows = vec![Blow::Kill, Blow::Term];
        (ledger, Terms { tasks: 3, blows })
    }

    fn broken(ledger: &Ledger, terms: &Terms) -> Vec<String> {
        let lines = verdict(ledger, terms).into_iter();
        lines
            .filter(|line| !line.holds)
            .map(|line| line.what)
            .collect()
    }

    #[test]
    fn a_good_run_breaks_nothing() {
        let (ledger, terms) = good();
        assert_eq!(broken(&ledger, &terms), [""; 0]);
        assert_eq!((executions_beyond_first(&ledger), held(&ledger)), (3, 3));
    }

    #[test]
    fn every_broken_promise_is_seen_and_nothing_else() {
        type Break = fn(&mut Ledger);
        let ending = |ledger: &mut Ledger, change: fn(&mut Ending)| {
            change(ledger.endings.get_mut("bare").unwrap());
        };
        let table: [(&str, Break); 19] = [
            ("tasks that the API knows", |ledger| {
                ledger.endings.insert(
                    "more".into(),
                    Ending {
                        is_right: true,
                        results: 1,
                        ..Ending::default()
                    },
                );
            }),
            ("succeeded", |ledger| {
                ledger.endings.get_mut("bare").unwrap().state = "failed".into()
            }),
            ("results that differ", |ledger| {
                ledger.endings.get_mut("told").unwrap().is_right = false
            }),
            ("completions counted", |ledger| {
                ledger.leftovers.completed = 4
            }),
            ("announced as completed", |ledger| {
                ledger.events.push(event(1400, "bare", What::Completed))
            }),
            ("stuck", |ledger| ledger.stuck.push("bare".into())),
            ("supervised worker SIGKILLed", |ledger| {
                late(ledger, "watched", 6_101)
            }),
            ("nobody saw it", |ledger| late(ledger, "bare", 21_101)),
            ("worker SIGTERMed", |ledger| late(ledger, "told", 3_101)),
            ("executions beyond", |ledger| {
                ledger.endings.get_mut("bare").unwrap().attempts = 3
            }),
            ("executions beyond", |ledger| {
                ledger.events.push(claim(1250, "told", 2))
            }),
            ("executions that no fault explains", |ledger| {
                ledger.faults[1].held = vec![("got through".into(), 1)]
            }),
            ("faults: worker SIGTERM", |ledger| {
                ledger.faults.iter_mut().for_each(|fault| {
                    if fault.blow == Blow::Term {
                        fault.blow = Blow::ApiKilled;
                    }
                });
            }),
            ("died by themselves", |ledger| {
                ledger.surprises.push("x".into())
            }),
            ("task:processing", |ledger| ledger.leftovers.processing = 1),
            ("outbox", |ledger| ledger.leftovers.outbox = 1),
            ("task:work", |ledger| ledger.leftovers.work = 1),
            ("task:inflight", |ledger| ledger.leftovers.inflight = 1),
            ("fsck", |ledger| ledger.leftovers.fsck = 1),
        ];
        for (what, break_it) in table {
            let (mut ledger, terms) = good();
            break_it(&mut ledger);
            let broken = broken(&ledger, &terms);
            // Where no such fault hits a task, its delay is not measured either: that is told too.
            let unmeasured = ["faults", "executions that"]
                .iter()
                .any(|start| what.starts_with(start));
            let most = if unmeasured { 2 } else { 1 };
            assert!(
                broken.iter().any(|line| line.contains(what)) && broken.len() <= most,
                "{what}: {broken:?}"
            );
        }
        let (mut ledger, terms) = good();
        ending(&mut ledger, |ending| ending.results = 0);
        assert_eq!(broken(&ledger, &terms), ["tasks without a stored result"]);
        ending(&mut ledger, |ending| ending.results = 3);
        assert_eq!((broken(&ledger, &terms).len(), orphans(&ledger)), (0, 2));
    }

    /// The task is back and claimed only then, with a worker free all the time.
    fn late(ledger: &mut Ledger, task: &str, at: Ms) {
        for event in &mut ledger.events {
            if event.task == task && event.at > 1000 {
                event.at += at - 1100;
            }
        }
        ledger.events.sort_by_key(|event| event.at);
    }
}

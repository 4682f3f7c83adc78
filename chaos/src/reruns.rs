//! How long each task that a blow took from its worker waited for its next run. Pure: from the ledger to delays.
//!
//! The delay is the way back into the queue, plus the time in the queue during which a living worker held nothing: while all are
//! busy, a task waits for them and not for the protocol. Time in which Redis did not serve is taken off, and an outage longer than
//! a lease starts the clock anew, because the queue then grants every running task one more lease.

use std::collections::BTreeMap;

use crate::ledger::{Blow, Event, Fault, Ledger, Ms, What};

/// The queue's lease.
pub(crate) const LEASE_MS: Ms = 15_000;

/// Who could know of the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// A parent saw its child die.
    Watched,
    /// Nobody saw it: the lease had to run out.
    Unwatched,
    /// The worker was told to stop and handed back.
    Told,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rerun {
    pub(crate) class: Class,
    pub(crate) task: String,
    pub(crate) delay_ms: Ms,
    /// From the blow to the claim, whatever came between.
    pub(crate) raw_ms: Ms,
}

type Span = (Ms, Ms);

pub(crate) fn reruns(ledger: &Ledger) -> Vec<Rerun> {
    let mut by_task: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in &ledger.events {
        by_task.entry(&event.task).or_default().push(event);
    }
    let free = free(ledger);
    let outages: Vec<Span> = ledger
        .outages
        .iter()
        .map(|outage| (outage.from, outage.to))
        .collect();
    let mut found = Vec::new();
    for fault in &ledger.faults {
        let Some(class) = class(fault) else { continue };
        for (task, attempt) in &fault.held {
            let events = by_task.get(task.as_str()).map_or(&[][..], Vec::as_slice);
            if let Some((delay_ms, raw_ms)) = delay(fault.at, *attempt, events, &free, &outages) {
                found.push(Rerun {
                    class,
                    task: task.clone(),
                    delay_ms,
                    raw_ms,
                });
            }
        }
    }
    found
}

fn class(fault: &Fault) -> Option<Class> {
    let supervised = fault.victim.as_ref().map(|victim| victim.is_supervised);
    match (fault.blow, supervised) {
        (Blow::Kill, Some(true)) => Some(Class::Watched),
        (Blow::Kill, Some(false)) | (Blow::Freeze, Some(_)) => Some(Class::Unwatched),
        (Blow::Term, Some(_)) => Some(Class::Told),
        (Blow::RedisKilled | Blow::RedisStopped | Blow::RedisPaused, _) => Some(Class::Unwatched),
        _ => None,
    }
}

/// None: there was no other run, because the one that was hit got its result through.
fn delay(
    blow: Ms,
    attempt: u64,
    events: &[&Event],
    free: &[Span],
    outages: &[Span],
) -> Option<(Ms, Ms)> {
    let after = events.iter().filter(|event| event.at >= blow);
    let mut back = None;
    for event in after {
        match &event.what {
            What::Back => {
                back.get_or_insert(event.at);
            }
            What::Claimed { attempt: next, .. } if *next > attempt => {
                let claimed = event.at;
                let start = outages
                    .iter()
                    .filter(|(from, to)| to - from > LEASE_MS && *from < claimed && *to > blow)
                    .map(|(_, to)| *to)
                    .fold(blow, Ms::max)
                    .min(claimed);
                // Nobody told that it came back: then all of the time counts.
                let back = back.unwrap_or(claimed).clamp(start, claimed);
                let way = back - start - overlap(&[(start, back)], outages);
                let waiting = clip(free, (back, claimed));
                let waited = total(&waiting) - overlap(&waiting, outages);
                return Some((way + waited, claimed - blow));
            }
            What::Claimed { .. } => {}
            What::Completed | What::Failed => return None,
        }
    }
    None
}

/// When at least one living worker held nothing: disjoint, in order.
fn free(ledger: &Ledger) -> Vec<Span> {
    let end = ledger.events.last().map_or(0, |event| event.at);
    let mut holds: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
    let mut running: BTreeMap<&str, (&str, Ms)> = BTreeMap::new();
    for event in &ledger.events {
        if let Some((worker, since)) = running.remove(event.task.as_str()) {
            holds.entry(worker).or_default().push((since, event.at));
        }
        if let What::Claimed { worker, .. } = &event.what {
            running.insert(&event.task, (worker, event.at));
        }
    }
    for (worker, since) in running.into_values() {
        holds
            .entry(worker)
            .or_default()
            .push((since, end.max(since)));
    }
    let mut spans: Vec<Span> = Vec::new();
    for life in &ledger.lives {
        let held = holds.get(life.worker.as_str()).cloned().unwrap_or_default();
        let mut at = life.from;
        for (from, to) in merged(held) {
            if from > at {
                spans.push((at, from.min(life.to.unwrap_or(end))));
            }
            at = at.max(to);
        }
        spans.push((at, life.to.unwrap_or(end)));
    }
    spans.retain(|(from, to)| from < to);
    merged(spans)
}

fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut out: Vec<Span> = Vec::new();
    for (from, to) in spans {
        match out.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => out.push((from, to)),
        }
    }
    out
}

fn clip(spans: &[Span], (from, to): Span) -> Vec<Span> {
    let cut = spans.iter().map(|span| (span.0.max(from), span.1.min(to)));
    cut.filter(|(from, to)| from < to).collect()
}

fn total(spans: &[Span]) -> Ms {
    spans.iter().map(|(from, to)| to - from).sum()
}

/// How much of `spans` lies within `others`.
fn overlap(spans: &[Span], others: &[Span]) -> Ms {
    spans.iter().map(|span| total(&clip(others, *span))).sum()
}

/// Nearest rank.
pub(crate) fn p99(mut delays: Vec<Ms>) -> Option<Ms> {
    delays.sort_unstable();
    let rank = (delays.len() * 99).div_ceil(100);
    delays.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Life, Outage, Victim};

    fn event(at: Ms, task: &str, what: What) -> Event {
        Event {
            at,
            task: task.into(),
            what,
        }
    }

    fn claimed(at: Ms, task: &str, worker: &str, attempt: u64) -> Event {
        let worker = worker.into();
        event(at, task, What::Claimed { worker, attempt })
    }

    /// Worker `a` claims `t` at 0 and is killed at 1000; `b` lives from the beginning.
    fn killed(events: Vec<Event>) -> Ledger {
        let life = |worker: &str, to| Life {
            worker: worker.into(),
            from: 0,
            to,
        };
        let mut ledger = Ledger {
            events: vec![claimed(0, "t", "a", 1)],
            lives: vec![life("a", Some(1000)), life("b", None)],
            ..Ledger::default()
        };
        ledger.events.extend(events);
        let worker = "a".into();
        let is_supervised = false;
        ledger.faults.push(Fault {
            at: 1000,
            blow: Blow::Kill,
            victim: Some(Victim {
                worker,
                is_supervised,
            }),
            held: vec![("t".into(), 1)],
        });
        ledger
    }

    fn delays(ledger: &Ledger) -> Vec<(Ms, Ms)> {
        let found = reruns(ledger);
        found
            .iter()
            .map(|rerun| (rerun.delay_ms, rerun.raw_ms))
            .collect()
    }

    #[test]
    fn the_way_back_counts_whole_and_the_wait_only_while_somebody_is_free() {
        // `b` is idle: everything counts.
        let idle = killed(vec![
            event(5000, "t", What::Back),
            claimed(7000, "t", "b", 2),
        ]);
        assert_eq!(delays(&idle), [(6000, 6000)]);
        // `b` is busy until 6500: only half a second of the wait counts.
        let busy = killed(vec![
            claimed(500, "u", "b", 1),
            event(5000, "t", What::Back),
            event(6500, "u", What::Completed),
            claimed(7000, "t", "b", 2),
        ]);
        assert_eq!(delays(&busy), [(4500, 6000)]);
    }

    #[test]
    fn a_way_back_that_nobody_heard_of_counts_whole() {
        let silent = killed(vec![claimed(500, "u", "b", 1), claimed(9000, "t", "c", 2)]);
        assert_eq!(delays(&silent), [(8000, 8000)]);
    }

    #[test]
    fn a_result_that_got_through_is_no_rerun() {
        let through = killed(vec![event(1001, "t", What::Completed)]);
        assert_eq!(delays(&through), []);
    }

    #[test]
    fn short_outages_are_taken_off_and_long_ones_start_the_clock_anew() {
        let mut short = killed(vec![
            event(9000, "t", What::Back),
            claimed(9000, "t", "b", 2),
        ]);
        short.outages.push(Outage {
            from: 2000,
            to: 5000,
        });
        assert_eq!(delays(&short), [(5000, 8000)]);
        let mut long = killed(vec![
            event(40_000, "t", What::Back),
            claimed(40_000, "t", "b", 2),
        ]);
        long.outages.push(Outage {
            from: 2000,
            to: 22_000,
        });
        assert_eq!(delays(&long), [(18_000, 39_000)]);
    }

    #[test]
    fn nobody_is_free_in_a_time_without_workers() {
        let mut dead = killed(vec![
            event(2000, "t", What::Back),
            claimed(8000, "t", "b", 2),
        ]);
        dead.lives[1].from = 7000;
        assert_eq!(delays(&dead), [(2000, 7000)]);
    }

    #[test]
    fn the_99th_of_a_hundred_is_not_the_worst() {
        assert_eq!(p99((1..=100).collect()), Some(99));
        assert_eq!(p99(vec![5, 9]), Some(9));
        assert_eq!(p99(Vec::new()), None);
    }
}

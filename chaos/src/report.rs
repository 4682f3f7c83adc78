//! The table at the end: what was counted, beside its limit.

use std::fmt::Write;

use crate::ledger::Ledger;
use crate::verdict::{Line, orphans};

pub(crate) fn table(lines: &[Line]) -> String {
    let width = |column: fn(&Line) -> &str| {
        let widths = lines.iter().map(|line| column(line).chars().count());
        widths.max().unwrap_or(0)
    };
    let (what, seen) = (width(|line| &line.what), width(|line| &line.seen));
    let mut text = String::new();
    for line in lines {
        let mark = if line.holds { "ok    " } else { "BROKEN" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {mark}  {:<what$}  {:<seen$}  {}",
            line.what, line.seen, line.limit
        );
    }
    text
}

/// What has no limit, but belongs beside the rest.
pub(crate) fn remarks(ledger: &Ledger) -> String {
    format!(
        "\n  re-run = from the fault until the task is back in its queue, plus the time in the queue while a living worker held nothing\n  \
         (a worker lives from its registration to the blow that hits it; a stopped one again from its next claim). While Redis is\n  \
         away no time counts; after an outage longer than a lease the count starts anew. \"with the wait\" = everything counts.\n\n  \
         also    {} calls with a stale token refused; {} results of overtaken attempts in the store (the sweeper removes them after an hour); {} upload tries",
        ledger.leftovers.fenced,
        orphans(ledger),
        ledger.upload_tries,
    )
}

/// How busy the machine was, with whatever else ran on it.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let words: Vec<&str> = text.split(' ').take(3).collect();
    format!("load {} on {cores} cores", words.join(" "))
}

//! The contenders beside each other: interleaved rounds in rotated order, medians, ranges and ratios.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, Result};
use bench::numbers::{largest, median, smallest, table};

use crate::contender::{self, Contender, Load, Run};
use crate::pickup::verdict;

const ASKED_TIMES_ASYNQ: f64 = 2.0;
/// An aim, not a promise: it depends on the machine.
const AIM_CYCLES: f64 = 10_000.0;

/// Who is there, and who is not.
pub(crate) struct Peers {
    contenders: Vec<Contender>,
    missing: Vec<(String, String)>,
}

impl Peers {
    /// From standard input; none where that is a terminal.
    pub(crate) fn read() -> Result<Self> {
        let mut peers = Self {
            contenders: vec![
                Contender {
                    name: "ours".to_owned(),
                    command: Vec::new(),
                },
                Contender {
                    name: "bare lists".to_owned(),
                    command: vec![
                        std::env::current_exe()?.display().to_string(),
                        "bare".to_owned(),
                    ],
                },
            ],
            missing: Vec::new(),
        };
        let input = std::io::stdin();
        if input.is_terminal() {
            return Ok(peers);
        }
        for line in input.lock().lines() {
            let line = line?;
            let mut words = line.split('\t').map(str::to_owned);
            let name = words.next().context("a line names a peer")?;
            match words.next().as_deref() {
                Some("run") => peers.contenders.push(Contender {
                    name,
                    command: words.collect(),
                }),
                _ => peers.missing.push((name, words.collect())),
            }
        }
        Ok(peers)
    }
}

/// How it was measured, so that a reader can disagree.
pub(crate) fn explain() {
    println!(
        "Method. Each contender is a process of its own beside a fresh redis-server (append-only file, fsync each second)."
    );
    println!(
        "After a warm-up of 1,000 tasks 8 clients enqueue all tasks, each one call at a time; then 8"
    );
    println!(
        "workers (asynq, BullMQ: concurrency 8; RQ: 8 processes) take, run (nothing) and acknowledge each. cycles/s = tasks over both"
    );
    println!(
        "phases together. Ours has every event published and heard, and its outbox emptied, by a further thread of the same process, which"
    );
    println!(
        "waits 1 ms between reading and acknowledging, for the commit that an API makes there;"
    );
    println!(
        "its clock stops when the last final record has left the outbox. A run in which not every id ended exactly once is void."
    );
    println!(
        "asynq gives each client a connection of its own. Ours has those of a deployment: all enqueues and completions go over the one"
    );
    println!(
        "of the API, which is where workers hand results in, and the claims of four slots over that of their worker. \"bare lists\" does"
    );
    println!(
        "next to nothing in its three round trips (no lease, token, event, outbox), a connection a client."
    );
    println!(
        "Redis us = processor time of the server for one task (INFO cpu), part of it inside scripts; commands = those that it ran for"
    );
    println!(
        "one task, inside scripts too; clients us = processor time of the contender. All share this machine's cores."
    );
}

/// Prints, and returns what was promised and not kept.
pub(crate) fn run(peers: &Peers, load: Load, rounds: usize, only: &str) -> Result<Vec<String>> {
    println!();
    println!(
        "full cycle, {:?}, payload {} B, {} tasks (RQ fewer), {} clients, {rounds} interleaved rounds, median (range):",
        load.transport, load.payload, load.tasks, load.clients
    );
    let field: Vec<&Contender> = peers
        .contenders
        .iter()
        .filter(|one| one.name.starts_with(only))
        .collect();
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); field.len()];
    for round in 0..rounds {
        for turn in 0..field.len() {
            let at = (round + turn) % field.len();
            runs[at].push(contender::run(field[at], load)?);
        }
    }
    let median_rate = |runs: &[Run]| median(&runs.iter().map(Run::rate).collect::<Vec<_>>());
    let ours = median_rate(&runs[0]);
    let rows: Vec<Vec<String>> = field
        .iter()
        .zip(&runs)
        .map(|(contender, runs)| {
            let column = |of: &dyn Fn(&Run) -> f64| runs.iter().map(of).collect::<Vec<f64>>();
            let per_task = |of: &dyn Fn(&Run) -> f64| {
                format!("{:.1}", median(&column(&|run| of(run) / run.tasks as f64)))
            };
            let rates = column(&Run::rate);
            vec![
                contender.name.clone(),
                format!("{:.0}", median(&rates)),
                format!("({:.0}-{:.0})", smallest(&rates), largest(&rates)),
                format!("{:.2}", ours / median(&rates)),
                format!(
                    "{:.0}",
                    median(&column(
                        &|run| run.tasks as f64 / run.figures.enqueue_seconds
                    ))
                ),
                format!(
                    "{:.0}",
                    median(&column(&|run| run.tasks as f64 / run.figures.drain_seconds))
                ),
                per_task(&|run| run.server.cpu_seconds * 1e6),
                per_task(&|run| run.server.script_seconds * 1e6),
                per_task(&|run| run.server.commands),
                per_task(&|run| run.figures.cpu_seconds * 1e6),
            ]
        })
        .collect();
    table(
        &[
            "contender",
            "cycles/s",
            "range",
            "ours / it",
            "enqueue/s",
            "drain/s",
            "Redis us",
            "in scripts us",
            "commands",
            "clients us",
        ],
        &rows,
    );
    let rate_of = |name: &str| {
        let at = field.iter().position(|one| one.name == name)?;
        Some(median_rate(&runs[at]))
    };
    let broken = rate_of("ours").and_then(|ours| judge(load, ours, rate_of("asynq")));
    for (name, why) in &peers.missing {
        println!("  {name}: not measured: {why}");
    }
    Ok(broken.into_iter().collect())
}

/// Says how ours stands to what was asked for, and returns that if it was not kept.
fn judge(load: Load, ours: f64, asynq: Option<f64>) -> Option<String> {
    let reached = if ours >= AIM_CYCLES {
        "reached"
    } else {
        "not reached"
    };
    println!("  aim: {AIM_CYCLES} cycles/s: {ours:.0}, {reached}");
    let Some(asynq) = asynq else {
        println!("  asked for: {ASKED_TIMES_ASYNQ} times asynq: not measured, it is not here");
        return None;
    };
    let ratio = ours / asynq;
    let kept = ratio >= ASKED_TIMES_ASYNQ;
    println!(
        "  asked for: {ASKED_TIMES_ASYNQ} times asynq: {ratio:.2} times, {}",
        verdict(kept)
    );
    (!kept).then(|| {
        format!(
            "asked for {ASKED_TIMES_ASYNQ} times asynq, seen {ratio:.2} times ({:?}, payload {} B)",
            load.transport, load.payload
        )
    })
}

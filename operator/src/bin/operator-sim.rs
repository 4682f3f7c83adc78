//! `make sim`: prints how our scaler and KEDA's rule do on each trace, and ends badly where less comes out than is promised.

#![expect(clippy::print_stdout, reason = "what it finds goes to standard output")]

use std::process::ExitCode;

use clap::Parser;
use operator::sim::{committed, compare, descents, generate};

#[derive(Parser)]
#[command(about = "Our scaler beside KEDA's rule, in simulated time")]
struct Cli {
    /// The first seed: of node starts, of those whom nodes take with them, and of KEDA's victims.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds; what is printed are means over them.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// How many workers to take away in the search for one that was busy.
    #[arg(long, default_value_t = 10_000)]
    descents: u64,
    /// Only this trace.
    #[arg(long)]
    only: Option<String>,
    /// Writes the traces into this folder anew, and does nothing else. Results change with them.
    #[arg(long)]
    write_traces: Option<std::path::PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    if let Some(folder) = cli.write_traces {
        for trace in generate(0) {
            std::fs::write(folder.join(format!("{}.csv", trace.name)), trace.write())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "sim: means of {} seeds from {} on; ours at a pool's defaults, KEDA at 30 s/5/300 s, HPA 15 s",
        cli.seeds, cli.seed
    );
    println!("          wait = from arrival to end, less the work itself\n");
    println!(
        "{:<9} {:>5}  {:>8} {:>8} {:>6}  {:>8} {:>8} {:>6}  {:>7} {:>7}  {:>11} {:>11}",
        "trace",
        "tasks",
        "GPU-h",
        "KEDA",
        "ratio",
        "p95 wait",
        "KEDA",
        "ratio",
        "p50",
        "KEDA",
        "busy kills",
        "KEDA"
    );
    let (mut bad, mut bought) = (Vec::new(), Vec::new());
    for trace in committed() {
        if cli.only.as_ref().is_some_and(|only| *only != trace.name) {
            continue;
        }
        let found = compare(&trace, cli.seed..cli.seed.saturating_add(cli.seeds));
        let (ours, keda) = (found.ours, found.keda);
        println!(
            "{:<9} {:>5}  {:>8.2} {:>8.2} {:>6.2}  {:>6.0} s {:>6.0} s {:>6.2}  {:>5.0} s {:>5.0} s  {:>5}/{:<5} {:>5}/{:<5}",
            found.trace,
            ours.tasks,
            ours.gpu_hours,
            keda.gpu_hours,
            found.gpu_ratio(),
            ours.p95_wait_s,
            keda.p95_wait_s,
            found.wait_ratio(),
            ours.p50_wait_s,
            keda.p50_wait_s,
            ours.busy_kills,
            ours.descents,
            keda.busy_kills,
            keda.descents,
        );
        if ours.unfinished > 0 || ours.busy_kills > 0 {
            bad.push(format!(
                "{}: tasks lost or workers ended at work",
                found.trace
            ));
        }
        if found.bought() && !found.holds() {
            bought.push(format!(
                "{:<9} {:.2} times the GPU-hours buy {:.2} times the wait; with twice the target: {:.2} and {:.2}",
                found.trace,
                found.gpu_ratio(),
                found.wait_ratio(),
                found.patient.gpu_hours / keda.gpu_hours,
                found.patient.p95_wait_s / keda.p95_wait_s,
            ));
        } else if !found.holds() {
            bad.push(format!("{}: less than promised", found.trace));
        }
        if ["bursts", "long"].contains(&&*found.trace) && !found.better_in_both() {
            bad.push(format!("{}: not better in both", found.trace));
        }
    }
    if cli.only.is_none() {
        let (all, busy, unfinished) = descents(cli.descents, cli.seed);
        println!(
            "\n{all} workers taken away on random traces: {busy} of them busy, {unfinished} tasks unfinished"
        );
        if busy > 0 || unfinished > 0 {
            bad.push("busy workers were taken away".to_owned());
        }
    }
    if !bought.is_empty() {
        println!("\nmore than a twentieth dearer, explained in docs/scaling.md:");
    }
    for line in &bought {
        println!("{line}");
    }
    for line in &bad {
        println!("NOT HELD  {line}");
    }
    Ok(if bad.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

//! `make bench-api`: what the API service costs under many large uploads, and under many event streams. It drives the real
//! `wtt-api` process over HTTP; it knows routes and nothing of their code.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod recording;
mod service;
mod streams;
mod uploads;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use bench::numbers::{largest, percentile, table};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::service::{Memory, Service};

const GROWTH_LIMIT_MIB: f64 = 64.0;
const READ_LIMIT_MS: f64 = 10.0;

/// Measures the API service as a process.
#[derive(Parser)]
#[command(name = "bench-api")]
struct Cli {
    #[arg(long, default_value = "target/release/wtt-api")]
    program: PathBuf,
    /// Folder for recordings while it runs: the uploads need their size on disk.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
    /// Uploads at once.
    #[arg(long, default_value_t = 32)]
    uploads: usize,
    #[arg(long, default_value_t = 100_000_000)]
    upload_bytes: usize,
    /// Event streams at once.
    #[arg(long, default_value_t = 1000)]
    streams: usize,
    /// Tasks that they listen to.
    #[arg(long, default_value_t = 100)]
    tasks: usize,
    /// How long the tasks run.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    raise_file_limit(2 * cli.streams as u64 + 500)?;
    let memory_row = |name: String, memory: Memory| {
        let cell = |value: f64| format!("{value:.1}");
        vec![
            name,
            cell(memory.before),
            cell(memory.most),
            cell(memory.after),
            cell(memory.growth()),
        ]
    };
    let mut failures = Vec::new();

    println!(
        "wtt-api as a process with its defaults (SQLite, recordings on disk), a Redis of its own, RSS every 20 ms"
    );
    println!();
    let service = Service::start(&cli.program, &cli.scratch).await?;
    let uploaded = uploads::run(&service, cli.uploads, cli.upload_bytes).await?;
    let megabytes = cli.uploads as f64 * cli.upload_bytes as f64 / 1e6;
    println!(
        "{} uploads of {} MB at once: {} accepted with the right sha256, {:.1} s, {:.0} MB/s",
        cli.uploads,
        cli.upload_bytes / 1_000_000,
        cli.uploads - uploaded.wrong.len(),
        uploaded.seconds,
        megabytes / uploaded.seconds
    );
    for wrong in &uploaded.wrong {
        println!("  {wrong}");
    }
    if !uploaded.wrong.is_empty() {
        failures.push(format!(
            "{} uploads went wrong: {}",
            uploaded.wrong.len(),
            service.log()
        ));
    }
    drop(service);

    let service = Service::start(&cli.program, &cli.scratch).await?;
    let streamed = streams::run(&service, cli.streams, cli.tasks, cli.seconds).await?;
    println!(
        "{} event streams on {} tasks with progress twice a second for {} s: {} connected throughout, {} events, {} told the end",
        cli.streams, cli.tasks, cli.seconds, streamed.connected, streamed.events, streamed.ended
    );
    if streamed.ended != cli.streams || streamed.connected != cli.streams {
        failures.push(format!(
            "not every stream lived to its end: {}",
            service.log()
        ));
    }
    println!();
    table(
        &[
            "memory of wtt-api, MiB",
            "before",
            "most",
            "after",
            "growth",
        ],
        &[
            memory_row(format!("{} uploads", cli.uploads), uploaded.memory),
            memory_row(format!("{} event streams", cli.streams), streamed.memory),
        ],
    );
    println!();
    let read_row = |name: &str, ms: &[f64]| {
        let cell = |value: f64| format!("{value:.2}");
        vec![
            name.to_owned(),
            ms.len().to_string(),
            cell(percentile(ms, 50.0)),
            cell(percentile(ms, 99.0)),
            cell(largest(ms)),
        ]
    };
    table(
        &[
            "reads of a state, 50 a second",
            "reads",
            "p50 ms",
            "p99 ms",
            "most ms",
        ],
        &[
            read_row("without streams", &streamed.alone_ms),
            read_row("beside the streams", &streamed.reads_ms),
        ],
    );
    for (what, memory) in [
        ("uploads", uploaded.memory),
        ("event streams", streamed.memory),
    ] {
        if memory.growth() >= GROWTH_LIMIT_MIB {
            failures.push(format!(
                "memory grew by {:.1} MiB with the {what}",
                memory.growth()
            ));
        }
    }
    if percentile(&streamed.reads_ms, 99.0) >= READ_LIMIT_MS {
        failures.push("a read took too long".to_owned());
    }
    println!();
    println!(
        "  promised: growth < {GROWTH_LIMIT_MIB} MiB each, reads p99 < {READ_LIMIT_MS} ms, every upload right, every stream to its end: {}",
        if failures.is_empty() {
            "kept"
        } else {
            "NOT KEPT"
        }
    );
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

/// Children inherit it.
fn raise_file_limit(wanted: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        setrlimit(Resource::Nofile, raised).context("failed to raise the limit of open files")?;
    }
    let limit = getrlimit(Resource::Nofile).current;
    ensure!(
        limit.is_none_or(|limit| limit >= wanted),
        "{wanted} open files are needed; raise the limit: ulimit -n {wanted}"
    );
    Ok(())
}

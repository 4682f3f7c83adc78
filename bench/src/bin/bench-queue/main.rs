//! `make bench-queue`: full cycles a second beside other queues, processor time for each task at any depth, and how soon an
//! idle worker has a new task. It drives the queue through its public interface and starts every server itself.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod bare;
mod contender;
mod flat;
mod ours;
mod pickup;
mod versus;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::contender::Transport;

/// Measures the queue on a real redis-server, beside others. Without a part: all of them.
#[derive(Parser)]
#[command(name = "bench-queue")]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// Full cycles a second, beside the peers whose lines come on standard input (scripts/bench/peers.sh prints them).
    Versus(Versus),
    /// What a task costs the server at rising depth.
    Flat(Flat),
    /// How soon an idle worker has a new task.
    Pickup(Pickup),
    /// Our contender alone, as `versus` starts it.
    #[command(hide = true)]
    Ours(ours::Options),
    /// Three round trips that do nearly nothing.
    #[command(hide = true)]
    Bare(bare::Options),
}

#[derive(Args)]
struct Versus {
    /// Tasks of one run.
    #[arg(long, default_value_t = 20_000)]
    tasks: usize,
    /// Runs of each contender.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Bytes of each payload.
    #[arg(long, value_delimiter = ',', default_values_t = [120, 4096])]
    payload: Vec<usize>,
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Transport::Tcp, Transport::Unix])]
    transport: Vec<Transport>,
    /// Only contenders whose name begins so.
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(Args)]
struct Flat {
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1_000, 100_000, 1_000_000])]
    depths: Vec<usize>,
    /// Tasks that come and go at each.
    #[arg(long, default_value_t = 5_000)]
    cycles: usize,
}

#[derive(Args)]
struct Pickup {
    /// Tasks of each rate.
    #[arg(long, default_value_t = 2_000)]
    tasks: usize,
}

/// The defaults of a part.
#[derive(Parser)]
struct Defaults<P: Args> {
    #[command(flatten)]
    part: P,
}

fn defaults<P: Args>() -> P {
    Defaults::<P>::parse_from(["bench-queue"]).part
}

fn main() -> Result<()> {
    let broken = match Cli::parse().part {
        None => {
            let parts = [
                versus(&defaults())?,
                flat(&defaults())?,
                pickup(&defaults())?,
            ];
            parts.concat()
        }
        Some(Part::Versus(options)) => versus(&options)?,
        Some(Part::Flat(options)) => flat(&options)?,
        Some(Part::Pickup(options)) => pickup(&options)?,
        Some(Part::Ours(options)) => {
            println!("{}", serde_json::to_string(&ours::run(&options)?)?);
            return Ok(());
        }
        Some(Part::Bare(options)) => {
            println!("{}", serde_json::to_string(&bare::run(&options)?)?);
            return Ok(());
        }
    };
    // Last, so that all that was seen is printed, whatever was not kept.
    println!();
    for promise in &broken {
        println!("NOT KEPT: {promise}");
    }
    ensure!(
        broken.is_empty(),
        "{} promises were not kept; they stand above",
        broken.len()
    );
    println!("every promise that was measured was kept");
    Ok(())
}

/// Like `flat` and `pickup`: what was promised and not kept.
fn versus(options: &Versus) -> Result<Vec<String>> {
    let peers = versus::Peers::read()?;
    versus::explain();
    let mut broken = Vec::new();
    for transport in &options.transport {
        for payload in &options.payload {
            let load = contender::Load {
                tasks: options.tasks,
                warm_up: 1000,
                clients: options.clients,
                payload: *payload,
                transport: *transport,
            };
            broken.extend(versus::run(&peers, load, options.rounds, &options.only)?);
        }
    }
    Ok(broken)
}

fn flat(options: &Flat) -> Result<Vec<String>> {
    runtime()?.block_on(flat::run(&options.depths, options.cycles))
}

fn pickup(options: &Pickup) -> Result<Vec<String>> {
    runtime()?.block_on(pickup::run(options.tasks))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

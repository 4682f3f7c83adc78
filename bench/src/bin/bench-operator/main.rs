//! `make bench-operator`: the real `wtt-operator` before a real API server and the real controllers, with the real API and a
//! real Redis. Only nodes are missing: kwok plays the pods, and this program the workers in them. scripts/bench/operator.sh
//! brings the control plane up and takes it down again.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod audit;
mod failover;
mod jobs;
mod latency;
mod metrics;
mod programs;
mod removals;
mod rig;
mod stage;
mod verdict;
mod watched;
mod workers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use tokio::time::Instant;

use crate::rig::Rig;

/// Measures the operator on the control plane that KUBECONFIG names.
#[derive(Debug, Parser)]
#[command(name = "bench-operator")]
struct Cli {
    /// Folder with wtt-operator and wtt-api.
    #[arg(long, default_value = "target/release")]
    programs: PathBuf,
    /// The administrator's kubeconfig.
    #[arg(long, env = "KUBECONFIG")]
    kubeconfig: PathBuf,
    /// The API server's audit log.
    #[arg(long)]
    audit_log: PathBuf,
    /// Folder for logs and data of this run; it is not removed.
    #[arg(long)]
    folder: PathBuf,
    /// Everything in small, to see that it works: minutes less, and no figures worth keeping.
    #[arg(long)]
    short: bool,
    /// Samples of the time from a task to its Deployment, of each kind.
    #[arg(long)]
    samples: Option<usize>,
    /// Workers to be removed.
    #[arg(long)]
    removals: Option<usize>,
    /// Rounds of each way to end a leader.
    #[arg(long)]
    rounds: Option<usize>,
    /// TranscriptionJobs.
    #[arg(long)]
    jobs: Option<usize>,
    /// Seconds of idleness.
    #[arg(long)]
    idle: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    // An error says that a provider is chosen already, which is as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    let clock = Clock::start();
    let mut rig = Rig::start(&cli.programs, &cli.folder, &cli.kubeconfig, &cli.audit_log).await?;
    let ended = measure(&mut rig, &cli, &clock).await;
    // What was counted before something went wrong is worth seeing, too.
    println!();
    rig.verdict.print();
    println!();
    ended?;
    let broken = rig.verdict.broken();
    ensure!(broken.is_empty(), "broken: {}", broken.join("; "));
    Ok(())
}

async fn measure(rig: &mut Rig, cli: &Cli, clock: &Clock) -> Result<()> {
    let size = |given: Option<usize>, full: usize, short: usize| {
        given.unwrap_or(if cli.short { short } else { full })
    };
    let jobs = size(cli.jobs, 10_000, 500);
    let idle = Duration::from_secs(cli.idle.unwrap_or(if cli.short { 15 } else { 60 }));
    let leader = rig.operator("a").await?;
    rig.watched
        .leader_other_than("", Duration::from_secs(60))
        .await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let resident = rig.resident_mib(&leader)?;
    rig.verdict.tell(
        "memory of the leader, nothing to do",
        String::new(),
        format!("{resident:.0} MiB"),
    );
    clock.tell("start");
    latency::run(rig, size(cli.samples, 80, 10)).await?;
    clock.tell("from task to Deployment");
    removals::run(rig, &leader, size(cli.removals, 1000, 60)).await?;
    clock.tell("workers removed");
    let pair = failover::run(rig, leader, size(cli.rounds, 4, 1)).await?;
    clock.tell("leaders ended");
    jobs::fill(rig, &pair.0, jobs, jobs / 10).await?;
    clock.tell("jobs");
    let leader = jobs::second_pass(rig, pair, jobs).await?;
    clock.tell("second pass");
    jobs::idle(rig, &leader, idle).await?;
    clock.tell("idleness");
    Ok(())
}

/// Says how long each part took.
struct Clock {
    last: std::cell::Cell<Instant>,
}

impl Clock {
    fn start() -> Self {
        Self {
            last: Instant::now().into(),
        }
    }

    fn tell(&self, part: &str) {
        let took = self.last.replace(Instant::now()).elapsed();
        println!("bench-operator: {part}: {:.0} s", took.as_secs_f64());
    }
}

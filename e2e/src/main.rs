//! End-to-end tests: the charts, the images and the programs on a real cluster, as people install and use them.
//! It knows what users see (kubectl, helm, REST) and nothing of how our crates are built inside. The cluster is brought up by
//! scripts/e2e.sh; this program installs, tries, looks, and uninstalls.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal and for the log of CI"
)]

mod audit;
mod cases;
mod charts;
mod command;
mod diagnosis;
mod objects;
mod recording;
mod release;
mod rest;
mod source;
mod wait;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::cases::{Case, Extent};
use crate::world::World;

/// Tries the charts and images on the cluster that KUBECONFIG names.
#[derive(Parser)]
#[command(name = "e2e", version)]
pub(crate) struct Args {
    /// short: install, one job, 0 -> 1 -> 0, one refusal, uninstall; normal: every outcome; full: also what takes long.
    #[arg(long, value_enum, default_value = "normal")]
    extent: Extent,

    /// Only cases whose name contains this; may be repeated. Install and uninstall always run.
    #[arg(long)]
    only: Vec<String>,

    /// Leave everything installed at the end, to look at it.
    #[arg(long)]
    keep: bool,

    /// Say which cases there are, and end.
    #[arg(long)]
    list: bool,

    /// Check the charts instead, without a cluster, or also against the one that KUBECONFIG names.
    #[arg(long)]
    charts: bool,

    /// Install without the operator: a plain Deployment of workers.
    #[arg(long)]
    without_operator: bool,

    /// Address of this machine as pods reach it; recordings are served there.
    #[arg(long, env = "E2E_HOST", default_value = "127.0.0.1")]
    host: std::net::IpAddr,

    /// Folder on the node for volumes; without one, the cluster's default storage class has to make them.
    #[arg(long, env = "E2E_VOLUMES")]
    volumes: Option<PathBuf>,

    /// The API server's audit log, where it can be read.
    #[arg(long, env = "E2E_AUDIT_LOG")]
    audit_log: Option<PathBuf>,

    /// A script that stops and starts a part of the cluster: `SCRIPT stop|start PART`.
    #[arg(long, env = "E2E_PARTS")]
    parts: Option<PathBuf>,

    /// The program whose notes are the right ones.
    #[arg(long, env = "E2E_WTT", default_value = "target/release/wtt")]
    wtt: PathBuf,

    /// Folder on the node with the networks that this machine has installed; a job is tried with one of them.
    #[arg(long, env = "E2E_MODELS")]
    models: Option<PathBuf>,

    /// How many scale-downs beside busy workers the full extent tries.
    #[arg(long, default_value_t = 50)]
    scale_downs: u32,
}

fn main() -> ExitCode {
    // An error says that a provider is chosen already, which is as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let args = Args::parse();
    let chosen = cases::chosen(&args);
    if args.list {
        for case in &chosen {
            println!("{}", case.name);
        }
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("e2e: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let work = async {
        if args.charts {
            charts::check(std::env::var_os("KUBECONFIG").is_some()).await?;
            return Ok(0);
        }
        run(args, chosen).await
    };
    match runtime.block_on(work) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Installs, runs the cases one after the other, uninstalls. Answers how many failed.
async fn run(args: Args, chosen: Vec<Case>) -> anyhow::Result<usize> {
    let keep = args.keep;
    let world = World::start(args).await?;
    let mut failed = Vec::new();
    let began = Instant::now();
    if !part(
        &world,
        "install",
        Duration::from_secs(300),
        release::install(&world),
    )
    .await
    {
        failed.push("install");
    }
    if failed.is_empty() {
        for case in &chosen {
            if !part(&world, case.name, case.limit, (case.run)(&world)).await {
                failed.push(case.name);
            }
        }
    }
    if keep {
        println!("e2e: left in namespace {}", world.namespace);
    } else if !part(
        &world,
        "uninstall_leaves_no_stuck_namespace",
        Duration::from_secs(180),
        release::uninstall(&world),
    )
    .await
    {
        failed.push("uninstall_leaves_no_stuck_namespace");
    }
    println!(
        "e2e: {} of {} parts passed in {:.1} min{}",
        chosen.len() + 2 - failed.len().min(chosen.len() + 2),
        chosen.len() + 2,
        began.elapsed().as_secs_f64() / 60.0,
        if failed.is_empty() {
            String::new()
        } else {
            format!("; FAILED: {}", failed.join(", "))
        }
    );
    Ok(failed.len())
}

/// One part, within its time; a failure prints what the cluster looks like while it still does.
async fn part(
    world: &World,
    name: &str,
    limit: Duration,
    work: impl Future<Output = anyhow::Result<()>>,
) -> bool {
    let began = Instant::now();
    let outcome = match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(anyhow::anyhow!("not done within {} s", limit.as_secs())),
    };
    let seconds = began.elapsed().as_secs_f64();
    match outcome {
        Ok(()) => {
            println!("ok      {seconds:6.1} s  {name}");
            true
        }
        Err(error) => {
            println!("FAILED  {seconds:6.1} s  {name}: {error:#}");
            diagnosis::print(world).await;
            false
        }
    }
}

//! Workers on nodes that come and go: the real Karpenter, scheduler, controllers and operator, on nodes and pods that kwok plays.
//! Nothing runs in such pods, so their workers are played from here, in a Redis of our own. It is for what only the API server
//! sees of node pools; scripts/nodepools.sh brings the cluster up, and what real pods do is the business of the other program.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal and for the log of CI"
)]

mod cases;
mod cluster;
mod diagnosis;
mod operator;
mod story;
#[path = "../wait.rs"]
mod wait;
mod workers;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::cases::Outcome;
use crate::world::World;

/// Tries node pools on the control plane that KUBECONFIG names, where kwok and Karpenter run.
#[derive(Parser)]
#[command(name = "e2e-nodepools", version)]
pub(crate) struct Args {
    /// The operator under test.
    #[arg(
        long,
        env = "E2E_OPERATOR",
        default_value = "target/release/wtt-operator"
    )]
    operator: PathBuf,

    /// Where the cluster's parts log to; the operator does too.
    #[arg(long, env = "E2E_LOGS")]
    logs: PathBuf,
}

/// An outcome by its name, the seconds that it may take, and what brings it about.
type Case = (&'static str, u64, fn(&World) -> Outcome<'_>);

/// Each begins where the one before it ended, so a failure ends the run.
const CASES: [Case; 4] = [
    (
        "three_tasks_bring_three_gpu_nodes_from_none",
        120,
        |world| Box::pin(cases::three_tasks_bring_three_gpu_nodes_from_none(world)),
    ),
    (
        "a_node_under_a_busy_worker_stays_while_karpenter_replaces_another",
        480,
        |world| {
            Box::pin(
                cases::a_node_under_a_busy_worker_stays_while_karpenter_replaces_another(world),
            )
        },
    ),
    ("idle_workers_go_and_their_nodes_with_them", 240, |world| {
        Box::pin(cases::idle_workers_go_and_their_nodes_with_them(world))
    }),
    ("when_all_is_done_no_node_is_left", 180, |world| {
        Box::pin(cases::when_all_is_done_no_node_is_left(world))
    }),
];

fn main() -> ExitCode {
    // An error says that a provider is chosen already, which is as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let args = Args::parse();
    let outcome = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(args)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("nodepools: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<bool> {
    let logs = args.logs.clone();
    let mut world = match World::start(args).await {
        Ok(world) => world,
        Err(error) => {
            diagnosis::print(&logs).await;
            return Err(error);
        }
    };
    let mut passed = 0;
    for (name, seconds, case) in CASES {
        let limit = Duration::from_secs(seconds);
        let began = world.story.elapsed();
        let outcome = tokio::time::timeout(limit, case(&world))
            .await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("not done within {seconds} s")));
        let took = (world.story.elapsed() - began).as_secs_f64();
        match outcome {
            Ok(()) => println!("ok      {took:6.1} s  {name}"),
            Err(error) => {
                println!("FAILED  {took:6.1} s  {name}: {error:#}");
                diagnosis::print(&logs).await;
                break;
            }
        }
        passed += 1;
    }
    world.end().await;
    println!(
        "nodepools: {passed} of {} passed in {:.1} min",
        CASES.len(),
        world.story.elapsed().as_secs_f64() / 60.0
    );
    Ok(passed == CASES.len())
}

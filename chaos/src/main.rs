//! `make chaos`: runs the release binaries as separate processes, breaks them on purpose while they work, and counts what became of
//! each task. `rig` holds the system, `faults` the blows, `storm` when they fall; `watch` and `client` fill the `ledger`, and
//! `verdict` says which promise was kept. Nothing in the product knows of this program.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod client;
mod faults;
mod ledger;
mod melody;
mod poison;
mod processes;
mod report;
mod reruns;
mod resp;
mod rig;
mod storm;
mod verdict;
mod watch;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use rand::SeedableRng;
use rand::rngs::StdRng;

use melody::{Recording, recordings};
use processes::Place;
use rig::{Rig, Size};
use storm::Plan;
use verdict::{Line, Terms, verdict};

/// What a task costs one core: a worker is mostly in the middle of one when it is hit.
const COST_SECONDS: f64 = 0.5;

/// Breaks a running system on purpose and counts what became of each task.
#[derive(Debug, Parser)]
struct Args {
    /// Recordings to upload at once.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(20..=5000))]
    tasks: u32,

    /// Worker processes, half of them under a supervisor.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=64))]
    workers: u32,

    /// A minute instead of many: SQLite, short recordings, one of each fault that fits.
    #[arg(long)]
    short: bool,

    /// Repeats the choices of an earlier run; the moments in which they fall are never quite the same.
    #[arg(long)]
    seed: Option<u64>,

    /// Keep the folder with the logs and the data, whatever comes out.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    match chaos(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Without the stack, which says nothing about the system under test.
            println!("chaos: FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every limit held.
fn chaos(args: &Args) -> anyhow::Result<bool> {
    let seed = args.seed.unwrap_or_else(rand::random);
    let folder = workplace()?;
    println!(
        "chaos: {} tasks, {} workers, seed {seed} (again: --seed {seed}); {}",
        args.tasks,
        args.workers,
        report::load()
    );
    // One thread for everything: a child's death signal belongs to the thread that starts it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = tokio::task::LocalSet::new().block_on(&runtime, run(args, seed, folder.path()));
    let is_good = outcome
        .as_ref()
        .is_ok_and(|lines| lines.iter().all(|line| line.holds));
    if !is_good || args.keep {
        println!("chaos: logs and data are in {}", folder.keep().display());
    }
    outcome.map(|_| is_good)
}

/// A folder for this run, with the programs under test: they lie beside our own, and a build in the middle of the run must not
/// change them. It lies beside theirs too, because they find libtorch from where they lie.
fn workplace() -> anyhow::Result<tempfile::TempDir> {
    let own = std::env::current_exe()?;
    let binaries = own.parent().context("this program lies nowhere")?;
    let above = binaries.parent().context("its folder lies nowhere")?;
    let folder = tempfile::Builder::new()
        .prefix("chaos-")
        .tempdir_in(above)?;
    for name in ["wtt", "wtt-api", "wtt-worker"] {
        let (from, to) = (binaries.join(name), folder.path().join(name));
        std::fs::hard_link(&from, &to)
            .or_else(|_| std::fs::copy(&from, &to).map(drop))
            .with_context(|| format!("{} cannot be used: run `make build`", from.display()))?;
    }
    Ok(folder)
}

async fn run(args: &Args, seed: u64, folder: &Path) -> anyhow::Result<Vec<Line>> {
    let begun = Instant::now();
    let count = if args.short { 8 } else { 24 };
    let songs = recordings(
        &folder.join("wtt"),
        &folder.join("recordings"),
        seed,
        count,
        COST_SECONDS,
    )?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut lines = storm(args, folder, &songs, &mut random).await?;
    lines.extend(deadly(args, folder, &songs).await?);
    println!("\n{}", report::table(&lines));
    let broken = lines.iter().filter(|line| !line.holds).count();
    println!(
        "chaos: {broken} of {} limits broken; {} s; {}; seed {seed}",
        lines.len(),
        begun.elapsed().as_secs(),
        report::load()
    );
    Ok(lines)
}

async fn storm(
    args: &Args,
    folder: &Path,
    songs: &[Recording],
    random: &mut StdRng,
) -> anyhow::Result<Vec<Line>> {
    let (tasks, plan) = match args.short {
        true => (args.tasks as usize, Plan::short(random)),
        false => (args.tasks as usize, Plan::long(random)),
    };
    let supervised = args.workers as usize / 2;
    let size = Size {
        bare: args.workers as usize - supervised,
        supervised,
        slots: 1,
        max_crashes: 20,
        has_postgres: !args.short,
    };
    let rig = Rig::start(place(folder, "storm"), size).await?;
    println!("chaos: the storm begins; a worker is killed every 3 s, and:");
    let begun = Instant::now();
    storm::rage(&rig, songs, tasks, &plan, random).await?;
    println!(
        "chaos: it took {} s; looking at every task; {}",
        begun.elapsed().as_secs(),
        report::load()
    );
    rig.take_stock(songs).await?;
    let terms = Terms {
        tasks,
        blows: plan.blows(),
    };
    let lines = verdict(&rig.ledger.borrow(), &terms);
    println!("{}", report::remarks(&rig.ledger.borrow()));
    fs_err::write(
        folder.join("ledger.txt"),
        format!("{:#?}", rig.ledger.borrow()),
    )?;
    rig.stop().await?;
    Ok(lines)
}

async fn deadly(args: &Args, folder: &Path, songs: &[Recording]) -> anyhow::Result<Vec<Line>> {
    // A bare worker's death costs a lease each time: in the short form all of them are supervised.
    let supervised = if args.short { 2 } else { 1 };
    let size = Size {
        bare: 2 - supervised,
        supervised,
        slots: 3,
        max_crashes: poison::MAX_CRASHES,
        has_postgres: false,
    };
    println!("chaos: one deadly song among 15 good ones");
    let rig = Rig::start(place(folder, "poison"), size).await?;
    let lines = poison::run(&rig, songs, 15).await?;
    fs_err::write(
        folder.join("ledger-poison.txt"),
        format!("{:#?}", rig.ledger.borrow()),
    )?;
    rig.stop().await?;
    Ok(lines)
}

fn place(folder: &Path, name: &str) -> Place {
    Place {
        binaries: folder.to_owned(),
        folder: folder.join(name),
    }
}

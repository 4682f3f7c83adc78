//! `make model`: the full size looked at to its end, then every planted defect. Prints what was seen; fails if a property
//! broke, if something was left unseen, or if a planted defect went unnoticed.

use std::process::ExitCode;

use queue_model::check::{Outcome, check, until_broken};
use queue_model::planted::PLANTED;
use queue_model::property;
use queue_model::size::SIZES;
use stateright::HasDiscoveries;

const LEAST_STATES: usize = 1_000_000;

#[expect(
    clippy::print_stdout,
    reason = "the report is what this program is for"
)]
fn main() -> ExitCode {
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2));
    let (mut fine, mut states) = (true, 0);
    for (name, size) in SIZES {
        println!("model: {name}: {size:?}");
        let outcome = check(*size, None, HasDiscoveries::AnyFailures, threads);
        fine &= report(&outcome);
        states += outcome.unique;
    }
    println!("model: {states} different states in all (at least {LEAST_STATES} are asked for)");
    fine &= states >= LEAST_STATES;
    println!("model: planted defects, each with the property that it must break");
    let mut killed = 0;
    for planted in PLANTED {
        let outcome = check(
            planted.size(),
            Some(planted.bug),
            until_broken(planted.breaks),
            1,
        );
        let bug = format!("{:?}", planted.bug);
        let short = planted.breaks.split(' ').next().unwrap_or_default();
        match outcome.broken.get(planted.breaks) {
            Some(found) => {
                killed += 1;
                let (steps, seen) = (found.actions.len(), outcome.unique);
                println!("  {bug:28} breaks {short} after {steps:2} steps ({seen} states)");
            }
            None => println!(
                "  {bug:28} DOES NOT BREAK {short}: {} states",
                outcome.unique
            ),
        }
    }
    println!("model: {killed} of {} planted defects found", PLANTED.len());
    fine &= killed == PLANTED.len();
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the report is what this program is for"
)]
fn report(outcome: &Outcome) -> bool {
    let Outcome {
        unique,
        steps,
        depth,
        took,
        ..
    } = outcome;
    let end = if outcome.exhausted {
        "all seen"
    } else {
        "NOT ALL SEEN"
    };
    println!(
        "  {unique} different states, {steps} steps, depth {depth}, {:.1} s, {end}",
        took.as_secs_f64()
    );
    for property in property::all() {
        let Some(found) = outcome.broken.get(property.name) else {
            println!("  holds   {}", property.name);
            continue;
        };
        println!(
            "  BROKEN  {} after {} steps:",
            property.name,
            found.actions.len()
        );
        for action in &found.actions {
            println!("            {action:?}");
        }
        println!("{}", found.last);
    }
    outcome.exhausted && outcome.broken.is_empty()
}

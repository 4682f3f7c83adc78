//! Random histories of the queue against a real redis-server: crashes, lost replies, zombies, duplicate pushes, old clients,
//! clock jumps, drains, parks, cancels, replays, restarts of Redis. Every answer is compared with a model's, the invariants
//! are looked up in Redis, and when the faults end, every task must.
//!
//! `QUEUE_TEST_SEED=N` repeats a run, `QUEUE_TEST_HISTORIES=N` makes it longer or shorter; `STEPS=N` is for the soak.

mod check;
mod fate;
mod faults;
mod model;
mod model_calls;
mod model_time;
mod operators;
mod owners;
mod plan;
mod planted;
mod run;
mod step;
mod view;
mod workers;
mod world;

use run::{Outcome, histories, say};

const STEPS: usize = 300;
const HISTORIES: u64 = 200;
const SOAK_STEPS: u64 = 1_000_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    match text.replace('_', "").parse() {
        Ok(number) => Some(number),
        Err(error) => panic!("{name}={text} is not a number: {error}"),
    }
}

fn seed() -> u64 {
    number("QUEUE_TEST_SEED").unwrap_or_else(|| rand::random::<u32>().into())
}

fn report(seed: u64, outcome: &Outcome) {
    say(&format!(
        "random histories from QUEUE_TEST_SEED={seed}: {}",
        outcome.text()
    ));
    if let Some(failure) = &outcome.failure {
        panic!("{}", failure.text());
    }
}

#[test]
fn random_histories_keep_every_rule() {
    let seed = seed();
    let many = number("QUEUE_TEST_HISTORIES").unwrap_or(HISTORIES);
    let outcome = histories(seed, many, STEPS, 2, false);
    report(seed, &outcome);
}

/// As long as `STEPS` says.
#[test]
#[ignore = "takes minutes: make soak"]
fn soak() {
    let steps = number("STEPS").unwrap_or(SOAK_STEPS);
    let seed = seed();
    let many = steps.div_ceil(STEPS as u64);
    say(&format!(
        "soak: {steps} steps in {many} histories, QUEUE_TEST_SEED={seed}"
    ));
    let outcome = histories(seed, many, STEPS, 2, true);
    report(seed, &outcome);
}

//! Random histories: workers crash, pause and come back, replies are lost, owners cancel, park and replay, old clients move
//! ids by hand. After each few steps the invariants hold; then faults end, and every task ends.
//!
//! `QUEUE_TEST_SEED=N` repeats a run, `QUEUE_TEST_HISTORIES=N` makes it longer.

use std::collections::BTreeMap;

use queue::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::*;

mod check;
mod steps;

const STEPS: usize = 200;
const CANCELS: [&str; 3] = ["cancelled", "deadline", "queue_deadline"];

struct Worker {
    name: String,
    slots: u32,
    held: Vec<Claim>,
}

/// What the test knows without asking Redis.
#[derive(Default)]
struct Known {
    life: u64,
    attempt: u32,
    /// Of the last claim, until it was lost or handed back.
    owner: Option<(Token, bool)>,
    solo_crashes: u32,
    records: BTreeMap<u64, u32>,
}

struct History {
    b: Bench,
    rng: StdRng,
    queues: [QueueName; 2],
    known: BTreeMap<String, Known>,
    workers: Vec<Worker>,
    zombies: Vec<Claim>,
    boots: u32,
    last_number: u64,
    /// Second copies of an id make the sums of the scaler vague; most histories have none.
    copies: bool,
}

struct Seed(u64);

impl Drop for Seed {
    #[expect(clippy::print_stderr, reason = "the seed of a failed run")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat with QUEUE_TEST_SEED={}", self.0);
        }
    }
}

async fn histories(salt: u64) {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let first = number("QUEUE_TEST_SEED").unwrap_or_else(|| rand::random::<u32>().into());
    let b = bench().await;
    for n in 0..number("QUEUE_TEST_HISTORIES").unwrap_or(50) {
        let seed = Seed(first + n);
        let _: String = b.cmd(&["FLUSHALL"]).await;
        b.clock.store(START_MS, std::sync::atomic::Ordering::SeqCst);
        let mut rng = StdRng::seed_from_u64(seed.0.wrapping_mul(2).wrapping_add(salt));
        let copies = rng.random_bool(0.2);
        let queues = [QueueName::default(), QueueName::parse("gpu").unwrap()];
        let mut h = History {
            b: b.clone(),
            rng,
            queues,
            known: BTreeMap::new(),
            workers: vec![],
            zombies: vec![],
            boots: 0,
            last_number: 0,
            copies,
        };
        for _ in 0..4 {
            h.boot();
        }
        for step in 0..STEPS {
            h.step().await;
            if step % 4 == 0 {
                h.check().await;
            }
        }
        h.drain().await;
    }
}

#[tokio::test]
async fn random_histories_even() {
    histories(0).await;
}

#[tokio::test]
async fn random_histories_odd() {
    histories(1).await;
}

//! The queue protocol as a model, every state of which is looked at. `docs/queue-protocol.md` is the text, the Lua files of
//! `queue/src/scripts` are the rules; this crate imports neither, so that a rule is written down a second time, by hand.
//!
//! `make model` looks at the full sizes (minutes), `cargo test --release -p queue-model` at small ones (seconds). Both also
//! plant defects, one rule left out at a time (`planted.rs`), and fail if one of them goes unnoticed.
//!
//! # What is modelled
//! - **Redis**: ready list, `:alone`, processing, leases, delayed, parked, dead letters, outbox with its numbers, the task hashes,
//!   the claim that `worker:{wid}` remembers, the ticket of those that run alone, the leader's epoch, the two sums.
//! - **Scripts**, each one atomic step that reads like its Lua: ENQUEUE, CLAIM, HEARTBEAT, COMPLETE, FAIL, RELEASE, CANCEL, PARK,
//!   UNPARK, REPLAY, FORGET, REAP (amnesty, adoption, promotion), EXPIRE_WORKER, ACK_RESULTS.
//! - **Workers**, which claim, store a result under a name of their token, hand it in, fail, hand back, and learn of
//!   cancels and limits by heartbeats. A worker whose lease ended knows nothing of it: every pause is also a zombie.
//! - **The API**: rows, the reader of the outbox (read and commit, then acknowledge), the reconciler, cancel, suspend, retry.
//! - **Reapers**: REAP may run at any moment, which is what two of them amount to; EXPIRE_WORKER comes from a parent or from
//!   one of two leaders, of which the elder is deposed.
//! - **Faults**, any of them in any order, as many as the size says: a crash, a pause past the lease, a lost reply, a call that
//!   arrives late or once more (also an old look of the reconciler, an old commit, an old acknowledgement), a failover that
//!   undoes the last transitions, a wiped Redis, an old client's bare `RPOPLPUSH`, an hour in which nobody reaps.
//!
//! Time is what it allows: a lease ends, a delay ends, a limit passes, whenever that is possible. The end of a lease that a living
//! worker could renew is a fault; of any other lease, it is not.
//!
//! # What is looked at
//! S1 to S9 and the other letters of `property.rs` in every state. L1 as well: from every state the world goes on in one
//! fair order without faults, once with the workers there are and once with a single new one, and every row must get its
//! outcome. (stateright's own `eventually` misses counterexamples where paths join, so it is not used.)
//!
//! The search is bounded by the sizes alone, by no depth, count or time; whether it visited every state is counted (`check.rs`).
//!
//! States that differ only in the names of workers or nonces are one state, and what nobody can read any more is
//! forgotten (`canonical.rs`). stateright keeps 64-bit fingerprints: with 10^7 states the chance that two coincide is about 3 in a million.
//!
//! # What it cannot find
//! - A mistake in the Lua itself that the hand-written copy does not share. That is for the tests on a real Redis:
//!   `queue/tests/protocol`, each script by itself, and `queue/tests/histories`, all of them in random histories.
//! - Anything that needs more tasks, workers or faults than the sizes have, or a longer lost suffix than two transitions.
//! - Unfair orders that starve a task for ever: L1 follows one fair order. And how long anything takes.
//! - What is left out: several queues and priorities, delays at ENQUEUE, idempotency keys, depth limits, a full Redis, DRAIN
//!   and `task:paused`, the factors, fsck, purging and TTLs of final hashes, deleting a transcription, the sweeper of
//!   stored files, messages (they are hints), a database that is restored or loses rows. `MAX_CRASHES` is 2 and
//!   `MAX_RETRIES` 1, where production has 3 and 2.
//! - A hand-in that stores its files again later than all that it was verified for; in the model verify and put are one step.

pub mod canonical;
pub mod check;
pub mod claim;
pub mod liveness;
pub mod model;
pub mod planted;
pub mod possible;
pub mod property;
pub mod reaping;
pub mod redis;
pub mod scripts;
pub mod service;
pub mod size;
pub mod state;
pub mod step;

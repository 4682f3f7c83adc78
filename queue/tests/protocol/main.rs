//! The protocol on a real redis-server, by transition. Every test starts its own server and ends it.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod cancel_park;
mod enqueue_claim;
mod events;
mod finish;
mod heartbeat;
mod isolation;
mod outage;
mod reap;
mod seed_era;
mod support;
mod workers;

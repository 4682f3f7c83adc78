//! The way of a task through the service: workers, event streams, background loops and the first system's routes. Here the
//! ground (Redis, database, folder) outlives the service, so that it can be stopped, doubled and started again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod away;
mod common;
mod events;
mod fetch;
mod full;
mod internal;
mod loops;
mod seed;

//! The service as its clients and workers see it: a real Redis and a real port for every test, on SQLite and on Postgres.
//! Workers are played by `fake_worker`; nothing here runs a network.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;
mod audio_files;
mod bad_input;
mod create;
mod errors;
mod fake_worker;
mod files;
mod idempotency;
mod leftovers;
mod lifecycle;
mod list;
mod operator;
mod outage;
mod postgres;
mod security;

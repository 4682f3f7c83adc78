//! The worker against a real Redis, the API's two routes and a network that follows a script.
#![expect(
    clippy::unwrap_used,
    reason = "in tests a failure is the message; clippy.toml exempts only test functions"
)]

mod api;
mod disk;
mod fairness;
mod hand_in;
mod installed;
mod leases;
mod logs;
mod network;
mod recordings;
mod results;
mod slots;
mod stage;

#[path = "../../../api/tests/it/bad_input/sounds.rs"]
#[expect(dead_code, reason = "the uploads' tests make more kinds of it")]
mod sounds;

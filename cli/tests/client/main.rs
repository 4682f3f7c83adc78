//! The client commands of the real `wtt`, each against a small server that answers what a test wants.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod commands;
mod server;
mod submit;
mod watch;

//! The worker.

mod config;

pub use config::{Config, Timing};

/// Runs a worker until it is told to stop.
pub fn run(_config: Config) -> anyhow::Result<()> {
    anyhow::bail!("the worker is being written")
}

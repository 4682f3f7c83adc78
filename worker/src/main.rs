//! `wtt-worker`: the worker as a program of its own, for images and pods.

use clap::Parser;

/// Claims transcription tasks from Redis, runs them, and hands the results to the API.
#[derive(Parser)]
#[command(name = "wtt-worker", version)]
struct Arguments {
    #[command(flatten)]
    config: worker::Config,
}

fn main() -> anyhow::Result<()> {
    let Arguments { config } = Arguments::parse();
    worker::init_logs();
    worker::run(config)
}

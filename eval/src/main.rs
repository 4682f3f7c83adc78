//! `make eval`: pieces whose notes are known, played with several soundfonts, transcribed by each network, and counted.
//! What it gives is a table and a plot for docs/models.md. It measures quality; that a network is exact is `make parity`'s to say.

mod args;
mod bootstrap;
mod clip;
mod corpus;
mod kept;
mod matching;
mod metrics;
mod peaks;
mod plot;
mod render;
mod report;
mod row;
mod run;
mod session;
mod transcribe;
mod wav;

use clap::Parser;

fn main() -> anyhow::Result<()> {
    run::run(&args::Args::parse())
}

//! `wtt demo`
mod compare;
mod recording;
mod score;
use std::process::ExitCode;
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}
pub(crate) async fn run(_args: Args) -> anyhow::Result<ExitCode> {
    let _ = compare::compare(&score::notes(), &[]);
    let _ = recording::wav(&[]);
    anyhow::bail!("wtt demo: not built yet")
}

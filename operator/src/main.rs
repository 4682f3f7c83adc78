//! `wtt-operator`: run it, print the definitions, or explain a decision.

use std::process::ExitCode;

use clap::Parser;
use operator::args::{Cli, Command};

mod commands;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => commands::run(*args),
        Command::Crd => commands::crd(),
        Command::Explain { file } => commands::explain(&file),
    };
    done.unwrap_or_else(|error| commands::failed(&error))
}

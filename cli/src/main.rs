//! The `wtt` command: reads the command line, starts the logs, runs one subcommand and turns its outcome into an exit
//! code. Every subcommand is a module of its own; what they share lies below them in this list.

mod args;
mod cancel;
mod debug;
mod delete;
mod demo;
mod get;
mod list;
mod models;
mod retry;
mod status;
mod submit;
mod transcribe;
mod up;
mod watch;
mod worker;

mod client;
mod failure;
mod follow;
mod job;
mod logs;
mod output;
mod progress;
mod sse;
mod ui;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let command = args::Cli::parse().command;
    logs::start(&command);
    command
        .run()
        .unwrap_or_else(|error| failure::report(&error))
}

//! The command line as a tree: which subcommands there are, what they say about themselves, and which module runs each.
//! The flags of a subcommand live in its own module; here are only the ones that several of them share.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use url::Url;

use crate::{
    cancel, debug, delete, demo, get, list, models, retry, status, submit, transcribe, up, watch,
    worker,
};

const EXAMPLES: &str = "\
Examples:
  wtt demo                                 see the whole system work, from nothing
  wtt transcribe song.flac                 notes of a file, here, without a server
  wtt up                                   start the whole system on this machine
  wtt submit song.flac --wait -o song.mid  have a server do it
  wtt list                                 what a server has

Every flag can be set by an environment variable too; `wtt COMMAND --help` names it.

Exit codes:
  0  everything asked for was done
  1  something failed (with several files: at least one of them)
  2  the command line was wrong, nothing was done";

/// Turns recordings into notes: MIDI, piano roll and data, here or on a server.
#[derive(Debug, Parser)]
#[command(name = "wtt", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a recording, start everything, transcribe it and show the notes
    Demo(demo::Args),
    /// Transcribe files on this machine, without a server
    Transcribe(transcribe::Args),
    /// Run the whole system on this machine
    Up(up::UpArgs),
    /// Run workers on this machine, for a Redis and an API elsewhere
    Workers(up::CrewArgs),
    /// Send recordings to a server
    Submit(submit::Args),
    /// Fetch the notes of a transcription
    Get(get::Args),
    /// Say how a transcription stands
    Status(status::Args),
    /// Follow a transcription until it ends
    Watch(watch::Args),
    /// Stop a transcription
    Cancel(cancel::Args),
    /// Run a failed or cancelled transcription again
    Retry(retry::Args),
    /// Show the transcriptions of a server
    List(list::Args),
    /// Remove a transcription and its files from a server
    Delete(delete::Args),
    /// Fetch and show the networks
    Models(models::Args),
    /// Tools for the people who work on wtt itself
    #[command(hide = true)]
    Debug(debug::Args),
    /// One worker process, as `wtt up` starts it
    #[command(hide = true)]
    Worker(::worker::Config),
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Command::Demo(args) => block_on(demo::run(args)),
            Command::Transcribe(args) => transcribe::run(args),
            Command::Up(args) => block_on(up::up(args)).map(|()| ExitCode::SUCCESS),
            Command::Workers(args) => block_on(up::workers(args)).map(|()| ExitCode::SUCCESS),
            Command::Submit(args) => block_on(submit::run(args)),
            Command::Get(args) => block_on(get::run(args)),
            Command::Status(args) => block_on(status::run(args)),
            Command::Watch(args) => block_on(watch::run(args)),
            Command::Cancel(args) => block_on(cancel::run(args)),
            Command::Retry(args) => block_on(retry::run(args)),
            Command::List(args) => block_on(list::run(args)),
            Command::Delete(args) => block_on(delete::run(args)),
            Command::Models(args) => models::run(args),
            Command::Debug(args) => debug::run(args),
            Command::Worker(config) => worker::worker(config).map(|()| ExitCode::SUCCESS),
        }
    }
}

/// Runs the asynchronous commands to their end.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Runtime::new()?.block_on(command)
}

/// Which server a client command talks to, and who it says it is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Server {
    /// Address of the server
    #[arg(
        long,
        env = "WTT_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:8000"
    )]
    pub(crate) server: Url,

    /// API key; a server on another machine always asks for one
    #[arg(long, env = "WTT_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) api_key: Option<String>,

    /// File that holds the API key (read only where no key is given directly)
    #[arg(long, env = "WTT_API_KEY_FILE", value_name = "FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_is_sound_and_every_flag_can_come_from_the_environment() {
        let mut tree = Cli::command();
        tree.build();
        tree.clone().debug_assert();
        for command in tree
            .get_subcommands()
            .filter(|command| !command.is_hide_set() && command.get_name() != "help")
        {
            for flag in command
                .get_arguments()
                .filter(|flag| flag.get_long().is_some_and(|long| long != "help"))
            {
                let path = format!("wtt {} --{}", command.get_name(), flag.get_id());
                let variable = flag
                    .get_env()
                    .and_then(|name| name.to_str())
                    .unwrap_or_default();
                assert!(variable.starts_with("WTT_"), "{path} has no variable WTT_*");
                assert!(
                    flag.get_help().is_some(),
                    "{path} does not say what it is for"
                );
            }
        }
    }
}

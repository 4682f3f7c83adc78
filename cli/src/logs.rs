//! Where the log lines go (standard error) and how many of them there are. Only `main` calls this.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::args::Command;

/// The services talk about what they do; a client command is silent unless something is wrong.
/// `WTT_LOG` takes a filter such as `debug` or `worker=debug,info`; `WTT_LOG_FORMAT=json` is for machines that read.
pub(crate) fn start(command: &Command) {
    let default = match command {
        Command::Up(_) | Command::Workers(_) | Command::Worker(_) => {
            "info,sqlx=warn,hyper=warn,tower_http=info,symphonia=off"
        }
        // A decoder's own complaints are told again, in our words and with the file's name.
        _ => "warn,symphonia=off",
    };
    let filter = EnvFilter::try_from_env("WTT_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if std::env::var("WTT_LOG_FORMAT").is_ok_and(|format| format == "json") {
        lines.json().init();
    } else {
        lines.compact().init();
    }
}

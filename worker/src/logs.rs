//! Where a worker's log lines go: standard error, as JSON when `WTT_LOG_FORMAT=json`, filtered by `WTT_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging, unless the program around us already did.
pub fn init() {
    let filter = EnvFilter::try_from_env("WTT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let json = std::env::var("WTT_LOG_FORMAT").is_ok_and(|format| format == "json");
    // An error only says that a subscriber is there already.
    let _ = if json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
}

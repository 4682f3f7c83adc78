//! A look at a redis-server from outside: its own count of commands and of processor time, over a connection of its own.
//! The only commands it sends are INFO and ACL SETUSER; what a queue is it does not know.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// What a server has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time of all its threads.
    pub cpu_seconds: f64,
    /// Commands that ran, those inside scripts included.
    pub commands: f64,
    /// Commands that clients sent to run a script or a transaction, and single ones.
    pub scripts: f64,
    /// Time inside scripts.
    pub script_seconds: f64,
}

impl Usage {
    pub fn since(self, before: Usage) -> Usage {
        Usage {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            commands: self.commands - before.commands,
            scripts: self.scripts - before.scripts,
            script_seconds: self.script_seconds - before.script_seconds,
        }
    }
}

/// Asks the server behind this socket.
pub fn usage(socket: &Path) -> Result<Usage> {
    let info = info(socket, "everything")?;
    let number = |name: &str| -> f64 {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or_default()
    };
    let mut usage = Usage {
        cpu_seconds: number("used_cpu_user") + number("used_cpu_sys"),
        ..Usage::default()
    };
    for line in info
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_"))
    {
        let Some((name, stats)) = line.split_once(':') else {
            continue;
        };
        let stat = |wanted: &str| -> f64 {
            stats
                .split(',')
                .find_map(|pair| pair.strip_prefix(wanted)?.strip_prefix('='))
                .and_then(|value| value.parse().ok())
                .unwrap_or_default()
        };
        if name == "evalsha" || name == "eval" {
            usage.scripts += stat("calls");
            usage.script_seconds += stat("usec") / 1e6;
        }
        if name != "info" {
            usage.commands += stat("calls");
        }
    }
    Ok(usage)
}

/// Memory that the server has given out, in bytes.
pub fn used_memory_bytes(socket: &Path) -> Result<u64> {
    info(socket, "memory")?
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"))
        .and_then(|value| value.trim().parse().ok())
        .context("INFO memory has used_memory")
}

/// Takes every channel from every client: no subscription and no message from now on.
pub fn forbid_channels(socket: &Path) -> Result<()> {
    set_channels(socket, "resetchannels")
}

/// Gives them back.
pub fn allow_channels(socket: &Path) -> Result<()> {
    set_channels(socket, "allchannels")
}

fn set_channels(socket: &Path, rule: &str) -> Result<()> {
    match ask(socket, &format!("ACL SETUSER default {rule}"))?.as_str() {
        "OK" => Ok(()),
        other => bail!("the server refused the rule {rule}: {other}"),
    }
}

fn info(socket: &Path, section: &str) -> Result<String> {
    ask(socket, &format!("INFO {section}"))
}

/// One inline command; the text of its simple or bulk answer.
fn ask(socket: &Path, command: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket).context("failed to reach redis-server")?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    reader.read_line(&mut head)?;
    let head = head.trim_end();
    match head.strip_prefix('$').map(str::parse::<usize>) {
        Some(Ok(bytes)) => {
            let mut body = vec![0; bytes];
            reader.read_exact(&mut body)?;
            Ok(String::from_utf8_lossy(&body).into_owned())
        }
        _ => Ok(head.trim_start_matches(['+', '-']).to_owned()),
    }
}

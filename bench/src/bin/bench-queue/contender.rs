//! One run of one contender: a fresh server, the contender as a process of its own, and what both have used.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use bench::server::{self, Usage};
use queue::testing::RedisServer;
use serde::{Deserialize, Serialize};

/// The same for everyone.
pub(crate) const SETTINGS: [&str; 6] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "everysec",
    "--bind",
    "127.0.0.1",
];

/// How clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// TCP on the loopback interface, as in a cluster.
    Tcp,
    /// A unix socket.
    Unix,
}

/// A program to measure.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) name: String,
    /// Program and first arguments; empty = this program.
    pub(crate) command: Vec<String>,
}

impl Contender {
    pub(crate) fn is_ours(&self) -> bool {
        self.command.is_empty()
    }

    /// RQ forks for each task: a full number of them would take minutes.
    pub(crate) fn share_of_tasks(&self) -> usize {
        match self.name.as_str() {
            "RQ, forking" => 60,
            "RQ, SimpleWorker" => 10,
            _ => 1,
        }
    }
}

/// What a contender prints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Tasks whose end was seen, counted each time.
    pub(crate) finished: usize,
    pub(crate) distinct: usize,
    /// The server holds nothing that waits, runs or has failed.
    pub(crate) settled: bool,
    pub(crate) enqueue_seconds: f64,
    pub(crate) drain_seconds: f64,
    /// Its own, children included.
    pub(crate) cpu_seconds: f64,
}

/// One valid run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) tasks: usize,
    pub(crate) figures: Figures,
    pub(crate) server: Usage,
}

impl Run {
    /// Full cycles a second: one after the other filled and drained.
    pub(crate) fn rate(&self) -> f64 {
        self.tasks as f64 / (self.figures.enqueue_seconds + self.figures.drain_seconds)
    }
}

/// Workload of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) tasks: usize,
    pub(crate) warm_up: usize,
    pub(crate) clients: usize,
    pub(crate) payload: usize,
    pub(crate) transport: Transport,
}

/// Measures once; an error if not every task ended exactly once.
pub(crate) fn run(contender: &Contender, load: Load) -> Result<Run> {
    let port = free_port()?.to_string();
    let redis = match load.transport {
        Transport::Unix => RedisServer::start_with(&SETTINGS),
        Transport::Tcp => RedisServer::start_with(&[&SETTINGS[..], &["--port", &port]].concat()),
    };
    let share = contender.share_of_tasks();
    let tasks = (load.tasks / share).max(load.clients);
    let warm_up = (load.warm_up / share).max(load.clients);
    let mut command = if contender.is_ours() {
        let mut own = Command::new(std::env::current_exe()?);
        own.args(["ours", "--url"]);
        match load.transport {
            Transport::Unix => own.arg(redis.url()),
            Transport::Tcp => own.arg(format!("redis://127.0.0.1:{port}")),
        };
        own
    } else {
        let mut peer = Command::new(&contender.command[0]);
        peer.args(&contender.command[1..]);
        match load.transport {
            Transport::Unix => peer.arg("--socket").arg(redis.socket()),
            Transport::Tcp => peer.args(["--port", &port]),
        };
        peer
    };
    for (flag, number) in [
        ("--tasks", tasks),
        ("--warm-up", warm_up),
        ("--clients", load.clients),
        ("--payload", load.payload),
    ] {
        command.arg(flag).arg(number.to_string());
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {:?}", command.get_program()))?;
    let mut input = child.stdin.take().context("a pipe was asked for")?;
    let output = child.stdout.take().context("a pipe was asked for")?;
    let mut lines = BufReader::new(output).lines();
    let mut next = || -> Result<String> {
        match lines.next() {
            Some(line) => Ok(line?),
            None => bail!("{} ended early; its messages are above", contender.name),
        }
    };
    ensure!(next()? == "ready", "{} is not ready", contender.name);
    let before = server::usage(&redis.socket())?;
    input.write_all(b"go\n")?;
    let line = next()?;
    let server = server::usage(&redis.socket())?.since(before);
    let status = child.wait()?;
    ensure!(status.success(), "{} ended with {status}", contender.name);
    let figures: Figures =
        serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", contender.name))?;
    ensure!(
        figures.settled && figures.finished == tasks && figures.distinct == tasks,
        "VOID: {} did not finish each of {tasks} tasks exactly once: {figures:?}",
        contender.name
    );
    Ok(Run {
        tasks,
        figures,
        server,
    })
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

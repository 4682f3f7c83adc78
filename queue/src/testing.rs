//! For tests of this crate and of those above it: a private redis-server, a disk of a few megabytes, and a queue whose scripts have a planted bug.
//! Never used by a service.

mod scripts;
mod tmpfs;

use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Queue, script};

pub use scripts::{SentScript, sent_scripts};
pub use tmpfs::Tmpfs;

const PATIENCE: Duration = Duration::from_secs(20);
/// Ends the server with us, even if we are killed: the pipe closes, `read` returns.
const GUARD: &str =
    r#""$@" & server=$!; read _; kill -9 $server 2>/dev/null; wait $server 2>/dev/null"#;

/// A redis-server child on a unix socket in its own folder; killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    folder: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Without persistence.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With an append-only file, so that `stop` and `start_again` keep the data.
    pub fn start_with_aof() -> Self {
        Self::start_with(&["--appendonly", "yes"])
    }

    /// With further settings: `["--maxmemory", "3mb"]`.
    pub fn start_with(arguments: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!(
            "wtt-redis-{}-{:08x}",
            std::process::id(),
            rand::random::<u32>()
        ));
        if let Err(error) = fs::create_dir_all(&folder) {
            panic!("cannot make {}: {error}", folder.display());
        }
        let arguments = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        let mut server = Self {
            folder,
            arguments,
            child: None,
        };
        server.start_again();
        server
    }

    /// `unix://` URL.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    /// Ends the server as a shutdown does; data stays only with an append-only file.
    pub fn stop(&mut self) {
        if self.child.is_some() {
            if let Ok(mut stream) = UnixStream::connect(self.socket()) {
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let _ = stream.write_all(b"SHUTDOWN\r\n");
                let _ = stream.read(&mut [0_u8; 64]);
            }
            self.kill();
        }
    }

    /// Ends the server without warning.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }

    /// Ends the server as a power cut does: the last bytes of its append-only file never reached the disk.
    pub fn kill_and_lose(&mut self, bytes: u64) {
        self.kill();
        let written = self.folder.join("appendonlydir");
        let files = fs::read_dir(&written)
            .or_else(|_| fs::read_dir(&self.folder)) // before Redis 7
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let newest = files
            .filter(|path| path.extension().is_some_and(|end| end == "aof"))
            .filter(|path| !path.to_string_lossy().ends_with(".base.aof"))
            .max();
        let cut = newest.map(|path| {
            let file = fs::OpenOptions::new().write(true).open(path)?;
            file.set_len(file.metadata()?.len().saturating_sub(bytes))
        });
        if !matches!(cut, Some(Ok(()))) {
            panic!(
                "cannot cut the append-only file in {}: {cut:?}",
                self.folder.display()
            );
        }
    }

    /// Starts the server on the same folder and socket.
    pub fn start_again(&mut self) {
        self.kill();
        let socket = self.socket();
        let _ = fs::remove_file(&socket);
        let log = self.folder.join("redis.log");
        let child = Command::new("sh")
            .args(["-c", GUARD, "sh", &find_server()])
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--unixsocketperm",
                "700",
                "--unixsocket",
            ])
            .arg(&socket)
            .arg("--dir")
            .arg(&self.folder)
            .arg("--logfile")
            .arg(&log)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => self.child = Some(child),
            Err(error) => panic!("cannot start redis-server through sh: {error}"),
        }
        let deadline = Instant::now() + PATIENCE;
        while !answers(&socket) {
            if Instant::now() > deadline {
                panic!(
                    "redis-server did not answer: {}",
                    fs::read_to_string(&log).unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The same queue with a bug in its scripts: the snippet `from` becomes `to` in `file`, which is a file of `scripts/` without its
/// ending, or "shared" for whichever of those that stand before others holds it. The snippet must be there exactly once, or
/// a list of planted bugs would rot unseen.
pub fn plant(queue: &Queue, file: &str, from: &str, to: &str) -> Queue {
    let mut holders = HashMap::new();
    let mut changed = HashMap::new();
    for transition in script::ALL {
        let meant = |name: &str| match file {
            "shared" => name != transition.name,
            _ => name == file,
        };
        let mut texts = Vec::new();
        let mut found = 0;
        for (name, original) in transition.files {
            let here = if meant(name) {
                original.matches(from).count()
            } else {
                0
            };
            if here > 0 {
                holders.insert(*name, here);
                texts.push(original.replacen(from, to, 1));
            } else {
                texts.push((*original).to_owned());
            }
            found += here;
        }
        if found > 0 {
            let script = script::assemble(texts.iter().map(String::as_str));
            changed.insert(transition.name, script);
        }
    }
    assert_eq!(
        holders.values().collect::<Vec<_>>(),
        [&1],
        "instead of once in {file}, this snippet is in {holders:?}: {from}"
    );
    queue.with_scripts(changed)
}

fn find_server() -> String {
    let name = "redis-server";
    match Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
    {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("the tests need redis-server; install it: apt-get install redis-server")
        }
        _ => name.to_owned(),
    }
}

fn answers(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let mut reply = [0_u8; 5];
    stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut reply).is_ok()
        && &reply == b"+PONG"
}

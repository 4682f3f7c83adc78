//! The real `wtt-api` as a process of its own, with a Redis of its own and a folder on disk that goes when it ends.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bench::process::resident_bytes;
use queue::testing::RedisServer;

const START_PATIENCE: Duration = Duration::from_secs(30);
const SAMPLE_EVERY: Duration = Duration::from_millis(20);

pub(crate) struct Service {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) redis: RedisServer,
    folder: PathBuf,
}

impl Service {
    /// With its defaults: SQLite, and recordings in the data folder.
    pub(crate) async fn start(program: &Path, scratch: &Path) -> Result<Self> {
        let redis = RedisServer::start_with_aof();
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = scratch.join(format!("wtt-bench-api-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let log = fs::File::create(folder.join("api.log"))?;
        let child = Command::new(program)
            .args(["--listen", &address.to_string()])
            .args(["--redis-url", &redis.url()])
            .arg("--data-dir")
            .arg(folder.join("data"))
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| {
                format!(
                    "failed to start {}; build it: cargo build --release -p api",
                    program.display()
                )
            })?;
        let service = Self {
            child,
            address,
            redis,
            folder,
        };
        let deadline = Instant::now() + START_PATIENCE;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            if Instant::now() > deadline {
                bail!("the API does not listen; its log: {}", service.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(service)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The last lines that it has logged.
    pub(crate) fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.join("api.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Looks at a process all the time, from a thread of its own.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    before: u64,
    thread: Option<JoinHandle<()>>,
}

/// Resident memory in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) before: f64,
    pub(crate) most: f64,
    pub(crate) after: f64,
}

impl Memory {
    pub(crate) fn growth(&self) -> f64 {
        self.most - self.before
    }
}

const MIB: f64 = 1024.0 * 1024.0;

impl Watch {
    pub(crate) fn begin(pid: u32) -> Result<Self> {
        let before = resident_bytes(pid)?;
        let (stop, most) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(before)),
        );
        let (stopped, top) = (Arc::clone(&stop), Arc::clone(&most));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(bytes) = resident_bytes(pid) {
                    top.fetch_max(bytes, Ordering::Relaxed);
                }
                thread::sleep(SAMPLE_EVERY);
            }
        });
        Ok(Self {
            stop,
            most,
            before,
            thread: Some(thread),
        })
    }

    pub(crate) fn end(mut self, pid: u32) -> Result<Memory> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        Ok(Memory {
            before: self.before as f64 / MIB,
            most: self.most.load(Ordering::Relaxed) as f64 / MIB,
            after: resident_bytes(pid)? as f64 / MIB,
        })
    }
}

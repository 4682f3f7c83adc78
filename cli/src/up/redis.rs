//! A private redis-server for a system that was given none: on a unix socket that only this user can open, with an
//! append-only file, started again when it dies, gone when we are.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::child::Child;
use super::pace::Pace;
use super::redis_home::RedisHome;
use super::tether::Tether;

/// Loading a large append-only file takes time.
const READY: Duration = Duration::from_secs(120);
/// Writing the rest of it takes little.
const STOP: Duration = Duration::from_secs(15);
/// For one that an earlier start left behind.
const PREDECESSOR: Duration = Duration::from_secs(20);
const LOG_BYTES: u64 = 8 << 20;

#[derive(Debug)]
pub(super) struct PrivateRedis {
    url: String,
    stop: CancellationToken,
    keeper: Option<JoinHandle<()>>,
}

impl PrivateRedis {
    /// Starts it and waits until it answers.
    pub(super) async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        let home = RedisHome::prepare(data_dir)?;
        let url = home.url()?;
        let child = launch(&home, PREDECESSOR).await?;
        ready(&home, &child).await?;
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keep(home, child, stop.clone()));
        Ok(PrivateRedis {
            url,
            stop,
            keeper: Some(keeper),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// SIGTERM is Redis's SHUTDOWN: it writes what is left of its append-only file, then ends.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        if let Some(keeper) = self.keeper.take() {
            // Bounded inside; a panic in there was reported already.
            let _ = keeper.await;
        }
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Starts it again whenever it dies, until told to stop.
async fn keep(home: RedisHome, mut child: Child, stop: CancellationToken) {
    let mut pace = Pace::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                child.stop(STOP).await;
                return;
            }
            status = child.exited() => {
                tracing::error!(%status, log = %home.log().display(), "the private Redis died; starting it again");
            }
        }
        child = loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pace.after(child.life())) => {}
            }
            let launched = tokio::select! {
                () = stop.cancelled() => return,
                launched = launch(&home, STOP) => launched,
            };
            match launched {
                Ok(next) => break next,
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "cannot start the private Redis again"
                ),
            }
        };
        tokio::select! {
            // Seen by the loop above.
            () = stop.cancelled() => {}
            up = ready(&home, &child) => {
                if let Err(error) = up {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the private Redis does not come up"
                    );
                }
            }
        }
    }
}

async fn launch(home: &RedisHome, patience: Duration) -> anyhow::Result<Child> {
    let lock = home.lock(patience).await?;
    let log = open_log(home).with_context(|| format!("cannot write {}", home.log().display()))?;
    let mut command = Command::new("redis-server");
    command
        .args([
            "--port",
            "0",
            "--daemonize",
            "no",
            "--databases",
            "1",
            "--save",
            "",
        ])
        .args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--maxmemory-policy",
            "noeviction",
        ])
        .args(["--unixsocketperm", "700", "--unixsocket"])
        .arg(&home.socket)
        .arg("--dir")
        .arg(&home.folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    match Child::spawn(
        command,
        Tether {
            inherited: Some(lock),
            nice: 0,
        },
    )
    .await
    {
        Ok(child) => Ok(child),
        Err(error) if error.kind() == io::ErrorKind::NotFound => anyhow::bail!(
            "redis-server is not installed; install it (`sudo apt-get install redis-server`), or give a Redis with --redis-url"
        ),
        Err(error) => Err(error).context("cannot start redis-server"),
    }
}

async fn ready(home: &RedisHome, child: &Child) -> anyhow::Result<()> {
    let wait = async {
        while !home.answers().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        home.begin_a_new_file().await;
    };
    let log = home.log();
    tokio::select! {
        () = wait => Ok(()),
        status = child.exited() => {
            anyhow::bail!("redis-server ended at once ({status}); its last words in {}:\n{}", log.display(), last_lines(&log))
        }
        () = tokio::time::sleep(READY) => {
            anyhow::bail!("redis-server does not answer after {} s; see {}", READY.as_secs(), log.display())
        }
    }
}

/// Appends; one old file is kept when it grows.
fn open_log(home: &RedisHome) -> io::Result<File> {
    let path = home.log();
    if path.metadata().is_ok_and(|found| found.len() > LOG_BYTES) {
        std::fs::rename(&path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

fn last_lines(path: &Path) -> String {
    let text = std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Tests may not leave the pace to chance: everything has to happen within this.
    const PATIENCE: Duration = Duration::from_secs(30);

    async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !condition().await {
            assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn it_comes_back_after_a_kill_with_its_data_and_ends_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let home = RedisHome::prepare(dir.path()).unwrap();
        let redis = PrivateRedis::start(dir.path()).await.unwrap();
        let config = queue::QueueConfig::new(redis.url());
        let queue = queue::Queue::connect(&config).await.unwrap();
        queue.pause(true).await.unwrap();
        // everysec: what is older than a second is on disk.
        tokio::time::sleep(Duration::from_millis(1500)).await;

        let server = process_id(&home).await;
        rustix::process::kill_process(server, rustix::process::Signal::KILL).unwrap();
        eventually("a new server answers", async || {
            home.answers().await && process_id(&home).await != server
        })
        .await;
        let worker = queue::WorkerId::parse("w-1").unwrap();
        let request = queue::ClaimRequest {
            worker,
            queues: vec![queue::QueueName::default()],
            nonce: queue::ClaimRequest::nonce(),
            held: 0,
            slots: 1,
        };
        eventually("the pause survived", async || {
            matches!(queue.claim(&request).await, Ok(queue::ClaimAnswer::Paused))
        })
        .await;
        redis.stop().await;
        assert!(!home.answers().await);
    }

    /// The files that the next start reads commands from.
    fn increments(home: &RedisHome) -> Vec<std::path::PathBuf> {
        std::fs::read_dir(home.folder.join("appendonlydir"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
            .collect()
    }

    async fn append(home: &RedisHome, commands: &[u8]) {
        eventually("one append-only file", async || increments(home).len() == 1).await;
        let file = increments(home).remove(0);
        let mut file = OpenOptions::new().append(true).open(file).unwrap();
        std::io::Write::write_all(&mut file, commands).unwrap();
    }

    #[tokio::test]
    async fn half_a_script_at_the_end_of_its_file_is_gone_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let home = RedisHome::prepare(dir.path()).unwrap();
        let redis = PrivateRedis::start(dir.path()).await.unwrap();
        eventually("the first new file is there", async || {
            increments(&home)
                .iter()
                .any(|file| file.to_string_lossy().contains(".2."))
        })
        .await;
        let half = b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1\r\n1\r\n";
        append(&home, half).await;
        let server = process_id(&home).await;
        rustix::process::kill_process(server, rustix::process::Signal::KILL).unwrap();
        eventually("a new server has a new file without it", async || {
            home.answers().await
                && process_id(&home).await != server
                && increments(&home).len() == 1
                && increments(&home)
                    .iter()
                    .all(|file| !std::fs::read(file).unwrap_or_default().starts_with(half))
        })
        .await;
        redis.stop().await;
    }

    #[tokio::test]
    async fn it_ends_at_once_when_told_while_it_loads_its_data() {
        let dir = tempfile::tempdir().unwrap();
        let home = RedisHome::prepare(dir.path()).unwrap();
        let redis = PrivateRedis::start(dir.path()).await.unwrap();
        // A stand-in for a file of many gigabytes: loading it takes a minute.
        append(&home, b"*3\r\n$5\r\nDEBUG\r\n$5\r\nSLEEP\r\n$2\r\n60\r\n").await;
        let server = process_id(&home).await;
        rustix::process::kill_process(server, rustix::process::Signal::KILL).unwrap();
        // Not before: a signal that comes sooner would only be looked at after the loading.
        eventually("a new server loads", async || {
            let log = std::fs::read_to_string(home.log()).unwrap_or_default();
            log.contains("Reading RDB base file")
        })
        .await;
        let begun = Instant::now();
        redis.stop().await;
        assert!(begun.elapsed() < STOP, "it took {:?}", begun.elapsed());
        assert!(lock_is_free(&home), "a Redis is left");
    }

    fn lock_is_free(home: &RedisHome) -> bool {
        use super::super::lock;
        let file = lock::open(&home.folder.join("lock")).unwrap();
        lock::try_lock(&file).unwrap()
    }

    #[tokio::test]
    async fn one_left_behind_is_ended_before_the_next_touches_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let home = RedisHome::prepare(dir.path()).unwrap();
        // As if `wtt up` had been killed and its Redis had not noticed yet.
        let left = launch(&home, PREDECESSOR).await.unwrap();
        ready(&home, &left).await.unwrap();
        let redis = PrivateRedis::start(dir.path()).await.unwrap();
        assert!(
            tokio::time::timeout(Duration::from_secs(1), left.exited())
                .await
                .is_ok(),
            "two servers on one file"
        );
        assert!(home.answers().await);
        redis.stop().await;
    }

    async fn process_id(home: &RedisHome) -> rustix::process::Pid {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let ask = async || -> io::Result<String> {
            let mut stream = tokio::net::UnixStream::connect(&home.socket).await?;
            stream.write_all(b"INFO server\r\nQUIT\r\n").await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            Ok(text)
        };
        let end = Instant::now() + PATIENCE;
        loop {
            let text = ask().await.unwrap_or_default();
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("process_id:"));
            if let Some(pid) = line
                .and_then(|pid| pid.trim().parse().ok())
                .and_then(rustix::process::Pid::from_raw)
            {
                return pid;
            }
            assert!(Instant::now() < end, "no process id from Redis: {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

//! `wtt up` as a person runs it: the real program, its real children, killed in every way there is. But for the last test no
//! model is installed here.
#![expect(
    clippy::unwrap_used,
    reason = "in tests a failure is the message; clippy.toml exempts only test functions"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use installed::installed;

#[path = "../../worker/tests/worker/installed.rs"]
mod installed;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running `wtt up`; killed when dropped, and with it its children.
struct Up {
    process: Child,
    url: String,
}

fn wtt() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wtt"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WTT_"))
    {
        command.env_remove(name);
    }
    command
}

fn command(data_dir: &Path, workers: u32) -> Command {
    let mut command = wtt();
    command
        .args([
            "up",
            "--listen",
            "127.0.0.1:0",
            "--threads",
            "1",
            "--workers",
            &workers.to_string(),
            "--data-dir",
        ])
        .arg(data_dir)
        .env("WTT_MODELS_DIR", data_dir.join("models"))
        .env("WTT_LOG", "info")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

impl Up {
    fn start(data_dir: &Path, workers: u32) -> Self {
        Self::of(command(data_dir, workers))
    }

    fn of(mut command: Command) -> Self {
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = lines.find_map(|line| line.ok()?.split("ready at ").nth(1).map(str::to_owned));
        let Some(url) = url else {
            panic!("`wtt up` ended before it was ready: {:?}", process.wait())
        };
        // Whoever goes on reading keeps the pipe open.
        std::thread::spawn(move || lines.count());
        Up { process, url }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    fn workers(&self) -> Vec<i32> {
        self.children()
            .into_iter()
            .filter(|(_, line)| line.contains("wtt-worker"))
            .map(|(pid, _)| pid)
            .collect()
    }

    fn redis(&self) -> Option<i32> {
        self.children()
            .into_iter()
            .find(|(_, line)| line.contains("redis-server"))
            .map(|(pid, _)| pid)
    }

    fn children(&self) -> BTreeMap<i32, String> {
        children(self.pid())
    }

    async fn is_live(&self) -> bool {
        reqwest::get(format!("{}/livez", self.url))
            .await
            .is_ok_and(|answer| answer.status().is_success())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn children(parent: Pid) -> BTreeMap<i32, String> {
    let parent = parent.as_raw_nonzero().get();
    processes()
        .into_iter()
        .filter(|(_, (of, _))| *of == parent)
        .map(|(pid, (_, line))| (pid, line))
        .collect()
}

/// Every living process: its parent and its command line.
fn processes() -> BTreeMap<i32, (i32, String)> {
    let read = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in brackets may hold anything, so read from its end.
        let mut rest = stat.rsplit_once(") ")?.1.split(' ');
        let (state, parent) = (rest.next()?, rest.next()?.parse().ok()?);
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        (state != "Z").then(|| {
            (
                pid,
                (parent, String::from_utf8_lossy(&line).replace('\0', " ")),
            )
        })
    };
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(read).collect()
}

async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_children_are_replaced_and_sigterm_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path(), 2);
    assert!(up.is_live().await);
    let before = eventually("two workers run", || {
        Some(up.workers()).filter(|pids| pids.len() == 2)
    })
    .await;
    kill(before[0], Signal::KILL);
    eventually("the killed worker is replaced", || {
        Some(up.workers()).filter(|pids| pids.len() == 2 && !pids.contains(&before[0]))
    })
    .await;
    assert!(
        up.workers().contains(&before[1]),
        "the other worker did not stay"
    );

    let redis = up.redis().expect("a private Redis runs");
    kill(redis, Signal::KILL);
    eventually("the killed Redis is replaced", || {
        up.redis().filter(|pid| *pid != redis)
    })
    .await;
    assert!(up.is_live().await);

    let children: Vec<i32> = up.children().into_keys().collect();
    kill_process(up.pid(), Signal::TERM).unwrap();
    let status = eventually("it ends", || up.process.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
    let left: Vec<_> = processes()
        .into_iter()
        .filter(|(pid, _)| children.contains(pid))
        .collect();
    assert!(left.is_empty(), "still there: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn children_end_with_a_parent_that_was_killed_and_the_next_start_works() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path(), 1);
    eventually("a worker and Redis run", || {
        Some(up.children()).filter(|all| all.len() == 2)
    })
    .await;
    let children: Vec<i32> = up.children().into_keys().collect();
    up.process.kill().unwrap();
    up.process.wait().unwrap();
    eventually("the children end", || {
        let all = processes();
        children
            .iter()
            .all(|pid| !all.contains_key(pid))
            .then_some(())
    })
    .await;
    let again = Up::start(dir.path(), 1);
    assert!(again.is_live().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_on_the_same_folder_is_refused_and_named_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path(), 0);
    let mut second = command(dir.path(), 0)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = eventually("the second one ends", || second.try_wait().unwrap()).await;
    let mut said = String::new();
    second
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(!status.success());
    assert!(
        said.contains(&up.pid().as_raw_nonzero().to_string()) && said.contains("--data-dir"),
        "{said}"
    );
    assert!(up.is_live().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_with_a_long_name_works_too() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir
        .path()
        .join("a folder with a long name ".repeat(5).trim());
    let up = Up::start(&long, 1);
    eventually("a worker runs", || up.workers().pop()).await;
    assert!(up.is_live().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_alone_are_replaced_taken_out_of_redis_and_end_with_sigterm() {
    let redis = queue::testing::RedisServer::start();
    let queue = queue::Queue::connect(&queue::QueueConfig::new(redis.url()))
        .await
        .unwrap();
    let known = async || {
        let seen = queue.observe(&queue::QueueName::default()).await.unwrap();
        let names = seen.workers.into_iter().map(|worker| worker.worker);
        names.collect::<std::collections::BTreeSet<String>>()
    };
    let dir = tempfile::tempdir().unwrap();
    let mut process = wtt()
        .args(["workers", "--workers", "2", "--threads", "1", "--redis-url"])
        .arg(redis.url())
        // Nobody is there: without a task nobody is asked either.
        .args(["--api-url", "http://127.0.0.1:9", "--data-dir"])
        .arg(dir.path())
        .env("WTT_MODELS_DIR", dir.path().join("models"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&process);
    let end = Instant::now() + PATIENCE;
    let mut first = known().await;
    while first.len() < 2 {
        assert!(
            Instant::now() < end,
            "the workers do not register: {first:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
        first = known().await;
    }
    let killed = *children(pid).keys().next().unwrap();
    kill(killed, Signal::KILL);
    loop {
        let now = known().await;
        if now.len() == 2 && now.intersection(&first).count() == 1 {
            break;
        }
        assert!(Instant::now() < end, "not replaced: {first:?}, now {now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left: Vec<i32> = children(pid).into_keys().collect();
    kill_process(pid, Signal::TERM).unwrap();
    let status = eventually("it ends", || process.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
    let all = processes();
    assert!(left.iter().all(|pid| !all.contains_key(pid)));
    assert!(known().await.is_empty(), "workers are left in Redis");
}

/// The networks of Harmonica come without a licence, so nobody is made to fetch them: those that are here are tried, and with
/// `WTT_REQUIRE_MODELS=1` all of them. `harmonica` alone is the medium one.
#[tokio::test(flavor = "multi_thread")]
async fn a_recording_sent_with_a_model_gives_the_file_that_the_command_gives() {
    let dir = tempfile::tempdir().unwrap();
    let recording = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../transcription/tests/fixtures/piano/audio.flac");
    let mut up = command(dir.path(), 1);
    // The installed ones.
    up.env_remove("WTT_MODELS_DIR");
    let up = Up::of(up);
    let listed = wtt()
        .args(["models", "list", "--json"])
        .output()
        .unwrap()
        .stdout;
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    let is_here = |model: &str| {
        let name = transcription::registry::canonical(model);
        let mut entries = listed.as_array().unwrap().iter();
        entries.any(|entry| entry["name"] == name && entry["installed"] == true)
    };
    let others = installed(&["harmonica:nano", "harmonica:small", "harmonica"], is_here);
    for model in ["basic-pitch"].into_iter().chain(others) {
        let made = |how: &str, arguments: &[&str]| {
            let file = dir.path().join(format!("{how}.mid"));
            let done = wtt()
                .arg(how)
                .arg(&recording)
                .args(["--model", model, "--force", "-o"])
                .arg(&file)
                .args(arguments)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(done.status.success(), "{model}: wtt {how}: {said}");
            std::fs::read(file).unwrap()
        };
        let sent = made("submit", &["--server", &up.url]);
        let alone = made("transcribe", &["--threads", "1"]);
        assert!(sent.len() > 200, "{model}: {} bytes", sent.len());
        assert!(sent == alone, "{model}: the files differ");
    }
}

//! Keeps the workers alive: each is a child process under a new id per start, started again when it dies. The moment one
//! dies, its leases are ended, so that its task runs again at once instead of when the lease runs out.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use queue::{Queue, ReapOptions, WorkerId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::child::Child;
use super::lock;
use super::pace::Pace;
use super::roll::Roll;
use super::tether::Tether;

/// A worker needs moments to hand back; one that hangs does not hold up the rest.
const STOP: Duration = Duration::from_secs(12);
/// How long to try while Redis is away; after that the leases have run out by themselves.
const EXPIRE: Duration = Duration::from_secs(30);
/// How long workers of an earlier start may live on; those that follow their parent end within 12 s, hung or not.
const PREDECESSORS: Duration = Duration::from_secs(15);
/// Transcribing is heavy and can wait; heartbeats, API and Redis are light and cannot.
const NICE: i32 = 5;
/// What workers have no business with: they know the API and the queue alone.
const NOT_FOR_WORKERS: [&str; 4] = [
    "WTT_API_KEY",
    "WTT_API_KEY_FILE",
    "WTT_DATABASE_URL",
    "WTT_OBJECTS_URL",
];

/// What to start, and how often.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) count: usize,
    pub(super) program: PathBuf,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) data_dir: PathBuf,
    pub(super) log_dir: Option<PathBuf>,
}

impl Plan {
    /// Each worker carries a shared lock on it for as long as it lives.
    fn lives(&self) -> PathBuf {
        self.data_dir.join("workers.lock")
    }
}

/// The running workers; asked to end when dropped.
#[derive(Debug)]
pub(super) struct Workers {
    stop: CancellationToken,
    keepers: JoinSet<()>,
}

/// What a keeper shares with its brothers.
struct Office {
    plan: Plan,
    queue: Queue,
    reap: ReapOptions,
    roll: Roll,
    stop: CancellationToken,
}

impl Workers {
    pub(super) async fn start(plan: Plan, queue: Queue, reap: ReapOptions) -> anyhow::Result<Self> {
        if let Some(dir) = &plan.log_dir {
            lock::private_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let path = plan.data_dir.join("workers");
        let roll =
            Roll::open(path.clone()).with_context(|| format!("cannot read {}", path.display()))?;
        let stop = CancellationToken::new();
        let office = Arc::new(Office {
            plan,
            queue,
            reap,
            roll,
            stop: stop.clone(),
        });
        predecessors_gone(&office.plan).await?;
        // We hold the data folder's lock: whoever is still on the roll is dead, and what it held can run again.
        for worker in office.roll.names() {
            office.bury(&worker).await;
        }
        let mut keepers = JoinSet::new();
        for number in 1..=office.plan.count {
            keepers.spawn(keep(number, Arc::clone(&office)));
        }
        Ok(Workers { stop, keepers })
    }

    /// SIGTERM to all at once; each hands back what it runs.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        while self.keepers.join_next().await.is_some() {}
    }
}

/// One worker after the other in one place, until told to stop.
async fn keep(number: usize, office: Arc<Office>) {
    let mut pace = Pace::default();
    // Ending the leases of the dead must not keep the living waiting.
    let mut burials = JoinSet::new();
    while !office.stop.is_cancelled() {
        let id = format!("up-{number}-{:08x}", rand::random::<u32>());
        let Ok(worker) = WorkerId::parse(id) else {
            return;
        };
        office.roll.enter(&worker);
        let life = match launch(&office.plan, number, &worker).await {
            Ok(child) => {
                tokio::select! {
                    status = child.exited() => {
                        tracing::error!(%worker, %status, life_s = child.life().as_secs(), "a worker died; starting another");
                    }
                    () = office.stop.cancelled() => {
                        child.stop(STOP).await;
                    }
                }
                child.life()
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "cannot start a worker");
                Duration::ZERO
            }
        };
        let dead = Arc::clone(&office);
        burials.spawn(async move { dead.bury(&worker).await });
        tokio::select! {
            () = office.stop.cancelled() => {}
            () = tokio::time::sleep(pace.after(life)) => {}
        }
    }
    // Redis is still there; if it is not, the roll tells the next start.
    let _ = tokio::time::timeout(Duration::from_secs(3), async {
        while burials.join_next().await.is_some() {}
    })
    .await;
}

impl Office {
    /// Ends the leases of a worker that is dead for certain, whatever it died of, and strikes it from the roll.
    async fn bury(&self, worker: &WorkerId) {
        let end = tokio::time::Instant::now() + EXPIRE;
        loop {
            match self.queue.expire_worker(worker, None, &self.reap).await {
                Ok(report) => {
                    if report.expired > 0 {
                        tracing::info!(%worker, tasks = report.expired, "its tasks run again");
                    }
                    break;
                }
                Err(error) if tokio::time::Instant::now() >= end => {
                    tracing::warn!(%worker, %error, "cannot end its leases; they run out by themselves");
                    break;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
        self.roll.strike(worker);
    }
}

/// Waits until the workers of a killed `wtt up` have ended: while they live they hand back by themselves, and to end their
/// leases would count a crash on each of their tasks.
async fn predecessors_gone(plan: &Plan) -> anyhow::Result<()> {
    let path = plan.lives();
    let file = lock::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let end = tokio::time::Instant::now() + PREDECESSORS;
    let mut told = false;
    while !lock::try_lock(&file).with_context(|| format!("cannot lock {}", path.display()))? {
        if tokio::time::Instant::now() >= end {
            tracing::warn!("a worker of an earlier `wtt up` does not end; going on without it");
            break;
        }
        if !told {
            tracing::info!("waiting for the workers of an earlier `wtt up` to end");
            told = true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn launch(plan: &Plan, number: usize, worker: &WorkerId) -> io::Result<Child> {
    let life = lock::open(&plan.lives())?;
    // Only a start takes it alone, and it has let go of it by now.
    if !lock::try_share(&life)? {
        return Err(io::Error::other(
            "another process waits for our workers to end",
        ));
    }
    let mut command = Command::new(&plan.program);
    command
        .arg0("wtt-worker")
        .arg("worker")
        .envs(plan.environment.iter().cloned());
    NOT_FOR_WORKERS.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
        .env("WTT_WORKER_ID", worker.as_str())
        .env(
            "WTT_TEMP_DIR",
            plan.data_dir.join("tmp").join(format!("worker-{number}")),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    if let Some(dir) = &plan.log_dir {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join(format!("worker-{number}.log")))?;
        command.stderr(log);
    }
    Child::spawn(
        command,
        Tether {
            inherited: Some(life),
            nice: NICE,
        },
    )
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use queue::testing::RedisServer;
    use queue::{Beat, QueueConfig, WorkerAbout, WorkerState};

    use super::*;

    /// A worker that only sleeps, but leaves its id behind.
    fn sleepers(data_dir: &std::path::Path, count: usize) -> Plan {
        let program = data_dir.join("sleeper");
        std::fs::write(
            &program,
            "#!/bin/sh\necho \"$WTT_WORKER_ID $$ key=$WTT_API_KEY\" >> \"$SEEN\"\nexec sleep 600\n",
        )
        .unwrap();
        let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let environment = vec![
            ("SEEN".into(), data_dir.join("seen").into()),
            ("WTT_API_KEY".into(), "secret".into()),
        ];
        Plan {
            count,
            program,
            environment,
            data_dir: data_dir.to_owned(),
            log_dir: None,
        }
    }

    fn seen(data_dir: &std::path::Path) -> Vec<(String, rustix::process::Pid)> {
        let text = std::fs::read_to_string(data_dir.join("seen")).unwrap_or_default();
        assert!(!text.contains("secret"), "the API key reached a worker");
        let parse = |line: &str| {
            let mut words = line.split(' ');
            let (id, pid) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
            Some((id, rustix::process::Pid::from_raw(pid)?))
        };
        text.lines().filter_map(parse).collect()
    }

    async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            assert!(Instant::now() < end, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn beat(queue: &Queue, worker: &str) {
        let beat = Beat {
            worker: WorkerId::parse(worker).unwrap(),
            state: WorkerState::Idle,
            about: WorkerAbout::default(),
            held: Vec::new(),
            ttl_ms: 60_000,
        };
        queue.heartbeat(&beat).await.unwrap();
    }

    async fn known(queue: &Queue, worker: &str) -> bool {
        let seen = queue.observe(&queue::QueueName::default()).await.unwrap();
        seen.workers.iter().any(|seen| seen.worker == worker)
    }

    #[tokio::test]
    async fn a_killed_worker_is_replaced_under_a_new_id_and_taken_out_of_redis() {
        let server = RedisServer::start();
        let queue = Queue::connect(&QueueConfig::new(server.url()))
            .await
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let workers = Workers::start(
            sleepers(dir.path(), 2),
            queue.clone(),
            ReapOptions::default(),
        )
        .await
        .unwrap();
        let first = eventually("two workers start", async || {
            Some(seen(dir.path())).filter(|seen| seen.len() == 2)
        })
        .await;
        let lives = lock::open(&dir.path().join("workers.lock")).unwrap();
        assert!(
            !lock::try_lock(&lives).unwrap(),
            "a living worker cannot be seen"
        );
        beat(&queue, &first[0].0).await;
        rustix::process::kill_process(first[0].1, rustix::process::Signal::KILL).unwrap();
        let third = eventually("a third starts", async || seen(dir.path()).get(2).cloned()).await;
        assert!(!first.contains(&third), "the id was used again");
        eventually("the dead one is taken out", async || {
            (!known(&queue, &first[0].0).await).then_some(())
        })
        .await;
        let roll = eventually("the roll is right", async || {
            let roll = std::fs::read_to_string(dir.path().join("workers")).unwrap();
            (roll.lines().count() == 2 && roll.contains(&third.0)).then_some(roll)
        })
        .await;
        assert!(!roll.contains(&first[0].0));
        workers.stop().await;
        for (_, pid) in seen(dir.path()) {
            assert!(
                rustix::process::test_kill_process(pid).is_err(),
                "a worker outlived stop()"
            );
        }
        assert!(lock::try_lock(&lives).unwrap(), "the lock outlived them");
        assert_eq!(
            std::fs::read_to_string(dir.path().join("workers")).unwrap(),
            ""
        );
    }

    #[tokio::test]
    async fn workers_of_a_run_that_crashed_are_buried_at_the_next_start() {
        let server = RedisServer::start();
        let queue = Queue::connect(&QueueConfig::new(server.url()))
            .await
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("workers"), "up-1-dead\n").unwrap();
        beat(&queue, "up-1-dead").await;
        let lives = lock::open(&dir.path().join("workers.lock")).unwrap();
        assert!(lock::try_share(&lives).unwrap());
        let start = || {
            Workers::start(
                sleepers(dir.path(), 0),
                queue.clone(),
                ReapOptions::default(),
            )
        };
        // It still lives, so it is left alone.
        let early = tokio::time::timeout(Duration::from_secs(1), start()).await;
        assert!(early.is_err(), "a start did not wait for the living");
        assert!(known(&queue, "up-1-dead").await);
        drop(lives);
        let workers = start().await.unwrap();
        assert!(!known(&queue, "up-1-dead").await);
        workers.stop().await;
    }
}

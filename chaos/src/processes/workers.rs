//! The workers under test: some bare, started again by us a moment after their death and under another name, which tells nobody;
//! the others under `wtt workers`, whose supervisor is that of `wtt up` and sees each death.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Place, ended, signal, start};

/// Workers are heavy and can wait; `wtt up` gives its own the same.
const NICE: u32 = 5;
const RESTART: Duration = Duration::from_millis(500);
const STOP: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) redis_url: String,
    pub(crate) api_url: String,
    pub(crate) bare: usize,
    pub(crate) supervised: usize,
    pub(crate) slots: u32,
    pub(crate) max_crashes: u32,
}

/// A living worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) id: String,
    pub(crate) pid: Pid,
    pub(crate) is_supervised: bool,
}

#[derive(Debug)]
struct Bare {
    id: String,
    child: Child,
    died: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct Workers {
    place: Place,
    settings: Settings,
    bare: Vec<Bare>,
    supervisor: Option<Child>,
    /// Whom we hit: their death is no surprise.
    doomed: BTreeSet<String>,
    /// Alive at the last look.
    seen: BTreeSet<String>,
    started: u32,
}

impl Workers {
    pub(crate) fn start(place: &Place, settings: Settings) -> anyhow::Result<Self> {
        let mut workers = Workers {
            place: place.clone(),
            supervisor: None,
            bare: Vec::new(),
            doomed: BTreeSet::new(),
            seen: BTreeSet::new(),
            started: 0,
            settings,
        };
        for _ in 0..workers.settings.bare {
            let bare = workers.launch()?;
            workers.bare.push(bare);
        }
        if workers.settings.supervised > 0 {
            workers.supervisor = Some(workers.supervise()?);
        }
        Ok(workers)
    }

    /// Who lives now, by name.
    pub(crate) fn alive(&self) -> BTreeMap<String, Worker> {
        let bare = self.bare.iter().filter(|bare| bare.died.is_none());
        let bare = bare.map(|bare| Worker {
            id: bare.id.clone(),
            pid: Pid::from_child(&bare.child),
            is_supervised: false,
        });
        let supervised = self.supervisor.iter().flat_map(children);
        bare.chain(supervised)
            .map(|worker| (worker.id.clone(), worker))
            .collect()
    }

    /// Those that nobody has hit yet.
    pub(crate) fn healthy(&self) -> Vec<Worker> {
        let mut alive = self.alive();
        alive.retain(|id, _| !self.doomed.contains(id));
        alive.into_values().collect()
    }

    /// Its death will be our doing.
    pub(crate) fn doom(&mut self, id: &str) {
        self.doomed.insert(id.to_owned());
    }

    /// It goes on after all: it may be hit again, and must not die by itself.
    pub(crate) fn forgive(&mut self, id: &str) {
        self.doomed.remove(id);
    }

    /// Buries and restarts bare workers; returns who died though nobody hit them.
    pub(crate) fn tend(&mut self) -> anyhow::Result<Vec<String>> {
        for bare in &mut self.bare {
            if bare.died.is_none() && bare.child.try_wait()?.is_some() {
                bare.died = Some(Instant::now());
            }
        }
        let alive: BTreeSet<String> = self.alive().into_keys().collect();
        let gone = self.seen.difference(&alive);
        let surprises = gone
            .filter(|id| !self.doomed.contains(*id))
            .cloned()
            .collect();
        self.seen = alive;
        for index in 0..self.bare.len() {
            if self.bare[index]
                .died
                .is_some_and(|died| died.elapsed() >= RESTART)
            {
                self.bare[index] = self.launch()?;
            }
        }
        Ok(surprises)
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        for bare in &self.bare {
            signal(&bare.child, Signal::TERM);
            signal(&bare.child, Signal::CONT);
        }
        for worker in self.supervisor.iter().flat_map(children) {
            let _ = kill_process(worker.pid, Signal::CONT);
        }
        if let Some(supervisor) = &mut self.supervisor {
            signal(supervisor, Signal::TERM);
            ended(supervisor, STOP).await?;
        }
        for bare in &mut self.bare {
            ended(&mut bare.child, STOP).await?;
        }
        Ok(())
    }

    fn launch(&mut self) -> anyhow::Result<Bare> {
        self.started += 1;
        let id = format!("bare-{}-{:08x}", self.started, rand::random::<u32>());
        let mut command =
            self.place
                .command_on_one_core(&self.place.binary("wtt-worker"), &id, NICE)?;
        self.tell(&mut command);
        command
            .env("WTT_WORKER_ID", &id)
            .env("WTT_DRAIN_TIMEOUT", "0s");
        Ok(Bare {
            id,
            child: start(command)?,
            died: None,
        })
    }

    fn supervise(&self) -> anyhow::Result<Child> {
        let mut command =
            self.place
                .command_on_one_core(&self.place.binary("wtt"), "supervisor", 0)?;
        self.tell(&mut command);
        command
            .arg("workers")
            .args([
                "--workers",
                &self.settings.supervised.to_string(),
                "--data-dir",
            ])
            .arg(self.place.folder.join("supervised"))
            .arg("--log-dir")
            .arg(&self.place.folder);
        start(command)
    }

    fn tell(&self, command: &mut std::process::Command) {
        command
            .env("WTT_REDIS_URL", &self.settings.redis_url)
            .env("WTT_API_URL", &self.settings.api_url)
            .env("WTT_SLOTS", self.settings.slots.to_string())
            .env("WTT_MAX_CRASHES", self.settings.max_crashes.to_string())
            .env("WTT_THREADS", "1");
    }
}

/// The worker processes of a supervisor. One that has not begun its program yet has no name and is left out.
fn children(supervisor: &Child) -> Vec<Worker> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", supervisor.id()));
    let lists = threads.into_iter().flatten().flatten();
    let pids: Vec<i32> = lists
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect();
    pids.into_iter().filter_map(worker).collect()
}

fn worker(pid: i32) -> Option<Worker> {
    let is_zombie = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()?
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('Z'));
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let id = environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(b"WTT_WORKER_ID="))?;
    (!is_zombie).then_some(Worker {
        id: String::from_utf8_lossy(id).into_owned(),
        pid: Pid::from_raw(pid)?,
        is_supervised: true,
    })
}

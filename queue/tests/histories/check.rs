//! The invariants, looked up in Redis; and the end of a history: faults stop, and every task ends.

use std::collections::BTreeMap;

use queue::{ClaimRequest, FsckReport, Priority, QueueName};
use redis::AsyncCommands;

use crate::model::{Place, QUEUES, Task};
use crate::step::End;
use crate::view::{KINDS, Spot, View, number};
use crate::workers::worker_id;
use crate::world::{Holds, World, ensure, tell};

/// Between two rounds of the end; shorter than a lease, so that nobody is given amnesty.
const ROUND_MS: u64 = 7_000;
const MOST_ROUNDS: u32 = 200;

impl World<'_> {
    /// Looks at what is not final and what was touched, or at everything.
    pub(crate) async fn check(&mut self, all: bool) -> Holds {
        self.counts.checks += 1;
        let which: Vec<usize> = (0..self.model.tasks.len())
            .filter(|n| all || self.model.tasks[*n].is_open() || self.touched.contains(n))
            .collect();
        self.touched.clear();
        let text = self.look(&which).await?;
        let view = View::of(&text);
        for (hash, n) in view.hashes.iter().zip(which) {
            if self.faults.copies && self.model.tasks[n].run().is_none() {
                // Strays expire that the model cannot see.
                let seen = hash.get("crashes").map_or(0, |n| number(n)) as u32;
                self.model.tasks[n].crashes = seen.max(self.model.tasks[n].crashes);
            }
            let task = &self.model.tasks[n];
            let name = task.name.as_str();
            let lease = view.leases.get(name).copied();
            self.check_record(task, hash)
                .and_then(|()| self.check_place(task, view.spots(name), lease))
                .and_then(|()| self.check_records(n, &view))
                .map_err(|mut violation| {
                    let spots = view.spots(name);
                    violation.what += &format!(
                        "\n    {name}: {task:?}\n    Redis: {hash:?} at {spots:?}, lease {lease:?}"
                    );
                    violation
                })?;
        }
        let dead: Vec<&str> = self
            .model
            .dead
            .iter()
            .rev()
            .map(|n| self.model.tasks[*n].name.as_str())
            .collect();
        ensure!(
            view.dead == dead,
            "S7",
            "dead letters {:?} instead of {dead:?}",
            view.dead
        );
        let rising = view.outbox.windows(2).all(|two| two[0].0 > two[1].0);
        ensure!(rising, "S8", "{:?}", view.outbox);
        if !self.faults.copies {
            check_sums("work", &view.work, self.model.work())?;
            check_sums("inflight", &view.inflight, self.model.inflight())?;
        }
        Ok(())
    }

    fn check_record(&self, task: &Task, hash: &BTreeMap<&str, &str>) -> Holds {
        let status = match &task.place {
            Place::Gone => {
                ensure!(hash.is_empty(), "S3", "forgotten, and still there");
                return Ok(());
            }
            Place::Running(_) => "processing",
            Place::Final if task.completed => "completed",
            Place::Final => "failed",
            _ => "pending",
        };
        let is = |field: &str| hash.get(field).copied();
        ensure!(
            is("status") == Some(status),
            "status",
            "{:?} instead of {status}",
            is("status")
        );
        for (rule, field, expected) in [
            ("S6", "attempt", u64::from(task.attempt)),
            ("life", "life", task.life),
            ("retries", "retries", u64::from(task.retries)),
            ("crashes", "crashes", u64::from(task.crashes)),
            ("crashes", "solo_crashes", u64::from(task.solo_crashes)),
            ("releases", "releases", u64::from(task.releases)),
        ] {
            // A field at its default is not stored.
            let default = u64::from(field == "life");
            let found = is(field).map_or(default, number);
            ensure!(
                found == expected,
                rule,
                "{field} {found} instead of {expected}"
            );
        }
        ensure!(
            is("parked").is_some() == task.parked,
            "parked",
            "parked {:?}",
            is("parked")
        );
        ensure!(
            is("cancel") == task.cancel,
            "cancel",
            "cancel {:?} instead of {:?}",
            is("cancel"),
            task.cancel
        );
        let token = task.token.as_ref().map(|token| token.as_str());
        ensure!(
            is("token") == token,
            "S5",
            "token {:?} instead of {token:?}",
            is("token")
        );
        if task.place == Place::Final {
            ensure!(
                is("error_kind") == Some(&task.kind),
                "kind",
                "{:?} instead of {}",
                is("error_kind"),
                task.kind
            );
        }
        if let Some(run) = task.run() {
            ensure!(
                is("worker_id") == Some(&run.worker),
                "worker",
                "{:?}",
                is("worker_id")
            );
            ensure!(
                is("hard_until").map(number) == Some(run.hard_until),
                "limit",
                "{:?}",
                is("hard_until")
            );
        }
        Ok(())
    }

    fn check_place(&self, task: &Task, spots: &[Spot], lease: Option<u64>) -> Holds {
        let processing = spots.contains(&Spot::Processing);
        if let Some(run) = task.run() {
            ensure!(processing, "S2", "it runs, and is not in the list");
            ensure!(
                lease == Some(run.lease),
                "S2",
                "lease {lease:?} instead of {}",
                run.lease
            );
        }
        if task.waits() {
            ensure!(!spots.is_empty(), "S1", "it waits nowhere");
        }
        if self.faults.copies {
            return Ok(());
        }
        let (rule, expected, leased) = match task.place {
            Place::Ready => ("place", Some(Spot::List(task.queue, kind_of(task))), None),
            Place::Delayed(due) => ("place", Some(Spot::Delayed(due)), None),
            Place::Parked => ("place", Some(Spot::Parked), None),
            Place::Stray(lease) => ("place", Some(Spot::Processing), lease),
            Place::Running(_) => ("S2", Some(Spot::Processing), lease),
            _ => ("S4", None, None),
        };
        ensure!(
            spots == expected.as_slice(),
            rule,
            "at {spots:?} instead of {expected:?}"
        );
        ensure!(
            lease == leased,
            rule,
            "lease {lease:?} instead of {leased:?}"
        );
        Ok(())
    }

    /// One final record for each life that has ended, in the outbox or in the database.
    fn check_records(&self, n: usize, view: &View<'_>) -> Holds {
        let task = &self.model.tasks[n];
        for life in 1..=task.life {
            let mut numbers = self.database.get(&(n, life)).cloned().unwrap_or_default();
            let waiting = view
                .outbox
                .iter()
                .filter(|(_, id, of)| *id == task.name && *of == life);
            numbers.extend(waiting.map(|(number, ..)| number));
            let ended = self.model.records.get(&(n, life)).copied().unwrap_or(0);
            if !self.lossy {
                ensure!(
                    numbers.len() == ended as usize,
                    "S3",
                    "life {life}: records {numbers:?} instead of {ended}"
                );
            } else if task.place == Place::Final && life == task.life && !self.unsure {
                ensure!(!numbers.is_empty(), "S3", "life {life}: no record");
            }
        }
        Ok(())
    }

    /// No new faults, and one honest worker: every task ends (L1).
    pub(crate) async fn ending(&mut self) -> Holds {
        tell!(self, "the faults end");
        for flag in std::mem::take(&mut self.model.flags) {
            self.site.redis.srem::<_, _, ()>("task:drain", flag).await?;
        }
        self.hold(false).await?;
        for n in 0..self.model.tasks.len() {
            if self.model.tasks[n].parked {
                self.park(n, false).await?;
            }
        }
        self.workers.clear();
        let mut rounds = 0;
        loop {
            self.advance(ROUND_MS);
            self.reap(100, 0).await?;
            self.honest_round().await?;
            if self.lossy {
                self.read_outbox(0, 200).await?;
                self.store(0, true).await?;
                self.reconcile().await?;
            }
            if self.all_ended() {
                break;
            }
            rounds += 1;
            let open: Vec<&Task> = self
                .model
                .tasks
                .iter()
                .filter(|task| task.is_open())
                .collect();
            ensure!(rounds < MOST_ROUNDS, "L1", "these never end: {open:?}");
        }
        for _ in 0..4 {
            self.advance(ROUND_MS);
            self.reap(100, 0).await?;
            self.honest_round().await?; // drops copies that still lie about
        }
        self.check(true).await?;
        self.nothing_left().await
    }

    fn all_ended(&self) -> bool {
        let ended = |task: &Task| !task.is_open();
        let stored = |(n, task): (usize, &Task)| {
            task.row_life
                .is_none_or(|life| self.database.contains_key(&(n, life)))
        };
        let tasks = &self.model.tasks;
        tasks.iter().all(ended) && (!self.lossy || tasks.iter().enumerate().all(stored))
    }

    async fn honest_round(&mut self) -> Holds {
        let mut empty = false;
        while !empty {
            let asked = ClaimRequest {
                worker: worker_id("honest"),
                queues: QUEUES
                    .iter()
                    .filter_map(|name| QueueName::parse(*name).ok())
                    .collect(),
                nonce: self.nonce(),
                held: 0,
                slots: 1,
            };
            match self.claim(&asked).await? {
                Some(claim) => self.end(&claim, End::Complete).await?,
                None => empty = true,
            }
        }
        Ok(())
    }

    async fn nothing_left(&mut self) -> Holds {
        while {
            self.read_outbox(0, 200).await?;
            !self.read[0].is_empty()
        } {
            self.store(0, true).await?;
        }
        for ((n, life), ended) in &self.model.records {
            let stored = self
                .database
                .get(&(*n, *life))
                .map_or(0, |numbers| numbers.len());
            let right = self.lossy || stored == *ended as usize;
            ensure!(
                right,
                "S3",
                "t{n} life {life}: the database has {stored} records instead of {ended}"
            );
        }
        for key in [
            "task:queue",
            "task:processing",
            "task:processing:time",
            "task:delayed",
            "task:parked",
            "task:work",
            "task:inflight",
        ] {
            let there: bool = self.site.redis.exists(key).await?;
            ensure!(!there, "L1", "{key} is not empty");
        }
        let there = |task: &&Task| task.place != Place::Gone;
        let expected = FsckReport {
            tasks: self.model.tasks.iter().filter(there).count() as u64,
            ..FsckReport::default()
        };
        let found = self.site.queue.fsck().await?;
        ensure!(
            found == expected,
            "fsck",
            "{found:?} instead of {expected:?}"
        );
        Ok(())
    }
}

fn check_sums(
    rule: &'static str,
    found: &BTreeMap<&str, u64>,
    expected: BTreeMap<String, u64>,
) -> Holds {
    let same = found.len() == expected.len()
        && expected
            .iter()
            .all(|(field, sum)| found.get(field.as_str()) == Some(sum));
    ensure!(same, rule, "{found:?} instead of {expected:?}");
    Ok(())
}

/// The lists that hold ready tasks, by the name of the kind.
fn kind_of(task: &Task) -> &'static str {
    match task.priority {
        _ if task.crashes > 0 => KINDS[0],
        Priority::High => KINDS[1],
        Priority::Normal => KINDS[2],
        Priority::Low => KINDS[3],
    }
}

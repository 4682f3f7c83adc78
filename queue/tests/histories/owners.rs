//! What owners of tasks, operators, old clients and the database's readers do, and what each answer must be.

use queue::*;

use crate::model::{CANCELS, Place, QUEUES, Task};
use crate::step::{Epoch as EpochStep, Reply, Step};
use crate::view::{KINDS, Spot, View};
use crate::workers::{queue_name, worker_id};
use crate::world::{Holds, Violation, World, ensure, tell};

const MODELS: [&str; 2] = ["bp", "mt3"];
const KEY_TTL_MS: u64 = 3_600_000;

fn calls(reply: Reply) -> usize {
    match reply {
        Reply::Heard | Reply::Lost => 1,
        Reply::Repeated => 2,
    }
}

impl World<'_> {
    pub(crate) async fn enqueue_step(&mut self, step: Step) -> Holds {
        match step {
            Step::Enqueue {
                queue,
                priority,
                model,
                audio_ms,
                delay_ms,
                max_retries,
                max_depth,
                key,
                reply,
            } => {
                let n = self.model.tasks.len();
                self.model.tasks.push(Task {
                    name: format!("t{n}"),
                    queue: queue as usize,
                    priority: [Priority::High, Priority::Normal, Priority::Low][priority as usize],
                    model: MODELS[model as usize].to_owned(),
                    audio_ms,
                    max_retries,
                    place: Place::Gone,
                    turn: 0,
                    life: 1,
                    attempt: 0,
                    retries: 0,
                    crashes: 0,
                    solo_crashes: 0,
                    releases: 0,
                    parked: false,
                    cancel: None,
                    token: None,
                    last_failed: None,
                    last_released: None,
                    completed: false,
                    kind: String::new(),
                    finished_at: 0,
                    key: None,
                    row_life: None,
                });
                let key = key.map(|key| format!("key{key}"));
                for _ in 0..calls(reply) {
                    self.enqueue(n, 1, delay_ms, max_depth, key.clone()).await?;
                }
                self.counts.tasks += 1;
                Ok(())
            }
            Step::EnqueueAgain { task } => {
                let Some(n) = self.any_task(task) else {
                    return Ok(());
                };
                let life = self.model.tasks[n].life + 1;
                self.enqueue(n, life, 0, 0, None).await
            }
            _ => Ok(()),
        }
    }

    /// One ENQUEUE. Of a task that is gone nothing is known any more, so its life must be a later one.
    pub(crate) async fn enqueue(
        &mut self,
        n: usize,
        life: u64,
        delay_ms: u64,
        max_depth: u64,
        key: Option<String>,
    ) -> Holds {
        self.called("enqueue");
        self.touched.insert(n);
        let id = self.id(n);
        let task = &self.model.tasks[n];
        let new = NewTask {
            queue: queue_name(task.queue),
            priority: task.priority,
            life,
            delay_ms,
            max_retries: task.max_retries,
            max_depth,
            idempotency: key.clone().map(|key| (key, KEY_TTL_MS)),
            ..NewTask::new(
                id.clone(),
                task.model.clone(),
                TaskPayload::default(),
                task.audio_ms,
            )
        };
        let first = key.as_ref().and_then(|key| self.model.keys.get(key));
        let depth = self.model.depth(task.queue) as u64;
        let expected = match first {
            Some(first) => Enqueued::Known {
                id: self.id(*first),
            },
            None if task.place != Place::Gone => Enqueued::Known { id: id.clone() },
            None if max_depth > 0 && depth >= max_depth => Enqueued::Full { depth },
            None => Enqueued::New,
        };
        let answer = self.site.queue.enqueue(&new).await?;
        tell!(
            self,
            "enqueue {id} life {life} delay {delay_ms} key {key:?}: {answer:?}"
        );
        let known = |answer: &Enqueued| matches!(answer, Enqueued::Known { .. });
        let right = match self.faults.copies {
            // How full the lists are is vague.
            true => known(&answer) == known(&expected),
            false => answer == expected,
        };
        ensure!(right, "enqueue", "{id}: {answer:?} instead of {expected:?}");
        if answer == Enqueued::New {
            self.model.begin(n, life, delay_ms, key);
        }
        Ok(())
    }

    pub(crate) async fn cancel_step(&mut self, task: u8, kind: u8, reply: Reply) -> Holds {
        let Some(n) = self.any_task(task) else {
            return Ok(());
        };
        for _ in 0..calls(reply) {
            self.cancel(n, kind as usize).await?;
        }
        Ok(())
    }

    pub(crate) async fn cancel(&mut self, n: usize, kind: usize) -> Holds {
        self.called("cancel");
        self.touched.insert(n);
        let id = self.id(n);
        let expected = self.model.cancel(n, kind);
        let word = [
            CancelKind::Cancelled,
            CancelKind::Deadline,
            CancelKind::QueueDeadline,
        ][kind];
        let answer = self.site.queue.cancel(&id, word, "enough").await?;
        tell!(self, "cancel {id} ({}): {answer:?}", CANCELS[kind]);
        ensure!(
            answer == expected,
            "cancel",
            "{id}: {answer:?} instead of {expected:?}"
        );
        Ok(())
    }

    pub(crate) async fn park_step(&mut self, task: u8, on: bool, reply: Reply) -> Holds {
        let Some(n) = self.any_task(task) else {
            return Ok(());
        };
        for _ in 0..calls(reply) {
            self.park(n, on).await?;
        }
        Ok(())
    }

    pub(crate) async fn park(&mut self, n: usize, on: bool) -> Holds {
        self.called(if on { "park" } else { "unpark" });
        self.touched.insert(n);
        let id = self.id(n);
        let (expected, answer) = match on {
            true => (self.model.park(n), self.site.queue.park(&id).await?),
            false => (self.model.unpark(n), self.site.queue.unpark(&id).await?),
        };
        tell!(self, "park {id} {on}: {answer:?}");
        ensure!(
            answer == expected,
            "park",
            "{id}: park {on}: {answer:?} instead of {expected:?}"
        );
        Ok(())
    }

    pub(crate) async fn replay_step(&mut self, task: u8, raise: bool, reply: Reply) -> Holds {
        let Some(n) = self.any_task(task) else {
            return Ok(());
        };
        let task = &self.model.tasks[n];
        // Only a failed row is retried; whoever calls with an old life has not heard the answer.
        let raise = raise && task.place == Place::Final && !task.completed;
        let life = task.life + u64::from(raise);
        for _ in 0..calls(reply) {
            self.replay(n, life).await?;
        }
        Ok(())
    }

    /// The row first, then REPLAY; and ENQUEUE where Redis has forgotten the task.
    pub(crate) async fn replay(&mut self, n: usize, life: u64) -> Holds {
        self.called("replay");
        self.touched.insert(n);
        let id = self.id(n);
        let (expected, changes) = self.model.replay(n, life);
        if changes {
            self.model.tasks[n].row_life = Some(life);
        }
        let answer = self.site.queue.replay(&id, life).await?;
        tell!(self, "replay {id} life {life}: {answer:?}");
        ensure!(
            answer == expected,
            "replay",
            "{id} life {life}: {answer:?} instead of {expected:?}"
        );
        if answer == Replayed::Unknown {
            let later = self.model.tasks[n].life + 1;
            self.enqueue(n, later, 0, 0, None).await?;
        }
        Ok(())
    }

    pub(crate) async fn forget_step(&mut self, task: u8) -> Holds {
        match self.any_task(task) {
            Some(n) => {
                if matches!(self.model.tasks[n].place, Place::Final | Place::Gone) {
                    self.model.tasks[n].row_life = None;
                }
                self.forget(n).await
            }
            None => Ok(()),
        }
    }

    pub(crate) async fn forget(&mut self, n: usize) -> Holds {
        self.called("forget");
        self.touched.insert(n);
        let id = self.id(n);
        let expected = self.model.forget(n);
        let answer = self.site.queue.forget(&id).await?;
        tell!(self, "forget {id}: {answer}");
        ensure!(
            answer == expected,
            "forget",
            "{id}: {answer} instead of {expected}"
        );
        Ok(())
    }

    pub(crate) async fn drain_step(
        &mut self,
        worker: u8,
        pod: bool,
        on: bool,
        epoch: EpochStep,
    ) -> Holds {
        self.called("drain");
        let worker = &self.workers[self.any_worker(worker)];
        let (flag, target) = match pod {
            true => (
                format!("pod:{}", worker.pod),
                DrainTarget::Pod(worker.pod.clone()),
            ),
            false => (
                worker.name.clone(),
                DrainTarget::Worker(worker_id(&worker.name)),
            ),
        };
        let epoch = self.epoch(epoch);
        let expected = match self.model.heard(epoch) {
            true => Epoch::Accepted,
            false => Epoch::Stale,
        };
        if expected == Epoch::Accepted && on {
            self.model.flags.insert(flag.clone());
        } else if expected == Epoch::Accepted {
            self.model.flags.remove(&flag);
        }
        let queue = &self.site.queue;
        let answer = match on {
            true => queue.drain(&target, epoch).await?,
            false => queue.undrain(&target, epoch).await?,
        };
        tell!(self, "drain {flag} {on}, epoch {epoch:?}: {answer:?}");
        ensure!(
            answer == expected,
            "epoch",
            "drain {flag}, epoch {epoch:?}: {answer:?} instead of {expected:?}"
        );
        Ok(())
    }

    pub(crate) async fn hold(&mut self, on: bool) -> Holds {
        self.called("pause");
        self.model.held_back = on;
        self.site.queue.pause(on).await?;
        tell!(self, "claims are held back: {on}");
        Ok(())
    }

    /// A client of the seed's era: moves an id, and dies before it says until when.
    pub(crate) async fn old_move(&mut self) -> Holds {
        self.called("old move");
        let moved: Option<String> = redis::cmd("RPOPLPUSH")
            .arg("task:queue")
            .arg("task:processing")
            .query_async(&mut self.site.redis)
            .await?;
        tell!(self, "an old client moves {moved:?}");
        if let Some(n) = moved.and_then(|id| self.task_of(&id))
            && !self.faults.copies
        {
            let task = &self.model.tasks[n];
            ensure!(
                task.place == Place::Ready,
                "place",
                "{} was in a list: {task:?}",
                task.name
            );
            let list = self.model.list(0, Priority::Normal);
            let first = self.model.first(list);
            ensure!(
                first.contains(&n),
                "order",
                "an old client got t{n} instead of {first:?}"
            );
            self.model.wait(n, Place::Stray(None));
        }
        Ok(())
    }

    pub(crate) async fn old_push(&mut self, task: u8) -> Holds {
        let Some(n) = self.any_task(task) else {
            return Ok(());
        };
        self.called("old push");
        redis::cmd("LPUSH")
            .arg("task:queue")
            .arg(&self.model.tasks[n].name)
            .exec_async(&mut self.site.redis)
            .await?;
        tell!(
            self,
            "an old client pushes {} again",
            self.model.tasks[n].name
        );
        Ok(())
    }

    pub(crate) async fn read_outbox(&mut self, subscriber: u8, most: u8) -> Holds {
        self.called("results");
        let entries = self.site.queue.results(most as usize).await?;
        tell!(
            self,
            "subscriber {} reads {}",
            subscriber % 2,
            entries.len()
        );
        let rising = entries.windows(2).all(|two| two[0].number < two[1].number);
        ensure!(rising, "S8", "{entries:?}");
        self.read[subscriber as usize % 2] = entries;
        Ok(())
    }

    pub(crate) async fn store(&mut self, subscriber: u8, ack: bool) -> Holds {
        let entries = std::mem::take(&mut self.read[subscriber as usize % 2]);
        let Some(top) = entries.iter().map(|entry| entry.number).max() else {
            return Ok(());
        };
        for entry in &entries {
            let Some(n) = self.task_of(entry.id.as_str()) else {
                return Err(Violation {
                    rule: "S3",
                    what: format!("an alien record: {entry:?}"),
                });
            };
            self.touched.insert(n);
            let numbers = self.database.entry((n, entry.life)).or_default();
            numbers.insert(entry.number);
        }
        tell!(
            self,
            "subscriber {} stores up to {top}, acknowledges {ack}",
            subscriber % 2
        );
        if ack {
            self.called("ack_results");
            let taken = self.site.queue.ack_results(top, 1_000).await?;
            ensure!(
                taken <= entries.len(),
                "S3",
                "{taken} entries were taken, {} were stored",
                entries.len()
            );
        }
        Ok(())
    }

    pub(crate) async fn observe(&mut self, queue: u8) -> Holds {
        self.called("observe");
        let n = queue as usize;
        let seen = self.site.queue.observe(&queue_name(n)).await?;
        let flags = seen.draining.iter().cloned().collect();
        ensure!(
            self.model.flags == flags,
            "drain",
            "{flags:?} instead of {:?}",
            self.model.flags
        );
        ensure!(
            seen.paused == self.model.held_back,
            "paused",
            "{}",
            seen.paused
        );
        if self.faults.copies {
            return Ok(());
        }
        let of_this = |sums: std::collections::BTreeMap<String, u64>| -> Vec<(String, u64)> {
            let start = format!("{}/", QUEUES[n]);
            sums.into_iter()
                .filter_map(|(field, sum)| Some((field.strip_prefix(&start)?.to_owned(), sum)))
                .collect()
        };
        let work: Vec<(String, u64)> = seen.work_ms.into_iter().collect();
        let expected = of_this(self.model.work());
        ensure!(work == expected, "work", "{work:?} instead of {expected:?}");
        let inflight = self.model.inflight().get(QUEUES[n]).copied().unwrap_or(0);
        ensure!(
            seen.in_flight_count == inflight,
            "inflight",
            "{} instead of {inflight}",
            seen.in_flight_count
        );
        let depth = self.model.depth(n) as u64;
        ensure!(
            seen.depth.total() == depth,
            "depth",
            "{:?} instead of {depth}",
            seen.depth
        );
        Ok(())
    }

    /// Expected to find nothing, whatever has happened.
    pub(crate) async fn fsck(&mut self) -> Holds {
        self.called("fsck");
        if self.faults.copies {
            return Ok(());
        }
        let found = self.site.queue.fsck().await?;
        let there = |task: &&Task| task.place != Place::Gone;
        let expected = FsckReport {
            tasks: self.model.tasks.iter().filter(there).count() as u64,
            // A moved id without a lease looks like one that nobody will reap, until somebody has.
            ..FsckReport::default()
        };
        ensure!(
            found == expected,
            "fsck",
            "{found:?} instead of {expected:?}"
        );
        Ok(())
    }

    pub(crate) async fn flush_scripts(&mut self) -> Holds {
        self.called("script flush");
        redis::cmd("SCRIPT")
            .arg("FLUSH")
            .exec_async(&mut self.site.redis)
            .await?;
        Ok(())
    }

    /// After a loss: what Redis says now is where the model goes on.
    pub(crate) fn read_back(&mut self, text: &str) {
        let view = View::of(text);
        for (n, hash) in view.hashes.iter().enumerate() {
            let task = &mut self.model.tasks[n];
            let word = |field: &str| hash.get(field).map(|value| (*value).to_owned());
            let count = |field: &str| word(field).and_then(|n| n.parse().ok()).unwrap_or(0_u64);
            let token = |field: &str| word(field).map(Token::new);
            let name = task.name.clone();
            let spot = view.spots(&name).first().copied();
            let lease = view.leases.get(name.as_str()).copied();
            task.turn = 0;
            task.life = count("life").max(1);
            task.attempt = count("attempt") as u32;
            task.retries = count("retries") as u32;
            task.crashes = count("crashes") as u32;
            task.solo_crashes = count("solo_crashes") as u32;
            task.releases = count("releases") as u32;
            task.parked = word("parked").is_some();
            task.cancel = CANCELS
                .into_iter()
                .find(|kind| hash.get("cancel") == Some(kind));
            task.token = token("token");
            task.last_failed = token("last_failed_token");
            task.last_released = token("last_released_token");
            task.kind = word("error_kind").unwrap_or_default();
            task.finished_at = count("finished_at");
            task.key = word("idem").map(|key| key.trim_start_matches("idem:").to_owned());
            task.completed = false;
            task.place = match hash.get("status").copied() {
                None => Place::Gone,
                Some("processing") => {
                    let alone = word("alone").as_deref() == Some("1");
                    Place::Running(crate::model::Run {
                        worker: word("worker_id").unwrap_or_default(),
                        alone,
                        solo: alone || count("worker_slots") == 1,
                        hard_until: count("hard_until"),
                        lease: lease.unwrap_or(0),
                    })
                }
                Some("pending") if self.faults.copies => Place::Waiting,
                Some("pending") => match spot {
                    Some(Spot::Delayed(due)) => Place::Delayed(due),
                    Some(Spot::Parked) => Place::Parked,
                    Some(Spot::Processing) => Place::Stray(lease),
                    _ => Place::Ready,
                },
                Some(status) => {
                    task.completed = status == "completed";
                    Place::Final
                }
            };
        }
        let dead: Vec<usize> = view
            .dead
            .iter()
            .rev()
            .filter_map(|id| self.task_of(id))
            .collect();
        self.model.dead = dead;
    }
}

/// The lists that hold ready tasks, by the name of the kind.
pub(crate) fn kind_of(task: &Task) -> &'static str {
    match task.priority {
        _ if task.crashes > 0 => KINDS[0],
        Priority::High => KINDS[1],
        Priority::Normal => KINDS[2],
        Priority::Low => KINDS[3],
    }
}

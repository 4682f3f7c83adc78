//! What operators, old clients and the database's readers do: drain flags, pauses, bare moves and pushes, reading the outbox.

use queue::*;

use crate::model::{Place, QUEUES, Task};
use crate::step::Epoch as EpochStep;
use crate::workers::{queue_name, worker_id};
use crate::world::{Holds, Violation, World, ensure, tell};

impl World<'_> {
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
        let Some(n) = self.one_of(task, |other| match task % 2 {
            0 => other.is_open(),
            _ => other.parked && other.waits(), // a place where no other copy is
        }) else {
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
        self.outdated[subscriber as usize % 2] = false;
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
            self.unsure |= self.outdated[subscriber as usize % 2];
            let taken = self.site.queue.ack_results(top, entries.len()).await?;
            ensure!(
                taken <= entries.len(),
                "S3",
                "{taken} entries were taken, {} were stored",
                entries.len()
            );
        }
        Ok(())
    }
}

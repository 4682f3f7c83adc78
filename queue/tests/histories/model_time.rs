//! What the model expects when time passes: lost leases, strays, due tasks, old dead letters, amnesty.

use queue::ReapReport;

use crate::model::{DEAD_LETTER_MS, GRACE_MS, LEASE_MS, Line, MAX_CRASHES, Model, Place};

/// A crash pause doubles up to this.
const LONGEST_PAUSE_MS: u64 = 30_000;

impl Model {
    /// Due tasks join their lists.
    pub(crate) fn promote(&mut self, most: usize) -> u64 {
        let due: Vec<usize> = self
            .delayed()
            .into_iter()
            .take_while(|(due, _)| *due <= self.now)
            .map(|(_, n)| n)
            .take(most)
            .collect();
        for n in &due {
            self.make_ready(*n, Line::Back);
        }
        due.len() as u64
    }

    pub(crate) fn reap(&mut self, batch: u32, backoff_ms: u64) -> ReapReport {
        let batch = batch as usize;
        let mut report = ReapReport {
            amnesty: self.last_reap > 0 && self.now > self.last_reap + LEASE_MS,
            ..ReapReport::default()
        };
        self.last_reap = self.now;
        if report.amnesty {
            let renewed = self.now + LEASE_MS;
            for task in &mut self.tasks {
                match &mut task.place {
                    Place::Running(run) if run.lease > 0 => run.lease = run.lease.max(renewed),
                    Place::Stray(Some(lease)) if *lease > 0 => *lease = (*lease).max(renewed),
                    _ => {}
                }
            }
        }
        for n in self.expired(batch) {
            report.expired += 1;
            report.poisoned += u64::from(self.expire(n, backoff_ms));
        }
        for task in &mut self.tasks {
            if task.place == Place::Stray(None) {
                task.place = Place::Stray(Some(self.now + GRACE_MS));
                report.adopted += 1;
            }
        }
        report.promoted = self.promote(batch);
        report.purged = self.purge(batch.min(100));
        report.next_due_ms = self.next_due();
        report
    }

    /// Whose lease has ended: first by time, then by name.
    fn expired(&self, batch: usize) -> Vec<usize> {
        let mut all: Vec<(u64, &str, usize)> = vec![];
        for (n, task) in self.tasks.iter().enumerate() {
            let lease = match &task.place {
                Place::Running(run) => run.lease,
                Place::Stray(Some(lease)) => *lease,
                _ => continue,
            };
            if lease <= self.now {
                all.push((lease, &task.name, n));
            }
        }
        all.sort_unstable();
        all.into_iter().map(|(_, _, n)| n).take(batch).collect()
    }

    /// True = poison.
    fn expire(&mut self, n: usize, backoff_ms: u64) -> bool {
        let now = self.now;
        let task = &mut self.tasks[n];
        if let Some(kind) = task.cancel {
            self.finish(n, false, kind);
            return false;
        }
        task.crashes += 1;
        let run = task.run().cloned();
        let late = run.as_ref().is_some_and(|run| now >= run.hard_until);
        if late {
            task.retries += 1;
        } else if run.is_some_and(|run| run.solo) {
            task.solo_crashes += 1;
        }
        if late && task.retries > task.max_retries {
            self.finish(n, false, "timeout");
        } else if !late && task.solo_crashes >= MAX_CRASHES {
            self.finish(n, false, "poison");
            return true;
        } else {
            task.token = None;
            let doubled = backoff_ms.saturating_mul(1 << (task.crashes - 1).min(10));
            match backoff_ms {
                0 => self.make_ready(n, Line::Front),
                _ => self.make_due(n, now + doubled.min(LONGEST_PAUSE_MS)),
            }
        }
        false
    }

    fn purge(&mut self, most: usize) -> u64 {
        let old = |model: &Model, n: usize| {
            model.now.saturating_sub(model.tasks[n].finished_at) > DEAD_LETTER_MS
        };
        let mut purged = 0;
        while purged < most && self.dead.first().is_some_and(|n| old(self, *n)) {
            let n = self.dead.remove(0);
            self.tasks[n].place = Place::Gone;
            purged += 1;
        }
        purged as u64
    }

    /// A worker is known to be dead: its leases end now.
    pub(crate) fn expire_worker(&mut self, worker: &str) {
        self.seen.remove(worker);
        for task in &mut self.tasks {
            match &mut task.place {
                Place::Running(run) if run.worker == worker => run.lease = 0,
                _ => {}
            }
        }
    }
}

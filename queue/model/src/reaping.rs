//! `reaping.lua`, `reap.lua` and `expire_worker.lua`: lost leases, strays, the amnesty. Dead letters are not purged here.

use crate::planted::Bug;
use crate::redis::{Counted, Lease, Script, Side, Status};
use crate::scripts::back_to_pending;
use crate::size::{MAX_CRASHES, MAX_RETRIES, MOST_TASKS};
use crate::state::{Id, Kind, Wid};

impl Script<'_> {
    /// `reap`: the amnesty, then what has expired, then ids without a lease, then due tasks.
    pub fn reap(&mut self) {
        if std::mem::take(&mut self.redis.reap_stale) {
            for lease in &mut self.redis.leases {
                if *lease == Some(Lease::Over) {
                    *lease = Some(Lease::Ahead);
                }
            }
        }
        for id in 0..MOST_TASKS {
            if matches!(self.redis.leases[id], Some(Lease::Over | Lease::Zero)) {
                self.expire(id as Id);
            }
        }
        if !self.has(Bug::ReapWithoutAdoption) {
            self.adopt();
        }
        self.promote();
    }

    /// `expire_worker.lua`. `epoch` 0: a parent, always heard. Returns whether it was heard.
    pub fn expire_worker(&mut self, worker: Wid, epoch: u8) -> bool {
        if epoch > 0 {
            if epoch < self.redis.epoch && !self.has(Bug::EpochIgnored) {
                return false;
            }
            self.redis.epoch = self.redis.epoch.max(epoch);
        }
        for id in self.redis.processing.clone() {
            let ours = |task: &crate::redis::Task| {
                task.status == Status::Processing && task.owner == Some(worker)
            };
            if self.redis.task(id).is_some_and(ours) {
                self.redis.leases[usize::from(id)] = Some(Lease::Zero);
            }
        }
        self.reap();
        true
    }

    /// `expire`: one lost lease.
    fn expire(&mut self, id: Id) {
        self.leave_processing(id);
        let Some(task) = self.redis.task(id) else {
            return;
        };
        let (delayed, parked) = (
            self.redis.delayed[usize::from(id)].is_some(),
            self.redis.parked[usize::from(id)],
        );
        let stray = task.status == Status::Pending && (delayed || parked);
        if stray {
            self.count(id, Counted::No);
            return;
        }
        if !matches!(task.status, Status::Processing | Status::Pending) {
            return;
        }
        if task.cancel {
            self.finish(id, Kind::Cancelled, None, true);
            return;
        }
        let one_slot = self.rules.size.slots == 1 && task.owner.is_some();
        let counts = !self.has(Bug::PoisonNotCounted);
        let task = self.hash(id);
        let late = task.overdue;
        task.crashes += 1;
        if late {
            task.retries += 1;
        } else if task.alone || one_slot {
            task.lost_alone += 1;
            task.solo_crashes += u8::from(counts);
        }
        if late && task.retries > MAX_RETRIES {
            self.finish(id, Kind::Timeout, None, true);
        } else if !late && task.solo_crashes >= MAX_CRASHES {
            self.finish(id, Kind::Poison, None, true);
        } else {
            back_to_pending(task);
            if !self.has(Bug::ReapLosesTheId) {
                self.make_ready(id, Side::Tail);
            }
        }
    }

    /// `adopt`: ids that were moved without a lease get one.
    fn adopt(&mut self) {
        for id in self.redis.processing.clone() {
            if self.redis.leases[usize::from(id)].is_some() {
                continue;
            }
            self.redis.leases[usize::from(id)] = Some(Lease::Ahead);
            let runs = |task: &crate::redis::Task| {
                matches!(task.status, Status::Pending | Status::Processing)
            };
            if self.redis.task(id).is_some_and(runs) {
                self.count(id, Counted::Inflight);
            }
        }
    }
}

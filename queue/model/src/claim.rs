//! `claim.lua`: the nonce, the worker that runs alone, the ticket, and the lists in order. One queue, one priority.

use crate::planted::Bug;
use crate::redis::{Counted, Lease, Script, Side, Status, lrem};
use crate::state::{DEAD, Id, Kind, Token, Wid};

/// Dead entries that one call steps over.
const MOST_SKIPS: usize = 4;

impl Script<'_> {
    /// The claimed task and its token, or nothing.
    pub fn claim(&mut self, worker: Wid, nonce: u8, held: u8) -> Option<(Id, Token)> {
        let key = self.redis.workers.get(usize::from(worker)).cloned();
        let key = key.unwrap_or_default();
        let known = key
            .claim
            .filter(|(_, id, token)| self.redis.live(*id, *token));
        if key.claim.is_some_and(|(last, ..)| last == nonce) && !self.has(Bug::NonceIgnored) {
            // A claim that has ended meanwhile brings no other.
            return known.map(|(_, id, token)| (id, token));
        }
        self.promote();
        let lonely = key
            .alone
            .is_some_and(|(id, token)| self.redis.live(id, token));
        if lonely && !self.has(Bug::CompanyForTheLonely) {
            return None;
        }
        // It was given one that it does not count.
        let held = if held == 0 && known.is_some() {
            1
        } else {
            held
        };
        if held == 0 {
            let taken = self.take(true, worker, nonce);
            if self.redis.ticket == Some(worker) {
                self.redis.ticket = None;
            }
            if taken.is_some() {
                return taken;
            }
        } else if !self.redis.alone.is_empty()
            && self.redis.ticket.is_none_or(|owner| owner == worker)
        {
            self.redis.ticket = Some(worker);
            return None;
        }
        self.take(false, worker, nonce)
    }

    /// One id of a list, in one step with its token and its lease; steps over what must not run.
    fn take(&mut self, alone: bool, worker: Wid, nonce: u8) -> Option<(Id, Token)> {
        for _ in 0..MOST_SKIPS {
            let list = if alone {
                &mut self.redis.alone
            } else {
                &mut self.redis.ready
            };
            let id = list.pop()?;
            let Some(task) = self.redis.tasks[usize::from(id)].as_mut() else {
                continue;
            };
            let astray = !alone && task.crashes > 0;
            if task.status == Status::Pending && !task.cancel && !task.parked && !astray {
                let attempt = task.attempt + 1;
                let token = Token { attempt, nonce };
                task.status = Status::Processing;
                task.token = Some(token);
                task.attempt = attempt;
                task.owner = Some(worker);
                task.alone = alone;
                task.overdue = false;
                self.redis.processing.insert(0, id);
                if !self.has(Bug::ClaimWithoutLease) {
                    self.redis.leases[usize::from(id)] = Some(Lease::Ahead);
                }
                if worker != DEAD {
                    let key = &mut self.redis.workers[usize::from(worker)];
                    key.claim = Some((nonce, id, token));
                    if alone {
                        key.alone = Some((id, token));
                    }
                }
                if !self.has(Bug::ClaimNotCounted) {
                    self.count(id, Counted::Inflight);
                }
                return Some((id, token));
            }
            let (status, cancel) = (task.status, task.cancel);
            lrem(&mut self.redis.processing, id);
            if status == Status::Pending && cancel {
                self.finish(id, Kind::Cancelled, None, true);
            } else if status == Status::Pending {
                self.make_ready(id, Side::Tail);
            }
        }
        None
    }

    /// What a client of the seed's era does before it dies: `RPOPLPUSH task:queue task:processing`, and nothing more.
    pub fn bare_move(&mut self) {
        if let Some(id) = self.redis.ready.pop() {
            self.redis.processing.insert(0, id);
        }
    }
}

//! What the model expects of each call of a worker or an owner: the answer, and the task's record afterwards.

use queue::*;

use crate::model::{CANCELS, LEASE_MS, Line, Model, Place, QUEUES, Run};
use crate::step::End;

/// What a claim may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Again(usize),
    /// The nonce is that of a claim that has ended.
    Spent,
    Paused,
    Draining,
    Nothing,
    /// Whoever is first in its list.
    OneOf(Vec<usize>),
    /// Copies of ids lie about: the answer shows.
    Anything,
}

/// The answer of COMPLETE, FAIL or RELEASE, and whether the call changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Complete(Completed),
    Fail(FailAnswer),
    Release(Released),
}

impl Model {
    fn live(&self, claim: Option<&(usize, Token)>) -> Option<usize> {
        let (n, token) = claim?;
        self.tasks[*n].owned_by(token).then_some(*n)
    }

    pub(crate) fn claim(&mut self, asked: &ClaimRequest) -> Expected {
        let worker = asked.worker.as_str();
        let seen = self.seen.get(worker).cloned().unwrap_or_default();
        if seen.nonce == asked.nonce {
            let live = self.live(seen.claim.as_ref());
            return live.map_or(Expected::Spent, Expected::Again);
        }
        if self.held_back {
            return Expected::Paused;
        }
        let pod_drains = |pod: &String| self.flags.contains(&format!("pod:{pod}"));
        if self.flags.contains(worker) || seen.pod.as_ref().is_some_and(pod_drains) {
            return Expected::Draining;
        }
        self.promote(20);
        if self.live(seen.alone.as_ref()).is_some() {
            return Expected::Nothing;
        }
        if self.copies {
            return Expected::Anything;
        }
        let empty = asked.held == 0 && self.live(seen.claim.as_ref()).is_none();
        let queues: Vec<usize> = asked
            .queues
            .iter()
            .filter_map(|name| QUEUES.iter().position(|queue| *queue == name.as_str()))
            .collect();
        for queue in &queues {
            let list = self.alone_list(*queue);
            if empty {
                if self.tickets.get(queue).is_some_and(|owner| owner == worker) {
                    self.tickets.remove(queue);
                }
                if !list.is_empty() {
                    return Expected::OneOf(self.first(list));
                }
            } else if !list.is_empty() {
                let owner = self
                    .tickets
                    .entry(*queue)
                    .or_insert_with(|| worker.to_owned());
                if owner == worker {
                    return Expected::Nothing;
                }
            }
        }
        for queue in &queues {
            for priority in [Priority::High, Priority::Normal, Priority::Low] {
                let list = self.list(*queue, priority);
                if !list.is_empty() {
                    return Expected::OneOf(self.first(list));
                }
            }
        }
        Expected::Nothing
    }

    /// A claim was given.
    pub(crate) fn claimed(&mut self, n: usize, asked: &ClaimRequest, token: &Token, alone: bool) {
        let task = &mut self.tasks[n];
        task.attempt += 1;
        task.token = Some(token.clone());
        task.place = Place::Running(Run {
            worker: asked.worker.to_string(),
            alone,
            solo: alone || asked.slots == 1,
            hard_until: self.now + 600_000.max(20 * task.audio_ms),
            lease: self.now + LEASE_MS,
        });
        let seen = self.seen.entry(asked.worker.to_string()).or_default();
        seen.nonce.clone_from(&asked.nonce);
        seen.claim = Some((n, token.clone()));
        if alone {
            seen.alone = Some((n, token.clone()));
        }
    }

    pub(crate) fn end(&mut self, n: usize, token: &Token, end: End) -> (Ended, bool) {
        let task = &self.tasks[n];
        let (owns, gone) = (task.owned_by(token), task.place == Place::Gone);
        let last = task.token.as_ref() == Some(token);
        let answer = match end {
            End::Complete if gone => Ended::Complete(Completed::Unknown),
            End::Complete if owns => Ended::Complete(Completed::Done),
            End::Complete if last && task.completed => Ended::Complete(Completed::Already),
            End::Complete => Ended::Complete(Completed::Stale),
            End::Fail { .. } if gone => Ended::Fail(FailAnswer::Unknown),
            End::Fail { .. } if task.last_failed.as_ref() == Some(token) => {
                Ended::Fail(FailAnswer::Already)
            }
            End::Fail { .. } if !owns => Ended::Fail(FailAnswer::Stale),
            End::Fail { retryable, .. } => Ended::Fail(
                if task.cancel.is_none() && retryable && task.retries < task.max_retries {
                    FailAnswer::Retrying
                } else {
                    FailAnswer::Final
                },
            ),
            End::Release if gone => Ended::Release(Released::Unknown),
            End::Release if task.last_released.as_ref() == Some(token) => {
                Ended::Release(Released::Already)
            }
            End::Release if last && task.was_cancelled() => Ended::Release(Released::WasCancelled),
            End::Release if !owns => Ended::Release(Released::Stale),
            End::Release if task.cancel.is_some() => Ended::Release(Released::WasCancelled),
            End::Release => Ended::Release(Released::Returned),
        };
        if owns {
            self.ended(n, token, end, answer);
        }
        (answer, owns)
    }

    fn ended(&mut self, n: usize, token: &Token, end: End, answer: Ended) {
        let now = self.now;
        let task = &mut self.tasks[n];
        let cancel = task.cancel;
        match (end, answer) {
            (End::Complete, _) => self.finish(n, true, "ok"),
            (End::Fail { pause_ms, .. }, Ended::Fail(FailAnswer::Retrying)) => {
                task.retries += 1;
                task.last_failed = Some(token.clone());
                task.token = None;
                self.make_due(n, now + pause_ms);
            }
            (End::Fail { .. }, _) => {
                task.retries += 1;
                task.last_failed = Some(token.clone());
                self.finish(n, false, cancel.unwrap_or("storage"));
            }
            (End::Release, Ended::Release(Released::Returned)) => {
                task.releases += 1;
                task.last_released = Some(token.clone());
                task.token = None;
                self.make_ready(n, Line::Front);
            }
            (End::Release, _) => self.finish(n, false, cancel.unwrap_or("cancelled")),
        }
    }

    pub(crate) fn beat(&mut self, n: usize, token: &Token) -> LeaseState {
        let now = self.now;
        let task = &mut self.tasks[n];
        if !task.owned_by(token) {
            return LeaseState::Lost;
        }
        let asked = task.cancel.is_some();
        let Place::Running(run) = &mut task.place else {
            return LeaseState::Lost;
        };
        if now >= run.hard_until {
            return LeaseState::LimitPassed;
        }
        run.lease = now + LEASE_MS;
        match asked {
            true => LeaseState::CancelRequested,
            false => LeaseState::Kept,
        }
    }

    pub(crate) fn verify(&self, n: usize, token: &Token) -> Verdict {
        let task = &self.tasks[n];
        match task.place {
            Place::Gone => Verdict::Unknown,
            _ if task.owned_by(token) => Verdict::Live,
            Place::Final if task.completed && task.token.as_ref() == Some(token) => {
                Verdict::DoneByThisToken
            }
            _ => Verdict::Stale,
        }
    }

    pub(crate) fn cancel(&mut self, n: usize, kind: usize) -> CancelAnswer {
        let task = &mut self.tasks[n];
        match task.place {
            Place::Gone => CancelAnswer::Unknown,
            Place::Final => CancelAnswer::AlreadyFinal,
            Place::Running(_) => {
                task.cancel.get_or_insert(CANCELS[kind]);
                CancelAnswer::Requested
            }
            _ => {
                self.finish(n, false, CANCELS[kind]);
                CancelAnswer::Cancelled
            }
        }
    }

    pub(crate) fn park(&mut self, n: usize) -> ParkAnswer {
        let task = &mut self.tasks[n];
        match task.place {
            Place::Gone => ParkAnswer::Unknown,
            Place::Final => ParkAnswer::AlreadyFinal,
            Place::Running(_) => {
                task.parked = true;
                ParkAnswer::Noted
            }
            _ => {
                task.parked = true;
                self.wait(n, Place::Parked);
                ParkAnswer::Done
            }
        }
    }

    pub(crate) fn unpark(&mut self, n: usize) -> ParkAnswer {
        let task = &mut self.tasks[n];
        let was_parked = task.place == Place::Parked;
        match task.place {
            Place::Gone => ParkAnswer::Unknown,
            Place::Final => ParkAnswer::AlreadyFinal,
            Place::Running(_) => {
                task.parked = false;
                ParkAnswer::Noted
            }
            _ => {
                task.parked = false;
                if was_parked {
                    self.make_ready(n, Line::Front);
                }
                ParkAnswer::Done
            }
        }
    }

    /// The answer, and whether it changed anything.
    pub(crate) fn replay(&mut self, n: usize, life: u64) -> (Replayed, bool) {
        let task = &mut self.tasks[n];
        if task.place == Place::Gone {
            return (Replayed::Unknown, false);
        }
        if life > 1 && life == task.life {
            return (Replayed::Queued, false);
        }
        if task.place != Place::Final || task.completed || life <= task.life {
            return (Replayed::NotFailed, false);
        }
        task.life = life;
        (task.retries, task.crashes, task.solo_crashes, task.releases) = (0, 0, 0, 0);
        (task.token, task.last_failed, task.last_released) = (None, None, None);
        task.kind.clear();
        self.dead.retain(|dead| *dead != n);
        self.make_ready(n, Line::Back);
        (Replayed::Queued, true)
    }

    pub(crate) fn forget(&mut self, n: usize) -> bool {
        match self.tasks[n].place {
            Place::Gone => true,
            Place::Final => {
                self.dead.retain(|dead| *dead != n);
                if let Some(key) = self.tasks[n].key.take() {
                    self.keys.remove(&key);
                }
                self.tasks[n].place = Place::Gone;
                true
            }
            _ => false,
        }
    }
}

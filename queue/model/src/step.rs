//! One step of anyone, and what it does. Every call to Redis is one atomic script; between them anything may happen to
//! anyone: what may happen when is in `possible.rs`.

use crate::redis::{Lease, Redis, Script};
use crate::scripts::{Answer, Beat};
use crate::service::mend;
use crate::size::Rules;
use crate::state::{Call, DEAD, Held, Id, Kind, Phase, Replica, State, Token, Wid};

/// Whether the caller got the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Got,
    Lost,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    // A worker's steps: `(worker, which of its tasks)`.
    Claim(Wid, Reply),
    Heartbeat(Wid, usize),
    Store(Wid, usize),
    Complete(Wid, usize, Reply),
    Fail(Wid, usize, bool, Reply),
    Release(Wid, usize, Reply),
    // The API's.
    Mend(Id),
    ReadOutbox,
    Acknowledge,
    Cancel(Id),
    Park(Id),
    Unpark(Id),
    Retry(Id),
    // The reapers' and leaders'.
    Reap,
    ExpireWorker { epoch: u8 },
    // Time.
    LeaseEnds(Id),
    DelayEnds(Id),
    RunningLimit(Id),
    TicketEnds,
    // What goes wrong.
    Crash(Wid),
    ReaderDies,
    Post(Call),
    Arrives,
    NeverArrives,
    BareMove,
    NobodyReaps,
    ReplicaFallsBehind,
    Failover,
    Wipe,
}

/// A state being changed.
pub struct World<'a> {
    pub state: &'a mut State,
    pub rules: &'a Rules,
}

impl World<'_> {
    /// Runs a script, and looks at what it did to Redis.
    pub fn script<T>(&mut self, run: impl FnOnce(&mut Script<'_>) -> T) -> T {
        let attempts = self.state.redis.tasks.each_ref().map(attempt);
        let seq = self.state.redis.seq;
        let answer = run(&mut Script {
            redis: &mut self.state.redis,
            rules: self.rules,
            clock: self.state.clock,
        });
        for (task, before) in self.state.redis.tasks.iter().zip(attempts) {
            self.state.broken.attempt_fell |= task.is_some() && attempt(task) < before;
        }
        let given = self.state.redis.seq != seq;
        let new = self.state.redis.seq > Some(self.state.clock);
        self.state.broken.number_fell |= given && !new;
        self.state.clock = self.state.clock.max(self.state.redis.seq.unwrap_or(0));
        answer
    }

    /// A script on behalf of a token: only the token's own attempt may change.
    fn fenced<T>(&mut self, id: Id, token: Token, run: impl FnOnce(&mut Self) -> T) -> T {
        let task = self.state.redis.task(id).cloned();
        let lease = self.state.redis.leases[usize::from(id)];
        let owned = self.state.redis.live(id, token);
        let answer = run(self);
        let changed = self.state.redis.task(id) != task.as_ref()
            || self.state.redis.leases[usize::from(id)] != lease;
        self.state.broken.fencing |= changed && !owned;
        answer
    }

    fn worker(&mut self, worker: Wid) -> &mut crate::state::Worker {
        &mut self.state.workers[usize::from(worker)]
    }

    fn drop_held(&mut self, worker: Wid, at: usize) {
        self.worker(worker).held.remove(at);
    }

    fn claim(&mut self, worker: Wid, reply: Reply) {
        let asked = self.worker(worker).asking;
        let nonce = asked.unwrap_or_else(|| fresh(self.state));
        let held = self.worker(worker).held.len() as u8;
        let redis = &self.state.redis;
        let earlier = redis.workers[usize::from(worker)]
            .claim
            .filter(|(last, id, token)| asked == Some(*last) && redis.live(*id, *token))
            .map(|(_, id, token)| (id, token));
        let claimed = self.script(|script| script.claim(worker, nonce, held));
        self.state.broken.repeated_claim |= earlier.is_some() && claimed != earlier;
        match (reply, claimed) {
            (Reply::Got, Some((task, token))) => {
                let phase = Phase::Running;
                let me = self.worker(worker);
                me.asking = None;
                me.held.push(Held { task, token, phase });
            }
            (Reply::Got, None) => self.worker(worker).asking = None,
            (Reply::Lost, _) => self.worker(worker).asking = Some(nonce),
        }
    }

    fn heartbeat(&mut self, worker: Wid, at: usize) {
        let Held { task, token, .. } = self.worker(worker).held[at];
        let beat = |world: &mut Self| world.script(|script| script.heartbeat(task, token));
        let phase = match self.fenced(task, token, beat) {
            Beat::Kept => return,
            Beat::CancelAsked => Phase::Releasing,
            Beat::Overdue => Phase::Failing { retryable: true },
            Beat::Lost => return self.drop_held(worker, at),
        };
        let held = &mut self.worker(worker).held[at];
        if held.phase == Phase::Running {
            held.phase = phase;
        }
    }

    fn perform(&mut self, call: Call) {
        match call {
            Call::Claim {
                worker,
                nonce,
                held,
            } => {
                self.script(|script| script.claim(worker, nonce, held));
            }
            Call::Heartbeat { task, token } => {
                self.fenced(task, token, |w| w.script(|s| s.heartbeat(task, token)));
            }
            Call::Complete { task, token } => {
                self.fenced(task, token, |w| w.complete(task, token));
            }
            Call::Fail {
                task,
                token,
                retryable,
            } => {
                self.fail(task, token, retryable);
            }
            Call::Release { task, token } => {
                self.fenced(task, token, |w| w.script(|s| s.release(task, token)));
            }
            Call::Cancel { task } => {
                self.script(|script| script.cancel(task));
            }
            Call::Enqueue { task, life } => self.script(|script| script.enqueue(task, life)),
            Call::Replay { task, life } => self.script(|script| script.replay(task, life)),
            Call::Forget { task } => self.script(|script| script.forget(task)),
            Call::Commit { entry } => self.commit(entry),
            Call::Ack { top, most } => self.script(|script| script.ack_results(top, most)),
        }
    }

    fn fail(&mut self, task: Id, token: Token, retryable: bool) -> Answer {
        self.fenced(task, token, |world| {
            world.script(|script| script.fail(task, token, Kind::Error, retryable))
        })
    }

    fn expire_dead(&mut self, epoch: u8) {
        let highest = self.state.redis.epoch;
        let heard = self.script(|script| script.expire_worker(DEAD, epoch));
        self.state.broken.deposed_leader |= heard && epoch > 0 && epoch < highest;
    }

    fn crash(&mut self, worker: Wid) {
        *self.worker(worker) = crate::state::Worker::default();
        bury(&mut self.state.redis, worker);
        if let Some(replica) = &mut self.state.replica {
            bury(&mut replica.redis, worker);
        }
        if let Some(Call::Claim { worker: sender, .. }) = &mut self.state.late
            && *sender == worker
        {
            *sender = DEAD;
        }
    }

    /// One action; costs and the replica's distance are counted by `take`.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Claim(worker, reply) => self.claim(worker, reply),
            Action::Heartbeat(worker, at) => self.heartbeat(worker, at),
            Action::Store(worker, at) => {
                let Held { task, token, .. } = self.worker(worker).held[at];
                if self.store(task, token) {
                    self.worker(worker).held[at].phase = Phase::Stored;
                } else {
                    self.drop_held(worker, at);
                }
            }
            Action::Complete(worker, at, reply) => {
                let Held { task, token, .. } = self.worker(worker).held[at];
                self.fenced(task, token, |world| world.complete(task, token));
                if reply == Reply::Got {
                    self.drop_held(worker, at);
                }
            }
            Action::Fail(worker, at, retryable, reply) => {
                let Held { task, token, .. } = self.worker(worker).held[at];
                self.fail(task, token, retryable);
                match reply {
                    Reply::Got => self.drop_held(worker, at),
                    Reply::Lost => {
                        self.worker(worker).held[at].phase = Phase::Failing { retryable }
                    }
                }
            }
            Action::Release(worker, at, reply) => {
                let Held { task, token, .. } = self.worker(worker).held[at];
                self.fenced(task, token, |w| w.script(|s| s.release(task, token)));
                match reply {
                    Reply::Got => self.drop_held(worker, at),
                    Reply::Lost => self.worker(worker).held[at].phase = Phase::Releasing,
                }
            }
            Action::Mend(task) => {
                if let Some(call) = mend(self.state, task) {
                    self.perform(call);
                }
            }
            Action::ReadOutbox => self.read_outbox(),
            Action::Acknowledge => self.acknowledge(),
            Action::Cancel(task) => self.cancel(task),
            Action::Park(task) => self.script(|script| script.park(task)),
            Action::Unpark(task) => self.script(|script| script.unpark(task)),
            Action::Retry(task) => self.raise_life(task),
            Action::Reap => self.script(|script| script.reap()),
            Action::ExpireWorker { epoch } => self.expire_dead(epoch),
            Action::LeaseEnds(task) => {
                self.state.redis.leases[usize::from(task)] = Some(Lease::Over)
            }
            Action::DelayEnds(task) => self.state.redis.delayed[usize::from(task)] = Some(true),
            Action::RunningLimit(task) => {
                if let Some(hash) = &mut self.state.redis.tasks[usize::from(task)] {
                    hash.overdue = true;
                }
            }
            Action::TicketEnds => self.state.redis.ticket = None,
            Action::Crash(worker) => self.crash(worker),
            Action::ReaderDies => self.state.reader = None,
            Action::Post(call) => self.state.late = Some(call),
            Action::Arrives => {
                if let Some(call) = self.state.late.take() {
                    self.perform(call);
                }
            }
            Action::NeverArrives => self.state.late = None,
            Action::BareMove => self.script(|script| script.bare_move()),
            Action::NobodyReaps => {
                self.state.redis.reap_stale = true;
                for lease in self.state.redis.leases.iter_mut().flatten() {
                    if *lease == Lease::Ahead {
                        *lease = Lease::Over;
                    }
                }
            }
            Action::ReplicaFallsBehind => {
                let redis = self.state.redis.clone();
                self.state.replica = Some(Box::new(Replica { redis, behind: 0 }));
            }
            Action::Failover => {
                if let Some(replica) = self.state.replica.take() {
                    self.state.redis = replica.redis;
                    self.state.lost_data = true;
                }
            }
            Action::Wipe => {
                self.state.redis = Redis::default();
                self.state.replica = None;
                self.state.lost_data = true;
            }
        }
    }

    /// The step with what it costs. Time is no transition of Redis: it passes on the replica as well.
    pub fn take(&mut self, action: Action) {
        let fault = self.is_fault(&action);
        let act = is_act(&action, self.state);
        let time = matches!(
            action,
            Action::LeaseEnds(_) | Action::DelayEnds(_) | Action::NobodyReaps | Action::Crash(_)
        );
        let before = self
            .state
            .replica
            .is_some()
            .then(|| self.state.redis.clone());
        self.act(action);
        self.state.faults -= u8::from(fault);
        self.state.acts -= u8::from(act);
        if let (Some(before), Some(replica)) = (before, &mut self.state.replica) {
            replica.behind += u8::from(before != self.state.redis && !time);
            if replica.behind > self.rules.size.lost_suffix {
                self.state.replica = None;
            }
        }
    }

    pub fn is_fault(&self, action: &Action) -> bool {
        match action {
            Action::Claim(_, reply)
            | Action::Complete(_, _, reply)
            | Action::Fail(_, _, _, reply)
            | Action::Release(_, _, reply) => *reply == Reply::Lost,
            Action::LeaseEnds(task) => known_to_someone(self.state, *task),
            Action::Crash(_)
            | Action::ReaderDies
            | Action::Arrives
            | Action::BareMove
            | Action::NobodyReaps
            | Action::Failover
            | Action::Wipe => true,
            _ => false,
        }
    }
}

/// What people and hosts do, and what costs one of `acts`: the first call of an error or a hand-back, not its repetition.
fn is_act(action: &Action, state: &State) -> bool {
    match action {
        Action::Fail(worker, at, ..) | Action::Release(worker, at, _) => {
            let held = state.workers[usize::from(*worker)].held[*at];
            matches!(held.phase, Phase::Running | Phase::Stored)
        }
        Action::Cancel(_) | Action::Park(_) | Action::Retry(_) | Action::RunningLimit(_) => true,
        _ => false,
    }
}

/// Whether a living worker holds the attempt whose lease this is, or still asks for it: then only a pause ends the lease.
pub(crate) fn known_to_someone(state: &State, task: Id) -> bool {
    let Some(token) = state.redis.task(task).and_then(|hash| hash.token) else {
        return false;
    };
    state.workers.iter().any(|worker| {
        worker.asking == Some(token.nonce) || worker.held.iter().any(|held| held.token == token)
    })
}

fn attempt(task: &Option<crate::redis::Task>) -> u8 {
    task.as_ref().map_or(0, |task| task.attempt)
}

/// A boot is over: whatever it left names a worker that will never come back.
fn bury(redis: &mut Redis, worker: Wid) {
    for task in redis.tasks.iter_mut().flatten() {
        if task.owner == Some(worker) {
            task.owner = Some(DEAD);
        }
    }
    redis.workers[usize::from(worker)] = crate::redis::WorkerKey::default();
    if redis.ticket == Some(worker) {
        redis.ticket = Some(DEAD);
    }
}

/// A nonce that nothing names any more is as good as one that was never used.
fn fresh(state: &State) -> u8 {
    let mut highest = 0;
    crate::canonical::look_at_nonces(state, &mut |nonce| highest = highest.max(nonce));
    highest + 1
}

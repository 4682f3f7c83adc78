//! What may happen in a state: the steps of everyone who could act now, time passing, and the faults that are still allowed.

use crate::planted::Bug;
use crate::redis::{Lease, Redis, Status};
use crate::service::mend;
use crate::size::{MAX_LIVES, Rules};
use crate::state::{Call, DEAD, Held, Id, Phase, RowState, State, Wid};
use crate::step::{Action, Reply, known_to_someone};

/// Everything that may happen in this state, in a fixed order.
pub fn possible(rules: &Rules, state: &State, out: &mut Vec<Action>) {
    let (size, kinds) = (&rules.size, rules.size.kinds);
    let fault = state.faults > 0;
    let act = state.acts > 0;
    let redis = &state.redis;
    let lossy = fault && kinds.lost_reply;
    let mut both = |make: &dyn Fn(Reply) -> Action| {
        out.push(make(Reply::Got));
        if lossy {
            out.push(make(Reply::Lost));
        }
    };
    for worker in 0..size.workers as Wid {
        let me = &state.workers[usize::from(worker)];
        if me.asking.is_some() || me.held.len() < size.slots {
            both(&|reply| Action::Claim(worker, reply));
        }
        for (at, held) in me.held.iter().enumerate() {
            both_or_one(&mut both, worker, at, held, act);
        }
    }
    for worker in 0..size.workers as Wid {
        let me = &state.workers[usize::from(worker)];
        for (at, held) in me.held.iter().enumerate() {
            out.push(Action::Heartbeat(worker, at));
            if held.phase == Phase::Running {
                out.push(Action::Store(worker, at));
            }
        }
        let idle = me.held.is_empty() && me.asking.is_none();
        if fault && kinds.crash && !idle {
            out.push(Action::Crash(worker));
        }
    }
    for task in 0..size.tasks as Id {
        let at = usize::from(task);
        let row = &state.rows[at];
        if !(state.lost_data && rules.has(Bug::NoReconciler)) {
            out.push(Action::Mend(task));
        }
        let runs = redis
            .task(task)
            .is_some_and(|hash| hash.status == Status::Processing);
        if act && row.state == RowState::Queued {
            out.push(Action::Cancel(task));
            out.push(Action::Park(task));
        }
        if act && runs {
            out.push(Action::RunningLimit(task));
        }
        let ended = matches!(row.state, RowState::Failed | RowState::Cancelled);
        if act && ended && row.life < MAX_LIVES {
            out.push(Action::Retry(task));
        }
        if redis.task(task).is_some_and(|hash| hash.parked) {
            out.push(Action::Unpark(task));
        }
        let free = !known_to_someone(state, task);
        if redis.leases[at] == Some(Lease::Ahead) && (free || (fault && kinds.pause)) {
            out.push(Action::LeaseEnds(task));
        }
        if redis.delayed[at] == Some(false) {
            out.push(Action::DelayEnds(task));
        }
    }
    out.extend([Action::ReadOutbox, Action::Acknowledge, Action::Reap]);
    let dead = |task: &crate::redis::Task| task.owner == Some(DEAD);
    if redis.tasks.iter().flatten().any(dead) {
        out.extend((0..=size.leaders).map(|epoch| Action::ExpireWorker { epoch }));
    }
    if redis.ticket.is_some() {
        out.push(Action::TicketEnds);
    }
    if state.late.is_some() {
        out.extend([Action::Arrives, Action::NeverArrives]);
    }
    if fault {
        faults(rules, state, out);
    }
}

fn both_or_one(
    both: &mut impl FnMut(&dyn Fn(Reply) -> Action),
    worker: Wid,
    at: usize,
    held: &Held,
    act: bool,
) {
    match held.phase {
        Phase::Running | Phase::Stored => {
            if held.phase == Phase::Stored {
                both(&|reply| Action::Complete(worker, at, reply));
            } else if act {
                both(&|reply| Action::Fail(worker, at, true, reply));
                both(&|reply| Action::Fail(worker, at, false, reply));
                both(&|reply| Action::Release(worker, at, reply));
            }
        }
        Phase::Failing { retryable } => both(&|reply| Action::Fail(worker, at, retryable, reply)),
        Phase::Releasing => both(&|reply| Action::Release(worker, at, reply)),
    }
}

fn faults(rules: &Rules, state: &State, out: &mut Vec<Action>) {
    let kinds = rules.size.kinds;
    if kinds.crash && state.reader.is_some() {
        out.push(Action::ReaderDies);
    }
    if kinds.bare_move {
        out.push(Action::BareMove);
    }
    if kinds.nobody_reaps && !state.redis.reap_stale {
        out.push(Action::NobodyReaps);
    }
    match &state.replica {
        None if kinds.failover => out.push(Action::ReplicaFallsBehind),
        Some(replica) if replica.redis != state.redis => out.push(Action::Failover),
        _ => {}
    }
    if kinds.wipe && state.redis != Redis::default() {
        out.push(Action::Wipe);
    }
    if !kinds.late_call || state.late.is_some() {
        return;
    }
    for (worker, me) in state.workers.iter().enumerate().take(rules.size.workers) {
        if let Some(nonce) = me.asking {
            let held = me.held.len() as u8;
            let worker = worker as Wid;
            out.push(Action::Post(Call::Claim {
                worker,
                nonce,
                held,
            }));
        }
        for &Held { task, token, phase } in &me.held {
            out.push(Action::Post(Call::Heartbeat { task, token }));
            let call = match phase {
                Phase::Running => continue,
                Phase::Stored => Call::Complete { task, token },
                Phase::Failing { retryable } => Call::Fail {
                    task,
                    token,
                    retryable,
                },
                Phase::Releasing => Call::Release { task, token },
            };
            out.push(Action::Post(call));
        }
    }
    for task in 0..rules.size.tasks as Id {
        out.extend(mend(state, task).map(Action::Post));
    }
    if let Some(entry) = state.redis.results.last() {
        out.push(Action::Post(Call::Commit { entry: *entry }));
    }
    if let Some(reader) = &state.reader {
        let (top, most) = (reader.top, reader.most);
        out.push(Action::Post(Call::Ack { top, most }));
    }
}

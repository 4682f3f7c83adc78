//! L1, decided in each reachable state by letting the world go on without faults. stateright's own `eventually` misses
//! counterexamples where paths join or close a cycle, and in this model almost all do.

use crate::redis::{Lease, Status};
use crate::size::Rules;
use crate::state::{Id, Phase, RowState, State, Wid};
use crate::step::{Action, Reply, World};

/// Rounds in which everyone does one thing. Far more than any end takes.
const ROUNDS: usize = 40;

/// Whether every task ends once nothing more goes wrong: with the workers there are, and if they are all dead and one new
/// worker comes.
pub fn ends(rules: &Rules, state: &State) -> bool {
    let mut calm = state.clone();
    calm.late = None;
    calm.replica = None;
    let mut alone = calm.clone();
    for worker in 0..rules.size.workers as Wid {
        go(rules, &mut alone, Action::Crash(worker));
    }
    run(rules, calm, rules.size.workers) && run(rules, alone, 1)
}

fn run(rules: &Rules, mut state: State, workers: usize) -> bool {
    for _ in 0..ROUNDS {
        if over(rules, &state) {
            return true;
        }
        round(rules, &mut state, workers);
    }
    false
}

/// Every row has its outcome, and nothing of it is left to do in Redis.
fn over(rules: &Rules, state: &State) -> bool {
    let redis = &state.redis;
    let ended = |row: &crate::state::Row| row.state != RowState::Queued;
    let resting = redis.results.is_empty()
        && state.reader.is_none()
        && (0..rules.size.tasks as Id).all(|id| redis.places(id) == 0);
    resting && state.rows[..rules.size.tasks].iter().all(ended)
}

fn round(rules: &Rules, state: &mut State, workers: usize) {
    for id in 0..rules.size.tasks as Id {
        if !(state.lost_data && rules.has(crate::planted::Bug::NoReconciler)) {
            go(rules, state, Action::Mend(id));
        }
        let at = usize::from(id);
        if state.redis.task(id).is_some_and(|task| task.parked) {
            go(rules, state, Action::Unpark(id));
        }
        if state.redis.delayed[at].is_some() {
            go(rules, state, Action::DelayEnds(id));
        }
        let running = state
            .redis
            .task(id)
            .filter(|task| task.status == Status::Processing);
        let token = running.and_then(|task| task.token);
        let held = state
            .workers
            .iter()
            .flat_map(|worker| &worker.held)
            .any(|held| Some(held.token) == token);
        let asked = state
            .workers
            .iter()
            .any(|worker| worker.asking.is_some() && worker.asking == token.map(|t| t.nonce));
        if state.redis.leases[at] == Some(Lease::Ahead) && !held && !asked {
            go(rules, state, Action::LeaseEnds(id));
        }
    }
    for worker in 0..workers as Wid {
        work(rules, state, worker);
    }
    go(rules, state, Action::Reap);
    go(rules, state, Action::ReadOutbox);
    go(rules, state, Action::Acknowledge);
}

/// The next step of an honest worker: a heartbeat, then its attempts, then one more CLAIM.
fn work(rules: &Rules, state: &mut State, worker: Wid) {
    let me = usize::from(worker);
    let mut at = 0;
    while at < state.workers[me].held.len() {
        let before = state.workers[me].held.len();
        go(rules, state, Action::Heartbeat(worker, at));
        if state.workers[me].held.len() < before {
            continue;
        }
        let step = match state.workers[me].held[at].phase {
            Phase::Running => Action::Store(worker, at),
            Phase::Stored => Action::Complete(worker, at, Reply::Got),
            Phase::Failing { retryable } => Action::Fail(worker, at, retryable, Reply::Got),
            Phase::Releasing => Action::Release(worker, at, Reply::Got),
        };
        go(rules, state, step);
        at += 1 - (before - state.workers[me].held.len()).min(1);
    }
    if state.workers[me].held.len() < rules.size.slots {
        go(rules, state, Action::Claim(worker, Reply::Got));
    }
    if state
        .redis
        .ticket
        .is_some_and(|owner| usize::from(owner) >= rules.size.workers)
    {
        go(rules, state, Action::TicketEnds);
    }
}

/// One action, free of charge.
fn go(rules: &Rules, state: &mut State, action: Action) {
    World { state, rules }.act(action);
}

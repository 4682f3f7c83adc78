//! What must hold in every state. The letters are those of `docs/queue-protocol.md`; the others are this model's own.

use stateright::Property;

use crate::liveness;
use crate::model::QueueModel;
use crate::redis::{Counted, Redis, Status, Task};
use crate::size::MAX_CRASHES;
use crate::state::{Id, Kind, RowState, State};

pub type Name = &'static str;

pub const S1: Name = "S1 a waiting or running task is in exactly one place";
pub const S2: Name = "S2 a running task is in task:processing and has a lease";
pub const S3: Name = "S3 one final record for each life, in Redis and in the row";
pub const S4: Name = "S4 a final task is not in task:processing and has no lease";
pub const S5: Name = "S5 only the current token changes a running task";
pub const S6: Name = "S6 the attempt never falls";
pub const S7: Name = "S7 dead letters are the failed tasks without the cancelled ones";
pub const S8: Name = "S8 outbox numbers rise, also after Redis lost data";
pub const S9: Name =
    "S9 an outcome that its row lacks is in the outbox, as long as Redis loses nothing";
pub const R1: Name = "R1 the result that a row names is stored, and is that attempt's";
pub const M1: Name = "M1 a row's outcome is its own life's";
pub const N1: Name = "N1 a repeated CLAIM is the same claim";
pub const K1: Name = "K1 a task whose cancel was asked never waits again";
pub const K2: Name = "K2 a suspended task waits in task:parked";
pub const P1: Name = "P1 poison after so many solo crashes, and only then";
pub const A1: Name = "A1 nothing runs beside a task that runs alone";
pub const E1: Name = "E1 a deposed leader ends no leases";
pub const W1: Name = "W1 task:work and task:inflight are what the lists hold";
pub const L1: Name = "L1 without further faults every task ends, also if only a new worker is left";

/// All of them.
pub fn all() -> Vec<Property<QueueModel>> {
    vec![
        Property::always(S1, |model, state| each(model, state, s1)),
        Property::always(S2, |model, state| each(model, state, s2)),
        Property::always(S3, |_, state| s3(state)),
        Property::always(S4, |model, state| each(model, state, s4)),
        Property::always(S5, |_, state: &State| !state.broken.fencing),
        Property::always(S6, |_, state: &State| !state.broken.attempt_fell),
        Property::always(S7, s7),
        Property::always(S8, |_, state| s8(state)),
        Property::always(S9, s9),
        Property::always(R1, |_, state| r1(state)),
        Property::always(M1, |_, state| m1(state)),
        Property::always(N1, |_, state: &State| !state.broken.repeated_claim),
        Property::always(K1, |model, state| each(model, state, k1)),
        Property::always(K2, |model, state| each(model, state, k2)),
        Property::always(P1, |_, state| p1(state)),
        Property::always(A1, |_, state| a1(state)),
        Property::always(E1, |_, state: &State| !state.broken.deposed_leader),
        Property::always(W1, |_, state: &State| w1(&state.redis)),
        Property::always(L1, |model, state| liveness::ends(&model.rules, state)),
    ]
}

fn each(model: &QueueModel, state: &State, holds: fn(&Redis, Id, &Task) -> bool) -> bool {
    (0..model.rules.size.tasks as Id)
        .filter_map(|id| Some((id, state.redis.task(id)?)))
        .all(|(id, task)| holds(&state.redis, id, task))
}

fn is_final(task: &Task) -> bool {
    matches!(task.status, Status::Completed | Status::Failed)
}

fn s1(redis: &Redis, id: Id, task: &Task) -> bool {
    is_final(task) || redis.places(id) == 1
}

fn s2(redis: &Redis, id: Id, task: &Task) -> bool {
    let held = redis.processing.contains(&id) && redis.leases[usize::from(id)].is_some();
    task.status != Status::Processing || held
}

fn s3(state: &State) -> bool {
    let twice = |task: &Task| task.finals > 1;
    !state.redis.tasks.iter().flatten().any(twice) && state.rows.iter().all(|row| row.outcomes <= 1)
}

fn s4(redis: &Redis, id: Id, task: &Task) -> bool {
    !is_final(task) || (redis.places(id) == 0 && redis.leases[usize::from(id)].is_none())
}

fn s7(model: &QueueModel, state: &State) -> bool {
    (0..model.rules.size.tasks as Id).all(|id| {
        let listed = state
            .redis
            .failed
            .iter()
            .filter(|other| **other == id)
            .count();
        let dead = state.redis.task(id).is_some_and(|task| {
            task.status == Status::Failed && task.kind != Some(Kind::Cancelled)
        });
        listed == usize::from(dead)
    })
}

fn s8(state: &State) -> bool {
    let rises = state
        .redis
        .results
        .windows(2)
        .all(|pair| pair[0].number > pair[1].number);
    rises && !state.broken.number_fell
}

fn s9(model: &QueueModel, state: &State) -> bool {
    state.lost_data
        || (0..model.rules.size.tasks as Id).all(|id| {
            let row = &state.rows[usize::from(id)];
            let Some(task) = state.redis.task(id) else {
                return true;
            };
            let lacks = is_final(task) && row.state == RowState::Queued && row.life == task.life;
            let sent = |entry: &crate::state::Entry| (entry.task, entry.life) == (id, task.life);
            !lacks || state.redis.results.iter().any(sent)
        })
}

fn r1(state: &State) -> bool {
    state.rows.iter().enumerate().all(|(id, row)| {
        row.result.is_none_or(|pointer| {
            state.files.iter().any(|file| {
                usize::from(file.task) == id
                    && file.name == pointer.name
                    && file.content == pointer.content
            })
        })
    })
}

fn m1(state: &State) -> bool {
    let own =
        |row: &crate::state::Row| row.state == RowState::Queued || row.outcome_life == row.life;
    state.rows.iter().all(own)
}

fn k1(_: &Redis, _: Id, task: &Task) -> bool {
    task.status != Status::Pending || !task.cancel
}

fn k2(redis: &Redis, id: Id, task: &Task) -> bool {
    let waits = task.status == Status::Pending && !redis.processing.contains(&id);
    !waits || task.parked == redis.parked[usize::from(id)]
}

fn p1(state: &State) -> bool {
    state.redis.tasks.iter().flatten().all(|task| {
        let poison = task.kind == Some(Kind::Poison);
        (task.lost_alone < MAX_CRASHES || is_final(task))
            && (!poison || task.lost_alone >= MAX_CRASHES)
    })
}

/// By what workers do, not by what Redis believes: after a failover it may know an attempt that its worker does not.
fn a1(state: &State) -> bool {
    state.workers.iter().all(|worker| {
        let alone = worker.held.iter().any(|held| {
            let runs = state.redis.live(held.task, held.token);
            runs && state.redis.task(held.task).is_some_and(|task| task.alone)
        });
        !alone || worker.held.len() == 1
    })
}

fn w1(redis: &Redis) -> bool {
    let mut sums = (0, 0);
    let mut placed = true;
    for (id, task) in redis.tasks.iter().enumerate() {
        let Some(task) = task else { continue };
        let id = id as Id;
        let ready = redis.ready.contains(&id) || redis.alone.contains(&id);
        // An id that an old client moved is counted where it was, until it is adopted.
        let stray = redis.processing.contains(&id) && redis.leases[usize::from(id)].is_none();
        let want = if ready || stray {
            Counted::Work
        } else if redis.processing.contains(&id) {
            Counted::Inflight
        } else {
            Counted::No
        };
        placed &= task.counted == want;
        sums.0 += i8::from(want == Counted::Work);
        sums.1 += i8::from(want == Counted::Inflight);
    }
    placed && sums == (redis.work, redis.inflight)
}

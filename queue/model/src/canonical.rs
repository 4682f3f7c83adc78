//! One name for states that differ in names alone. Workers are alike, and nonces are only ever compared for equality, so both may
//! be renamed; what no process can name or read any more may be forgotten. Tasks are not renamed: their order in lists counts.

use crate::redis::{Redis, Status};
use crate::size::{MOST_TASKS, MOST_WORKERS, Rules};
use crate::state::{Call, State, Token, Wid};

/// Walks over every nonce in a fixed order, with shared (`iter, []`) or unique (`iter_mut, [mut]`) borrows.
macro_rules! walk {
    (@pointer $pointer:expr, $visit:expr, [$($mutable:tt)?]) => {
        if let Some(pointer) = &$($mutable)? $pointer {
            $visit(&$($mutable)? pointer.name.nonce);
            $visit(&$($mutable)? pointer.content.nonce);
        }
    };
    (@redis $redis:ident, $visit:expr, $iter:ident, $mutable:tt) => {
        walk!(@tasks $redis, $visit, $iter, $mutable);
        walk!(@keys $redis, $visit, $iter, $mutable);
        for entry in $redis.results.$iter() {
            walk!(@pointer entry.result, $visit, $mutable);
        }
    };
    (@tasks $redis:ident, $visit:expr, $iter:ident, [$($mutable:tt)?]) => {
        for task in $redis.tasks.$iter().flatten() {
            let tokens = [&$($mutable)? task.token, &$($mutable)? task.last_failed, &$($mutable)? task.last_released];
            for token in tokens.into_iter().flatten() {
                $visit(&$($mutable)? token.nonce);
            }
            walk!(@pointer task.result, $visit, [$($mutable)?]);
        }
    };
    (@keys $redis:ident, $visit:expr, $iter:ident, [$($mutable:tt)?]) => {
        for key in $redis.workers.$iter() {
            if let Some((nonce, _, token)) = &$($mutable)? key.claim {
                $visit(nonce);
                $visit(&$($mutable)? token.nonce);
            }
            if let Some((_, token)) = &$($mutable)? key.alone {
                $visit(&$($mutable)? token.nonce);
            }
        }
    };
    ($state:ident, $visit:expr, $iter:ident, [$($mutable:tt)?]) => {
        for worker in $state.workers.$iter() {
            if let Some(nonce) = &$($mutable)? worker.asking {
                $visit(nonce);
            }
            for held in worker.held.$iter() {
                $visit(&$($mutable)? held.token.nonce);
            }
        }
        let redis = &$($mutable)? $state.redis;
        walk!(@redis redis, $visit, $iter, [$($mutable)?]);
        match &$($mutable)? $state.late {
            Some(Call::Claim { nonce, .. }) => $visit(nonce),
            Some(
                Call::Heartbeat { token, .. }
                | Call::Complete { token, .. }
                | Call::Fail { token, .. }
                | Call::Release { token, .. },
            ) => $visit(&$($mutable)? token.nonce),
            Some(Call::Commit { entry }) => walk!(@pointer entry.result, $visit, [$($mutable)?]),
            _ => {}
        }
        for row in $state.rows.$iter() {
            walk!(@pointer row.result, $visit, [$($mutable)?]);
        }
        if let Some(reader) = &$($mutable)? $state.reader {
            for entry in reader.uncommitted.$iter() {
                walk!(@pointer entry.result, $visit, [$($mutable)?]);
            }
        }
        if let Some(replica) = &$($mutable)? $state.replica {
            let redis = &$($mutable)? replica.redis;
            walk!(@redis redis, $visit, $iter, [$($mutable)?]);
        }
        for file in $state.files.$iter() {
            $visit(&$($mutable)? file.name.nonce);
            $visit(&$($mutable)? file.content.nonce);
        }
    };
}

/// Calls `visit` with each nonce that is named anywhere (0 = none).
pub fn look_at_nonces(state: &State, visit: &mut dyn FnMut(u8)) {
    let mut visit = |nonce: &u8| visit(*nonce);
    walk!(state, visit, iter, []);
}

fn rename_nonces(state: &mut State, names: &[u8; 64]) {
    let visit = |nonce: &mut u8| *nonce = names[usize::from(*nonce)];
    walk!(state, visit, iter_mut, [mut]);
}

/// The state under its one name.
pub fn canonical(rules: &Rules, state: &mut State) {
    if state.faults == 0 {
        state.late = None;
        state.replica = None;
    }
    forget(state);
    sort_workers(rules, state);
    let mut names = [0_u8; 64];
    let (mut next, mut renamed) = (1, false);
    look_at_nonces(state, &mut |nonce| {
        let name = &mut names[usize::from(nonce)];
        if nonce != 0 && *name == 0 {
            *name = next;
            renamed |= nonce != next;
            next += 1;
        }
    });
    if renamed {
        rename_nonces(state, &names);
    }
    state
        .files
        .sort_by_key(|file| (file.task, file.name, file.content));
}

/// What nobody can name any more.
fn forget(state: &mut State) {
    let mut known: Vec<Token> = state
        .workers
        .iter()
        .flat_map(|w| &w.held)
        .map(|held| held.token)
        .collect();
    known.extend(match state.late {
        Some(
            Call::Heartbeat { token, .. }
            | Call::Complete { token, .. }
            | Call::Fail { token, .. }
            | Call::Release { token, .. },
        ) => Some(token),
        _ => None,
    });
    forget_tokens(&mut state.redis, &known);
    if let Some(replica) = &mut state.replica {
        forget_tokens(&mut replica.redis, &known);
    }
    let mut named = known;
    named.push(crate::service::COMMON_NAME);
    for redis in [
        Some(&state.redis),
        state.replica.as_ref().map(|replica| &replica.redis),
    ]
    .into_iter()
    .flatten()
    {
        for task in redis.tasks.iter().flatten() {
            named.extend(task.result.map(|pointer| pointer.name));
            named.extend(task.token);
        }
        named.extend(
            redis
                .results
                .iter()
                .filter_map(|entry| entry.result)
                .map(|pointer| pointer.name),
        );
    }
    named.extend(
        state
            .rows
            .iter()
            .filter_map(|row| row.result)
            .map(|pointer| pointer.name),
    );
    if let Some(Call::Commit { entry }) = &state.late {
        named.extend(entry.result.map(|pointer| pointer.name));
    }
    let read = state.reader.iter().flat_map(|reader| &reader.uncommitted);
    named.extend(
        read.filter_map(|entry| entry.result)
            .map(|pointer| pointer.name),
    );
    state.files.retain(|file| named.contains(&file.name));
}

fn forget_tokens(redis: &mut Redis, known: &[Token]) {
    for at in 0..MOST_WORKERS {
        let key = &redis.workers[at];
        let claim = key.claim.filter(|(_, id, token)| redis.live(*id, *token));
        let alone = key.alone.filter(|(id, token)| redis.live(*id, *token));
        redis.workers[at].claim = claim;
        redis.workers[at].alone = alone;
    }
    for task in redis.tasks.iter_mut().flatten() {
        if task.status != Status::Processing {
            task.token = task.token.filter(|token| known.contains(token));
        }
        task.last_failed = task.last_failed.filter(|token| known.contains(token));
        task.last_released = task.last_released.filter(|token| known.contains(token));
    }
}

/// Workers in the order of what they do, not of their numbers.
fn sort_workers(rules: &Rules, state: &mut State) {
    let mut order: Vec<Wid> = (0..rules.size.workers as Wid).collect();
    order.sort_by_cached_key(|worker| looks(state, *worker));
    if order
        .iter()
        .enumerate()
        .all(|(to, from)| to == usize::from(*from))
    {
        return;
    }
    let mut names = [0; MOST_WORKERS];
    for (to, from) in order.iter().enumerate() {
        names[usize::from(*from)] = to as Wid;
    }
    let workers = state.workers.clone();
    for (to, from) in order.iter().enumerate() {
        state.workers[to] = workers[usize::from(*from)].clone();
    }
    rename_workers(&mut state.redis, &order, &names);
    if let Some(replica) = &mut state.replica {
        rename_workers(&mut replica.redis, &order, &names);
    }
    if let Some(Call::Claim { worker, .. }) = &mut state.late
        && let Some(name) = names.get(usize::from(*worker))
    {
        *worker = *name;
    }
}

fn rename_workers(redis: &mut Redis, order: &[Wid], names: &[Wid; MOST_WORKERS]) {
    let keys = redis.workers.clone();
    for (to, from) in order.iter().enumerate() {
        redis.workers[to] = keys[usize::from(*from)].clone();
    }
    let owners = redis
        .tasks
        .iter_mut()
        .flatten()
        .filter_map(|task| task.owner.as_mut());
    for worker in owners.chain(redis.ticket.as_mut()) {
        if let Some(name) = names.get(usize::from(*worker)) {
            *worker = *name;
        }
    }
}

/// How a worker looks without its number and without the names of nonces.
fn looks(state: &State, worker: Wid) -> impl Ord + use<> {
    let me = &state.workers[usize::from(worker)];
    let held: Vec<_> = me
        .held
        .iter()
        .map(|held| (held.task, held.phase, held.token.attempt))
        .collect();
    let replica = state.replica.as_ref().map(|replica| &replica.redis);
    let seen = [Some(&state.redis), replica].map(|redis| {
        redis.map(|redis| {
            let mut owns = [false; MOST_TASKS];
            for (task, owns) in redis.tasks.iter().zip(&mut owns) {
                *owns = task.as_ref().is_some_and(|task| task.owner == Some(worker));
            }
            let key = &redis.workers[usize::from(worker)];
            (
                owns,
                key.claim.map(|(_, id, _)| id),
                key.alone.map(|(id, _)| id),
                redis.ticket == Some(worker),
            )
        })
    });
    let late = matches!(state.late, Some(Call::Claim { worker: sender, .. }) if sender == worker);
    (me.asking.is_some(), held, seen, late)
}

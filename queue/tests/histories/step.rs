//! The steps that a history is made of. They name tasks, workers and claims by numbers that are taken modulo what there is, so
//! that a history stays meaningful when shrinking takes steps out. Knows no Redis.

use proptest::prelude::*;

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Heard,
    /// The call was executed, its answer lost, and the caller repeats it.
    Repeated,
    /// The call was executed, its answer lost, and the caller has gone on.
    Lost,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Complete,
    Fail { retryable: bool, pause_ms: u64 },
    Release,
}

/// What someone does who should have stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Late {
    End(End),
    Progress,
    Beat,
    Verify,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Epoch {
    None,
    Known,
    Higher,
    Lower,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Shutdown,
    Kill,
    /// Killed, and this much of the end of the append-only file was not on the disk yet.
    Lose {
        bytes: u64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    Nobody,
    Parent,
    Leader(Epoch),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Enqueue {
        queue: u8,
        priority: u8,
        model: u8,
        audio_ms: u64,
        delay_ms: u64,
        max_retries: u32,
        max_depth: u64,
        key: Option<u8>,
        reply: Reply,
    },
    /// The same id again: by a caller who did not hear the answer long ago, or anew if it was forgotten.
    EnqueueAgain {
        task: u8,
    },
    Claim {
        worker: u8,
        queues: u8,
        reply: Reply,
    },
    EndOne {
        worker: u8,
        held: u8,
        end: End,
        reply: Reply,
    },
    Progress {
        worker: u8,
        held: u8,
    },
    Beat {
        worker: u8,
        obeys: bool,
    },
    /// Stopped (SIGSTOP) while the others live and reap; then it goes on as if nothing had been.
    Sleep {
        worker: u8,
        ms: u64,
        end: End,
    },
    Zombie {
        claim: u8,
        late: Late,
    },
    Crash {
        worker: u8,
        told: Told,
    },
    Pass {
        ms: u64,
        reap: bool,
    },
    /// The server's clock is set.
    Jump {
        ms: i64,
    },
    Reap {
        batch: u32,
        backoff_ms: u64,
    },
    Cancel {
        task: u8,
        kind: u8,
        reply: Reply,
    },
    Park {
        task: u8,
        reply: Reply,
    },
    Unpark {
        task: u8,
        reply: Reply,
    },
    Replay {
        task: u8,
        raise: bool,
        reply: Reply,
    },
    Forget {
        task: u8,
    },
    Drain {
        worker: u8,
        pod: bool,
        on: bool,
        epoch: Epoch,
    },
    /// Holds back all claims, or lets them go on.
    Hold {
        on: bool,
    },
    /// A client of the seed's era between its two commands.
    OldMove,
    /// A client of the seed's era pushes an id that is there already.
    OldPush {
        task: u8,
    },
    Read {
        subscriber: u8,
        most: u8,
    },
    /// The database commits what the subscriber has read; without `ack` the subscriber dies right after.
    Store {
        subscriber: u8,
        ack: bool,
    },
    Observe {
        queue: u8,
    },
    Fsck,
    FlushScripts,
    Restart {
        fate: Fate,
    },
}

/// Which kinds of faults a history may have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Old clients push ids twice: then no list is certain, and the sums are vague.
    pub(crate) copies: bool,
    /// On an append-only file, with restarts.
    pub(crate) restarts: bool,
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        12 => Just(Reply::Heard),
        5 => Just(Reply::Repeated),
        1 => Just(Reply::Lost),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => Just(End::Complete),
        3 => (prop::bool::weighted(0.7), 0_u64..9_000).prop_map(|(retryable, pause_ms)| End::Fail { retryable, pause_ms }),
        3 => Just(End::Release),
    ]
}

fn late() -> impl Strategy<Value = Late> {
    prop_oneof![
        5 => end().prop_map(Late::End),
        1 => Just(Late::Progress),
        2 => Just(Late::Beat),
        1 => Just(Late::Verify),
    ]
}

fn epoch() -> impl Strategy<Value = Epoch> {
    prop_oneof![
        3 => Just(Epoch::None),
        2 => Just(Epoch::Known),
        2 => Just(Epoch::Higher),
        2 => Just(Epoch::Lower),
    ]
}

fn told() -> impl Strategy<Value = Told> {
    prop_oneof![
        4 => Just(Told::Nobody),
        3 => Just(Told::Parent),
        2 => epoch().prop_map(Told::Leader),
    ]
}

fn enqueue() -> impl Strategy<Value = Step> {
    (
        (0_u8..2, 0_u8..3, 0_u8..2),
        100_000_u64..200_000,
        prop_oneof![4 => Just(0), 1 => 1_u64..20_000],
        0_u32..3,
        prop_oneof![9 => Just(0), 1 => 1_u64..12],
        prop_oneof![9 => Just(None), 1 => (0_u8..4).prop_map(Some)],
        reply(),
    )
        .prop_map(
            |((queue, priority, model), audio_ms, delay_ms, max_retries, max_depth, key, reply)| {
                Step::Enqueue {
                    queue,
                    priority,
                    model,
                    audio_ms,
                    delay_ms,
                    max_retries,
                    max_depth,
                    key,
                    reply,
                }
            },
        )
}

/// Mostly seconds; sometimes past a lease, a running limit, or the time of the dead letters.
fn jump() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => -20_000_i64..20_000,
        2 => -90_000_i64..0,
        2 => 15_000_i64..120_000,
        1 => 600_000_i64..4_500_000,
        1 => Just(8 * 24 * 3_600_000_i64),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        1 => Just(Fate::Shutdown),
        2 => Just(Fate::Kill),
        2 => (1_u64..9_000).prop_map(|bytes| Fate::Lose { bytes }),
    ]
}

pub(crate) fn step(faults: Faults) -> BoxedStrategy<Step> {
    let n = any::<u8>;
    prop_oneof![
        160 => enqueue(),
        12 => n().prop_map(|task| Step::EnqueueAgain { task }),
        240 => (n(), 0_u8..4, reply()).prop_map(|(worker, queues, reply)| Step::Claim { worker, queues, reply }),
        100 => (n(), n(), end(), reply()).prop_map(|(worker, held, end, reply)| Step::EndOne { worker, held, end, reply }),
        15 => (n(), n()).prop_map(|(worker, held)| Step::Progress { worker, held }),
        65 => (n(), prop::bool::weighted(0.7)).prop_map(|(worker, obeys)| Step::Beat { worker, obeys }),
        12 => (n(), 1_000_u64..40_000, end()).prop_map(|(worker, ms, end)| Step::Sleep { worker, ms, end }),
        60 => (n(), late()).prop_map(|(claim, late)| Step::Zombie { claim, late }),
        45 => (n(), told()).prop_map(|(worker, told)| Step::Crash { worker, told }),
        70 => (1_u64..9_000, prop::bool::weighted(0.85)).prop_map(|(ms, reap)| Step::Pass { ms, reap }),
        8 => jump().prop_map(|ms| Step::Jump { ms }),
        15 => (prop_oneof![Just(1_u32), Just(3), Just(100)], prop_oneof![Just(0_u64), 1_u64..8_000])
            .prop_map(|(batch, backoff_ms)| Step::Reap { batch, backoff_ms }),
        28 => (n(), 0_u8..3, reply()).prop_map(|(task, kind, reply)| Step::Cancel { task, kind, reply }),
        24 => (n(), reply()).prop_map(|(task, reply)| Step::Park { task, reply }),
        26 => (n(), reply()).prop_map(|(task, reply)| Step::Unpark { task, reply }),
        40 => (n(), prop::bool::weighted(0.9), reply()).prop_map(|(task, raise, reply)| Step::Replay { task, raise, reply }),
        6 => n().prop_map(|task| Step::Forget { task }),
        22 => (n(), any::<bool>(), prop::bool::weighted(0.4), epoch())
            .prop_map(|(worker, pod, on, epoch)| Step::Drain { worker, pod, on, epoch }),
        8 => prop::bool::weighted(0.3).prop_map(|on| Step::Hold { on }),
        16 => Just(Step::OldMove),
        16 => n().prop_map(move |task| match faults.copies {
            true => Step::OldPush { task },
            false => Step::EnqueueAgain { task },
        }),
        20 => (n(), 1_u8..20).prop_map(|(subscriber, most)| Step::Read { subscriber, most }),
        24 => (n(), prop::bool::weighted(0.8)).prop_map(|(subscriber, ack)| Step::Store { subscriber, ack }),
        6 => (0_u8..2).prop_map(|queue| Step::Observe { queue }),
        2 => Just(Step::Fsck),
        2 => Just(Step::FlushScripts),
        8 => fate().prop_map(move |fate| match faults.restarts {
            true => Step::Restart { fate },
            false => Step::Observe { queue: 0 },
        }),
    ]
    .boxed()
}

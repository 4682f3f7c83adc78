//! One row for each thing that a script does: how it comes to it, the call as its real caller makes it, what the caller does
//! after a failure, and both answers. A test holds the table against the folder of scripts.

use std::collections::BTreeSet;
use std::path::Path;

use futures::future::BoxFuture;
use queue::testing::{SentScript, sent_scripts};
use queue::*;

use crate::bench::Bench;
use crate::calls::*;

type Prepare = for<'a> fn(&'a Bench) -> BoxFuture<'a, Stage>;
type Act = for<'a> fn(&'a Queue, &'a Stage) -> BoxFuture<'a, Told>;

pub(crate) struct Case {
    /// File name without `.lua`.
    pub(crate) script: &'static str,
    pub(crate) name: &'static str,
    pub(crate) prepare: Prepare,
    pub(crate) call: Act,
    /// What the real caller does after an error; the same call, mostly.
    pub(crate) repeat: Act,
    /// The answer when it happens now.
    pub(crate) first: &'static str,
    /// The answer of the repetition when it had happened before.
    pub(crate) again: &'static str,
    /// Fields of hashes that a second execution moves, and why that harms nobody.
    pub(crate) moves: &'static [(&'static str, &'static str)],
    /// With no memory left: refused whole, as ENQUEUE must be, or done whole, as whatever ends work must be.
    pub(crate) when_full: WhenFull,
    /// Writes nothing, so that nothing can be refused.
    pub(crate) reads_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    Done,
    Refused,
}

pub(crate) const SEQ: (&str, &str) = (
    "seq",
    "the number of a hint: it rises with each message, and a hint may come twice",
);

macro_rules! case {
    ($script:literal, $name:literal, $prepare:expr, $call:expr, $first:literal, $again:literal $(, $field:ident = $value:expr)*) => {
        Case {
            $($field: $value,)*
            ..Case {
                script: $script,
                name: $name,
                prepare: $prepare,
                call: $call,
                repeat: $call,
                first: $first,
                again: $again,
                moves: &[],
                when_full: WhenFull::Done,
                reads_only: false,
            }
        }
    };
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        // The API repeats through its reconciler: it asks what Redis holds, and enqueues what is missing.
        case!(
            "enqueue",
            "a new task",
            |_| nothing(),
            |q, _| Box::pin(async { tell(q.enqueue(&task("a")).await) }),
            "New",
            "there",
            repeat = |q, _| Box::pin(async { reconcile(q, task("a")).await }),
            when_full = WhenFull::Refused
        ),
        case!(
            "enqueue",
            "with an idempotency key",
            |_| nothing(),
            |q, _| Box::pin(async { tell(q.enqueue(&keyed()).await) }),
            "New",
            "Known { id: TaskId(\"a\") }",
            when_full = WhenFull::Refused
        ),
        case!(
            "enqueue",
            "later",
            |_| nothing(),
            |q, _| Box::pin(async { tell(q.enqueue(&delayed()).await) }),
            "New",
            "Known { id: TaskId(\"a\") }",
            when_full = WhenFull::Refused
        ),
        // A worker repeats with the same nonce.
        case!(
            "claim",
            "the oldest of two",
            |b| Box::pin(async {
                b.enqueue(&["a", "b"]).await;
                Stage::default()
            }),
            |q, _| Box::pin(async { claimed(q.claim(&request("w1", 1)).await) }),
            "a 1 replayed: false",
            "a 1 replayed: true"
        ),
        case!(
            "claim",
            "one that runs alone",
            |b| Box::pin(async {
                b.enqueue(&["a"]).await;
                b.claim("w0", 7).await;
                b.queue
                    .expire_worker(&worker("w0"), None, &ReapOptions::default())
                    .await
                    .unwrap();
                Stage::default()
            }),
            |q, _| Box::pin(async { claimed(q.claim(&request("w1", 1)).await) }),
            "a 2 replayed: false",
            "a 2 replayed: true"
        ),
        case!(
            "claim",
            "one that was cancelled while a bare pop had it",
            |b| Box::pin(async {
                b.enqueue(&["a", "b"]).await;
                b.cmd::<i64>(&["HSET", "task:a", "cancel", "cancelled"])
                    .await;
                Stage::default()
            }),
            |q, _| Box::pin(async { claimed(q.claim(&request("w1", 1)).await) }),
            "b 1 replayed: false",
            "b 1 replayed: true"
        ),
        case!(
            "heartbeat",
            "of one held task",
            |b| b.running(),
            |q, s| Box::pin(async { tell(q.heartbeat(&beat(s)).await) }),
            "BeatAnswer { draining: false, leases: [Kept] }",
            "BeatAnswer { draining: false, leases: [Kept] }"
        ),
        // A worker publishes the same step again, as it was not taken.
        case!(
            "progress",
            "one step",
            |b| b.running(),
            |q, s| Box::pin(async {
                tell(q.progress(&s.claim().id, &s.claim().token, &step()).await)
            }),
            "true",
            "true",
            moves = &[SEQ]
        ),
        // The worker hands in again; the API asks for the token's worth before it completes.
        case!(
            "complete",
            "a result",
            |b| b.running(),
            |q, s| Box::pin(async { tell(q.complete(&completion(s)).await) }),
            "Done",
            "DoneByThisToken",
            repeat = |q, s| Box::pin(async { hand_in_again(q, s).await })
        ),
        case!(
            "complete",
            "a result, although a cancel was asked",
            |b| Box::pin(async {
                let stage = b.running().await;
                b.queue
                    .cancel(&id("a"), CancelKind::Cancelled, "")
                    .await
                    .unwrap();
                stage
            }),
            |q, s| Box::pin(async { tell(q.complete(&completion(s)).await) }),
            "Done",
            "Already"
        ),
        case!(
            "fail",
            "to be run again",
            |b| b.running(),
            |q, s| Box::pin(async { tell(q.fail(&failure(s, true)).await) }),
            "Retrying",
            "Already"
        ),
        case!(
            "fail",
            "for good",
            |b| b.running(),
            |q, s| Box::pin(async { tell(q.fail(&failure(s, false)).await) }),
            "Final",
            "Already"
        ),
        case!(
            "release",
            "to the front",
            |b| b.running(),
            |q, s| Box::pin(async { tell(q.release(&s.claim().id, &s.claim().token).await) }),
            "Returned",
            "Already"
        ),
        case!(
            "release",
            "of a cancelled task",
            |b| Box::pin(async {
                let stage = b.running().await;
                b.queue
                    .cancel(&id("a"), CancelKind::Cancelled, "")
                    .await
                    .unwrap();
                stage
            }),
            |q, s| Box::pin(async { tell(q.release(&s.claim().id, &s.claim().token).await) }),
            "WasCancelled",
            "WasCancelled"
        ),
        case!(
            "cancel",
            "a waiting task",
            |b| Box::pin(async {
                b.enqueue(&["a", "b"]).await;
                Stage::default()
            }),
            |q, _| Box::pin(async { tell(q.cancel(&id("a"), CancelKind::Cancelled, "why").await) }),
            "Cancelled",
            "AlreadyFinal"
        ),
        case!(
            "cancel",
            "a running task",
            |b| b.running(),
            |q, _| Box::pin(async { tell(q.cancel(&id("a"), CancelKind::Cancelled, "why").await) }),
            "Requested",
            "Requested",
            moves = &[SEQ]
        ),
        case!(
            "replay",
            "a failed task",
            |b| b.failed(),
            |q, _| Box::pin(async { tell(q.replay(&id("a"), 2).await) }),
            "Queued",
            "Queued"
        ),
        case!(
            "forget",
            "a failed task",
            |b| b.failed(),
            |q, _| Box::pin(async { tell(q.forget(&id("a")).await) }),
            "true",
            "true"
        ),
        case!(
            "park",
            "a waiting task",
            |b| Box::pin(async {
                b.enqueue(&["a", "b"]).await;
                Stage::default()
            }),
            |q, _| Box::pin(async { tell(q.park(&id("a")).await) }),
            "Done",
            "Done"
        ),
        case!(
            "park",
            "a running task",
            |b| b.running(),
            |q, _| Box::pin(async { tell(q.park(&id("a")).await) }),
            "Noted",
            "Noted"
        ),
        case!(
            "unpark",
            "a parked task",
            |b| Box::pin(async {
                b.enqueue(&["a", "b"]).await;
                b.queue.park(&id("a")).await.unwrap();
                Stage::default()
            }),
            |q, _| Box::pin(async { tell(q.unpark(&id("a")).await) }),
            "Done",
            "Done"
        ),
        case!(
            "reap",
            "a lost lease, a due task",
            |b| Box::pin(async {
                b.overdue().await;
                Stage::default()
            }),
            |q, _| Box::pin(async { reaped(q.reap(&ReapOptions::default()).await) }),
            "expired 1, promoted 1",
            "expired 0, promoted 0"
        ),
        case!(
            "reap",
            "under the lock",
            |b| Box::pin(async {
                b.overdue().await;
                Stage::default()
            }),
            |q, _| Box::pin(async {
                reaped(
                    q.reap(&ReapOptions {
                        lock_ms: 60_000,
                        ..ReapOptions::default()
                    })
                    .await,
                )
            }),
            "expired 1, promoted 1",
            "expired 0, promoted 0"
        ),
        case!(
            "expire_worker",
            "that held a task",
            |b| b.running(),
            |q, _| Box::pin(async {
                reaped(
                    q.expire_worker(&worker("w1"), Some(3), &ReapOptions::default())
                        .await,
                )
            }),
            "expired 1, promoted 0",
            "expired 0, promoted 0"
        ),
        case!(
            "drain",
            "a pod",
            |b| b.running(),
            |q, _| Box::pin(async {
                tell(q.drain(&DrainTarget::Pod("uid".into()), Some(3)).await)
            }),
            "Accepted",
            "Accepted"
        ),
        case!(
            "observe",
            "a queue",
            |b| b.running(),
            |q, _| Box::pin(async {
                tell(
                    q.observe(&QueueName::default())
                        .await
                        .map(|seen| (seen.depth.total(), seen.in_flight.len())),
                )
            }),
            "(1, 1)",
            "(1, 1)",
            reads_only = true
        ),
        // The subscriber reads again what it had committed, commits it again without effect, and acknowledges.
        case!(
            "ack_results",
            "two entries",
            |b| Box::pin(async {
                b.outbox(2).await;
                Stage::default()
            }),
            |q, _| Box::pin(async { tell(acknowledge(q).await) }),
            "2",
            "0"
        ),
        case!(
            "drop_results",
            "an unreadable entry before a good one",
            |b| Box::pin(async {
                b.cmd::<i64>(&["LPUSH", "task:results", "{}"]).await;
                b.outbox(1).await;
                Stage::default()
            }),
            |q, _| Box::pin(async { tell(q.results(10).await.map(|entries| entries.len())) }),
            "1",
            "1"
        ),
        case!(
            "heal",
            "a task that no list holds",
            |b| Box::pin(async {
                b.enqueue(&["a", "b"]).await;
                b.cmd::<i64>(&["LREM", "task:queue", "0", "a"]).await;
                Stage::default()
            }),
            |q, _| Box::pin(async { mended(q.fsck().await) }),
            "lost 1, drift 0",
            "lost 0, drift 0"
        ),
        case!(
            "recount",
            "sums that drifted",
            |b| Box::pin(async {
                b.enqueue(&["a"]).await;
                b.cmd::<i64>(&["HSET", "task:work", "default/bp", "5"])
                    .await;
                Stage::default()
            }),
            |q, _| Box::pin(async { mended(q.fsck().await) }),
            "lost 0, drift 59995",
            "lost 0, drift 0",
            when_full = WhenFull::Refused
        ),
    ]
}

/// The script of a row, as it goes over the wire.
pub(crate) fn sent(script: &str) -> SentScript {
    let mut all = sent_scripts().into_iter();
    all.find(|sent| sent.name == script)
        .unwrap_or_else(|| panic!("there is no script {script}"))
}

#[test]
fn every_script_has_a_row() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scripts");
    let in_folder: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "lua"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let all = sent_scripts();
    let sent: BTreeSet<&str> = all.iter().map(|sent| sent.name).collect();
    let parts: BTreeSet<&str> = all.iter().flat_map(|sent| sent.files.clone()).collect();
    let unused: Vec<_> = in_folder
        .iter()
        .filter(|file| !parts.contains(file.as_str()))
        .collect();
    assert!(unused.is_empty(), "files that no script uses: {unused:?}");
    let rows: BTreeSet<&str> = cases().iter().map(|case| case.script).collect();
    assert_eq!(rows, sent, "rows of the table beside the scripts");
}

//! How the rows of the table come to their calls, and the calls' arguments and answers: tasks, claims and workers of a few
//! fixed names, so that two runs of a row leave the same keys.

use std::fmt::Debug;
use std::sync::atomic::Ordering;

use futures::future::BoxFuture;
use queue::*;

use crate::bench::{Bench, START_MS};

/// What `prepare` leaves for the call.
#[derive(Clone, Default)]
pub(crate) struct Stage {
    claim: Option<Claim>,
}

impl Stage {
    pub(crate) fn claim(&self) -> &Claim {
        self.claim.as_ref().expect("a prepared claim")
    }
}

/// An answer in words, so that rows of any type fit into one table.
pub(crate) type Told = Result<String, Error>;

pub(crate) fn nothing<'a>() -> BoxFuture<'a, Stage> {
    Box::pin(async { Stage::default() })
}

pub(crate) fn tell<T: Debug>(answer: Result<T, Error>) -> Told {
    answer.map(|answer| format!("{answer:?}"))
}

pub(crate) fn claimed(answer: Result<ClaimAnswer, Error>) -> Told {
    answer.map(|answer| match answer {
        ClaimAnswer::Claimed(claim) => {
            format!(
                "{} {} replayed: {}",
                claim.id, claim.attempt, claim.replayed
            )
        }
        other => format!("{other:?}"),
    })
}

pub(crate) fn reaped(answer: Result<ReapReport, Error>) -> Told {
    answer.map(|report| format!("expired {}, promoted {}", report.expired, report.promoted))
}

pub(crate) fn mended(answer: Result<FsckReport, Error>) -> Told {
    answer.map(|report| format!("lost {}, drift {}", report.lost, report.work_drift_ms))
}

pub(crate) async fn reconcile(queue: &Queue, task: NewTask) -> Told {
    if queue.snapshots(std::slice::from_ref(&task.id)).await?[0].is_some() {
        return Ok("there".to_owned());
    }
    tell(queue.enqueue(&task).await)
}

pub(crate) async fn hand_in_again(queue: &Queue, stage: &Stage) -> Told {
    match queue
        .verify(&stage.claim().id, &stage.claim().token)
        .await?
    {
        Verdict::Live => tell(queue.complete(&completion(stage)).await),
        other => Ok(format!("{other:?}")),
    }
}

pub(crate) async fn acknowledge(queue: &Queue) -> Result<usize, Error> {
    let entries = queue.results(10).await?;
    let newest = entries.iter().map(|entry| entry.number).max();
    match newest {
        Some(newest) => queue.ack_results(newest, entries.len()).await,
        None => Ok(0),
    }
}

pub(crate) fn id(name: &str) -> TaskId {
    TaskId::parse(name).unwrap()
}

pub(crate) fn worker(name: &str) -> WorkerId {
    WorkerId::parse(name).unwrap()
}

pub(crate) fn task(name: &str) -> NewTask {
    let payload = TaskPayload {
        filename: format!("{name}.wav"),
        ..TaskPayload::default()
    };
    NewTask::new(id(name), "bp", payload, 60_000)
}

pub(crate) fn keyed() -> NewTask {
    NewTask {
        idempotency: Some(("key".to_owned(), 60_000)),
        ..task("a")
    }
}

pub(crate) fn delayed() -> NewTask {
    NewTask {
        delay_ms: 5_000,
        ..task("a")
    }
}

/// With a nonce of the test's own, so that two runs leave the same keys.
pub(crate) fn request(worker_name: &str, nonce: u32) -> ClaimRequest {
    ClaimRequest {
        worker: worker(worker_name),
        queues: vec![QueueName::default()],
        nonce: format!("{nonce:032}"),
        held: 0,
        slots: 1,
    }
}

pub(crate) fn beat(stage: &Stage) -> Beat {
    Beat {
        worker: worker("w1"),
        state: WorkerState::Busy,
        about: WorkerAbout {
            slots: 1,
            ..WorkerAbout::default()
        },
        held: vec![(stage.claim().id.clone(), stage.claim().token.clone())],
        ttl_ms: 30_000,
    }
}

pub(crate) fn step() -> Progress {
    Progress {
        stage: "inference".into(),
        current: 1,
        total: 9,
    }
}

pub(crate) fn completion(stage: &Stage) -> Completion {
    Completion {
        id: stage.claim().id.clone(),
        token: stage.claim().token.clone(),
        result: ResultPointer {
            notes: 7,
            ..ResultPointer::default()
        },
        busy_ms: 6_000,
        ttl_ms: 86_400_000,
    }
}

pub(crate) fn failure(stage: &Stage, retryable: bool) -> Failure {
    let error = TaskError {
        code: "x".into(),
        kind: "model".into(),
        message: "as the test wants it".into(),
    };
    Failure {
        id: stage.claim().id.clone(),
        token: stage.claim().token.clone(),
        error,
        retryable,
        backoff_ms: 9_000,
    }
}

impl Bench {
    pub(crate) async fn enqueue(&self, names: &[&str]) {
        for name in names {
            let answer = self.queue.enqueue(&task(name)).await.unwrap();
            assert_eq!(answer, Enqueued::New);
        }
    }

    pub(crate) async fn claim(&self, worker_name: &str, nonce: u32) -> Claim {
        match self
            .queue
            .claim(&request(worker_name, nonce))
            .await
            .unwrap()
        {
            ClaimAnswer::Claimed(claim) => *claim,
            other => panic!("{other:?}"),
        }
    }

    /// `a` runs on w1, `b` waits.
    pub(crate) fn running(&self) -> BoxFuture<'_, Stage> {
        Box::pin(async {
            self.enqueue(&["a", "b"]).await;
            Stage {
                claim: Some(self.claim("w1", 7).await),
            }
        })
    }

    /// `a` is a dead letter, `b` waits.
    pub(crate) fn failed(&self) -> BoxFuture<'_, Stage> {
        Box::pin(async {
            let stage = self.running().await;
            self.queue.fail(&failure(&stage, false)).await.unwrap();
            stage
        })
    }

    /// The lease of `a` has gone, and `b` is due.
    pub(crate) async fn overdue(&self) {
        self.enqueue(&["a"]).await;
        self.queue.reap(&ReapOptions::default()).await.unwrap();
        self.claim("w1", 7).await;
        let later = NewTask {
            delay_ms: 15_000,
            ..task("b")
        };
        self.queue.enqueue(&later).await.unwrap();
        // Within a lease of the last reap there is no amnesty: one more of them on the way.
        for _ in 0..2 {
            self.clock.fetch_add(7_500, Ordering::SeqCst);
            if self.clock.load(Ordering::SeqCst) < START_MS + 15_000 {
                self.queue.reap(&ReapOptions::default()).await.unwrap();
            }
        }
    }

    /// Entries of cancelled tasks.
    pub(crate) async fn outbox(&self, count: usize) {
        for name in ["a", "b", "c"].iter().take(count) {
            self.enqueue(&[name]).await;
            self.queue
                .cancel(&id(name), CancelKind::Cancelled, "")
                .await
                .unwrap();
        }
    }
}

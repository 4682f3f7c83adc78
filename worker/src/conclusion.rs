//! How an attempt ends in the queue: which call says it, how often it is repeated, and when nothing may be said any more.

use std::time::Duration;

use queue::{Claim, FailAnswer, Released, TaskError};

use crate::backoff::{self, Outage};
use crate::leases::{Ending, Held};
use crate::serve::Worker;
use crate::transcriber::Failure;

/// What an attempt came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The API has the notes and closed the task.
    Stored {
        notes: usize,
        wall: Duration,
    },
    Failed(Failure),
    Ended(Ending),
    /// This machine's disk does not serve.
    NoRoom(String),
    /// The task is not ours any more: nothing may be written.
    Discarded(String),
}

/// Writes the end of the attempt, unless its lease has gone.
pub(crate) async fn conclude(worker: &Worker, claim: &Claim, held: &Held, outcome: Outcome) {
    let id = &claim.id;
    match outcome {
        Outcome::Stored { notes, wall } => {
            tracing::info!(task.id = %id, notes, wall_ms = wall.as_millis() as u64, "transcribed");
        }
        Outcome::Failed(failure) if failure.poisons_device || !worker.transcriber.healthy() => {
            worker.poison(format!("task {id}: {}", failure.message));
        }
        Outcome::Failed(failure) => fail(worker, claim, held, failure).await,
        Outcome::Ended(Ending::Cancelled) => {
            fail(
                worker,
                claim,
                held,
                ended("cancelled", "cancelled while it was running"),
            )
            .await;
        }
        Outcome::Ended(Ending::TimedOut) => {
            let message = format!(
                "not done within its running limit of {} s",
                claim.hard_limit_ms / 1000
            );
            // As REAP has it where the worker is gone: each such run counts, and it is run again while there are any left.
            let late = Failure {
                retryable: true,
                ..ended("timeout", &message)
            };
            fail(worker, claim, held, late).await;
        }
        Outcome::Ended(Ending::HandBack) => release(worker, claim, held).await,
        Outcome::NoRoom(reason) => {
            let bytes = claim.payload.bytes;
            tracing::error!(task.id = %id, bytes, reason, "no room for its audio: handing it back, and claiming nothing until there is");
            release(worker, claim, held).await;
        }
        Outcome::Ended(Ending::Lost) => {
            tracing::warn!(task.id = %id, "attempt given up, nothing written");
        }
        // A device that hangs would take one task after the other down: a new process has to open it anew.
        Outcome::Ended(Ending::Stalled) => worker.poison(format!(
            "the network made no step of task {id} within {} s",
            worker.config.stall_seconds
        )),
        Outcome::Discarded(reason) => {
            tracing::warn!(task.id = %id, reason, "attempt discarded: the task is not ours any more")
        }
    }
}

fn ended(kind: &str, message: &str) -> Failure {
    Failure {
        code: kind.into(),
        kind: kind.into(),
        message: message.into(),
        retryable: false,
        poisons_device: false,
    }
}

/// Whether another run could help: some kinds never, a full GPU once, the rest as the failure itself says.
fn retryable(failure: &Failure, retries: u32) -> bool {
    match failure.kind.as_str() {
        "decode" | "input" | "model_unavailable" | "cancelled" => false,
        "oom_gpu" => retries == 0,
        _ => failure.retryable,
    }
}

async fn fail(worker: &Worker, claim: &Claim, held: &Held, failure: Failure) {
    let timing = &worker.config.timing;
    let retryable = retryable(&failure, claim.retries);
    let backoff = backoff::pause(claim.retries + 1, timing.retry_base, timing.retry_cap);
    let Failure {
        code,
        kind,
        message,
        ..
    } = failure;
    tracing::warn!(task.id = %claim.id, code, kind, retryable, message, "attempt failed");
    let call = queue::Failure {
        id: claim.id.clone(),
        token: claim.token.clone(),
        error: TaskError {
            code,
            kind,
            message,
        },
        retryable,
        backoff_ms: backoff.as_millis() as u64,
    };
    let answer = until_answered(worker, held, || worker.queue.fail(&call)).await;
    match answer {
        Some(FailAnswer::Retrying) => {
            tracing::info!(task.id = %claim.id, backoff_ms = call.backoff_ms, "will be run again")
        }
        Some(FailAnswer::Final | FailAnswer::Already) => {}
        Some(FailAnswer::Stale | FailAnswer::Unknown) | None => {
            tracing::warn!(task.id = %claim.id, "the failure was not recorded: the lease had gone");
        }
    }
}

async fn release(worker: &Worker, claim: &Claim, held: &Held) {
    let call = until_answered(worker, held, || {
        worker.queue.release(&claim.id, &claim.token)
    });
    match tokio::time::timeout(worker.config.timing.farewell, call)
        .await
        .ok()
        .flatten()
    {
        Some(Released::Returned | Released::Already) => {
            tracing::info!(task.id = %claim.id, "handed back")
        }
        Some(Released::WasCancelled) => {
            tracing::info!(task.id = %claim.id, "cancelled while it was being handed back")
        }
        Some(Released::Stale | Released::Unknown) => {
            tracing::debug!(task.id = %claim.id, "was over before it could be handed back")
        }
        None => {
            tracing::warn!(task.id = %claim.id, "could not be handed back; it runs again when its lease ends")
        }
    }
}

/// Repeats a call until Redis answers it or the lease has gone. Every such call may be repeated: the token makes it one.
async fn until_answered<T, F>(worker: &Worker, held: &Held, call: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, queue::Error>>,
{
    let mut outage = Outage::new(
        worker.config.timing.outage_base,
        worker.config.timing.outage_cap,
    );
    loop {
        tokio::select! {
            biased;
            () = held.fenced() => return None,
            answer = call() => match answer {
                Ok(answer) => return Some(answer),
                Err(error) => {
                    let pause = outage.failed();
                    if outage.is_new() {
                        tracing::warn!(task.id = %held.id, %error, "cannot record the end of an attempt; trying while the lease lives");
                    }
                    tokio::select! {
                        () = held.fenced() => return None,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: &str, retryable: bool) -> Failure {
        Failure {
            code: "x".into(),
            kind: kind.into(),
            message: String::new(),
            retryable,
            poisons_device: false,
        }
    }

    #[test]
    fn only_what_may_go_better_is_run_again() {
        for (kind, says, retries, expected) in [
            ("decode", true, 0, false),
            ("input", true, 0, false),
            ("model_unavailable", true, 0, false),
            ("cancelled", false, 0, false),
            ("timeout", true, 1, true),
            ("storage", false, 0, false),
            ("oom_gpu", true, 0, true),
            ("oom_gpu", true, 1, false),
            ("storage", true, 1, true),
            ("internal", true, 1, true),
            ("model", true, 1, true),
            ("model", false, 0, false),
        ] {
            assert_eq!(
                retryable(&failure(kind, says), retries),
                expected,
                "{kind} after {retries} retries"
            );
        }
    }
}

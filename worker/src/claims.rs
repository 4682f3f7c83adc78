//! Takes tasks from the queue while there is a free slot. It never runs one itself, and it asks for one at a time, so that
//! it never holds more than it can run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use queue::{Claim, ClaimAnswer, ClaimRequest, Hints, QueueName, WorkerState};
use tokio::task::JoinSet;

use crate::attempt;
use crate::backoff::Outage;
use crate::serve::Worker;

/// How long a count of the idle workers is good enough to spread them.
const CROWD_LASTS: Duration = Duration::from_secs(30);

/// Claims and starts attempts until the worker stops or its device is poisoned.
pub(crate) async fn claim_until_stopped(worker: &Arc<Worker>, attempts: &mut JoinSet<()>) {
    let hints = Hints::listen(&worker.queue);
    let slots = worker.config.slots as usize;
    let mut crowd = Crowd::default();
    while !worker.is_ending() {
        while let Some(over) = attempts.try_join_next() {
            note_panic(over);
        }
        if attempts.len() >= slots {
            tokio::select! {
                () = worker.ending() => {}
                Some(over) = attempts.join_next() => note_panic(over),
            }
            continue;
        }
        if let Some(pause) = worker.workspace.closed() {
            tokio::select! {
                () = worker.ending() => {}
                () = tokio::time::sleep(pause) => {}
                Some(over) = attempts.join_next(), if !attempts.is_empty() => note_panic(over),
            }
            continue;
        }
        let Some((answer, sent)) = ask(worker).await else {
            break;
        };
        let poll = Hints::patience(worker.config.timing.poll);
        let wait = match answer {
            ClaimAnswer::Claimed(claim) => {
                begin(worker, attempts, *claim, sent).await;
                continue;
            }
            ClaimAnswer::Again => {
                tokio::task::yield_now().await;
                continue;
            }
            ClaimAnswer::Nothing { next_due_ms } => {
                // A due moment in the past is the reaper's business: do not spin on it.
                next_due_ms.map_or(poll, |due| poll.min(Duration::from_millis(due.max(20))))
            }
            ClaimAnswer::Paused | ClaimAnswer::Draining => poll,
        };
        tokio::select! {
            () = worker.ending() => {}
            () = hints.next(crowd.idle, poll) => {}
            () = tokio::time::sleep(wait) => crowd.look(worker).await,
            Some(over) = attempts.join_next(), if !attempts.is_empty() => note_panic(over),
        }
    }
}

/// One claim, once Redis knows this worker: the same nonce is repeated until there is an answer, so that a lost reply loses no
/// task. `None` = stopping.
async fn ask(worker: &Worker) -> Option<(ClaimAnswer, Instant)> {
    let timing = &worker.config.timing;
    let request = ClaimRequest {
        worker: worker.id.clone(),
        queues: worker.queues.clone(),
        nonce: ClaimRequest::nonce(),
        held: worker.leases.len() as u32,
        slots: worker.config.slots,
    };
    let mut outage = Outage::new(timing.outage_base, timing.outage_cap);
    let mut first_sent = None;
    loop {
        // A drain of this worker's pod is a flag under the pod's id, which Redis has from the heartbeat alone.
        tokio::select! {
            biased;
            () = worker.ending() => return None,
            () = worker.presence.known() => {}
        }
        let sent = Instant::now();
        let first_sent = *first_sent.get_or_insert(sent);
        match worker.queue.claim(&request).await {
            Ok(answer) => {
                if outage.over() {
                    tracing::info!("Redis answers again");
                }
                // The lease of a repeated claim began when the first call arrived.
                let replayed = matches!(&answer, ClaimAnswer::Claimed(claim) if claim.replayed);
                return Some((answer, if replayed { first_sent } else { sent }));
            }
            Err(error) => {
                worker.presence.doubted();
                let pause = outage.failed();
                if outage.is_new() {
                    tracing::warn!(%error, "cannot claim; trying again until Redis answers");
                }
                tokio::select! {
                    () = worker.ending() => return None,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

async fn begin(worker: &Arc<Worker>, attempts: &mut JoinSet<()>, claim: Claim, sent: Instant) {
    let half_gone = sent.elapsed() * 2 >= Duration::from_millis(claim.lease_ms);
    if half_gone || worker.is_ending() {
        // Too late to begin. If the token is still good the task goes back to the front of its queue, else nothing happens.
        if let Err(error) = worker.queue.release(&claim.id, &claim.token).await {
            tracing::warn!(task.id = %claim.id, %error, "cannot hand back a task that was claimed too late; its lease ends by itself");
        }
        return;
    }
    tracing::info!(task.id = %claim.id, attempt = claim.attempt, model = %claim.model, audio_ms = claim.audio_ms, "claimed");
    let hold = worker.hold(&claim, sent);
    attempts.spawn(attempt::run(Arc::clone(worker), claim, hold));
}

/// How many workers wait for the same hints; what is not known counts as few.
struct Crowd {
    idle: u32,
    counted: Option<Instant>,
}

impl Default for Crowd {
    fn default() -> Self {
        Crowd {
            idle: 1,
            counted: None,
        }
    }
}

impl Crowd {
    /// Counts again if the last count is old: with many workers that one call is the dearest of all.
    async fn look(&mut self, worker: &Worker) {
        if let Some(queue) = worker.queues.first()
            && self.is_due(Instant::now())
        {
            self.idle = count_idle(worker, queue).await;
        }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self
            .counted
            .is_none_or(|counted| now.duration_since(counted) >= CROWD_LASTS);
        if due {
            self.counted = Some(now);
        }
        due
    }
}

async fn count_idle(worker: &Worker, queue: &QueueName) -> u32 {
    let Ok(seen) = worker.queue.observe(queue).await else {
        return 1;
    };
    let idle = format!("{:?}", WorkerState::Idle).to_lowercase();
    seen.workers
        .iter()
        .filter(|worker| worker.state == idle)
        .count() as u32
}

fn note_panic(over: Result<(), tokio::task::JoinError>) {
    if let Err(error) = over
        && error.is_panic()
    {
        tracing::error!(%error, "an attempt panicked outside the network; its lease ends by itself. This is a bug");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_workers_are_counted_at_most_twice_a_minute() {
        let (mut crowd, start) = (Crowd::default(), Instant::now());
        let counted: Vec<u64> = (0..90)
            .step_by(5)
            .filter(|after| crowd.is_due(start + Duration::from_secs(*after)))
            .collect();
        assert_eq!(counted, [0, 30, 60]);
    }
}

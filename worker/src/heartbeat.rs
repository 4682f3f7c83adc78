//! Renews every lease of this worker in one call, from a thread, a runtime and a connection of its own, so that neither a
//! busy network nor a slow transfer can cost a lease. It decides nothing about tasks: it ends them in the table of leases.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use queue::{Beat, BeatAnswer, LeaseState, Queue, QueueConfig, WorkerAbout, WorkerId, WorkerState};
use tokio_util::sync::CancellationToken;

use crate::Stop;
use crate::backoff::{Outage, around};
use crate::config::Timing;
use crate::leases::{Ending, Held, Leases};
use crate::presence::Presence;
use crate::stop::Level;

/// How often the clocks of the leases are looked at when none is about to run out.
const LOOK: Duration = Duration::from_millis(250);

/// What the thread needs to know.
pub(crate) struct Pulse {
    pub(crate) redis: QueueConfig,
    pub(crate) worker: WorkerId,
    pub(crate) about: WorkerAbout,
    pub(crate) leases: Arc<Leases>,
    pub(crate) presence: Arc<Presence>,
    /// Set by the operator's flag, as Redis answers it.
    pub(crate) draining: Arc<AtomicBool>,
    pub(crate) stop: Stop,
    pub(crate) timing: Timing,
    pub(crate) stall: Duration,
}

/// The running thread; ends when dropped.
pub(crate) struct Heartbeat {
    end: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    pub(crate) fn start(pulse: Pulse) -> io::Result<Self> {
        let end = CancellationToken::new();
        let ended = end.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("heartbeat".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = ended.cancelled() => {}
                        () = pulse.watch() => {}
                        () = pulse.beat() => {}
                    }
                });
            })?;
        Ok(Heartbeat {
            end,
            thread: Some(thread),
        })
    }

    /// Ends the thread; no beat follows, so the worker's keys can be deleted.
    pub(crate) fn stop(mut self) {
        self.end.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic in there was reported by the panic hook; there is nothing left to save.
            let _ = thread.join();
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Pulse {
    /// Gives up what the clock has ended, also while Redis does not answer.
    async fn watch(&self) {
        loop {
            let now = Instant::now();
            self.leases.renewable(now, self.stall);
            let first_end = self
                .leases
                .rhythm()
                .map(|(end, _)| end.saturating_duration_since(now));
            tokio::time::sleep(
                first_end.map_or(LOOK, |end| end.clamp(Duration::from_millis(5), LOOK)),
            )
            .await;
        }
    }

    async fn beat(&self) {
        let queue = self.connect().await;
        let mut outage = Outage::new(Duration::from_millis(100), Duration::from_secs(1));
        loop {
            let held = self.leases.renewable(Instant::now(), self.stall);
            let sent = Instant::now();
            match queue.heartbeat(&self.describe(&held)).await {
                Ok(answer) => {
                    if outage.over() {
                        tracing::info!("heartbeats are accepted again");
                    }
                    self.apply(&held, &answer, sent);
                    self.presence.accepted();
                    self.wait(sent).await;
                }
                Err(error) => {
                    self.presence.lost();
                    if error.is_refused() {
                        // Redis is there and takes writes from nobody (a full disk): no lease can be ended, and no task given
                        // to somebody else. Going on costs nothing, and giving up would cost every attempt of the fleet.
                        held.iter().for_each(|held| held.renewed(sent));
                    }
                    let pause = outage.failed();
                    if outage.is_new() {
                        tracing::warn!(worker = %self.worker, %error, held = held.len(), "a heartbeat failed; trying until the leases end");
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn connect(&self) -> Queue {
        let mut outage = Outage::new(Duration::from_millis(100), Duration::from_secs(1));
        loop {
            match Queue::connect(&self.redis).await {
                Ok(queue) => return queue,
                Err(error) => {
                    let pause = outage.failed();
                    if outage.is_new() {
                        tracing::warn!(%error, "the heartbeat has no connection to Redis yet");
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    fn describe(&self, held: &[Arc<Held>]) -> Beat {
        let draining = self.draining.load(Ordering::Relaxed) || self.stop.level() != Level::Run;
        Beat {
            worker: self.worker.clone(),
            state: match (draining, held.is_empty()) {
                (true, _) => WorkerState::Draining,
                (false, true) => WorkerState::Idle,
                (false, false) => WorkerState::Busy,
            },
            about: self.about.clone(),
            held: held
                .iter()
                .map(|held| (held.id.clone(), held.token.clone()))
                .collect(),
            ttl_ms: self.timing.worker_ttl.as_millis() as u64,
        }
    }

    fn apply(&self, held: &[Arc<Held>], answer: &BeatAnswer, sent: Instant) {
        if self.draining.swap(answer.draining, Ordering::Relaxed) != answer.draining {
            tracing::info!(
                draining = answer.draining,
                "the drain flag of this worker changed"
            );
        }
        for (held, state) in held.iter().zip(&answer.leases) {
            match state {
                LeaseState::Kept => held.renewed(sent),
                LeaseState::CancelRequested => {
                    held.renewed(sent);
                    held.end(Ending::Cancelled);
                }
                LeaseState::LimitPassed => held.end(Ending::TimedOut),
                LeaseState::Lost => held.end(Ending::Lost),
            }
        }
    }

    /// Until the next beat is due; a new task with a short lease makes it due sooner, a doubt at once.
    async fn wait(&self, sent: Instant) {
        let mut due = sent + around(self.interval(), 0.1);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => return,
                () = self.presence.wanted() => return,
                () = self.leases.changed() => due = due.min(Instant::now() + around(self.interval(), 0.1)),
            }
        }
    }

    fn interval(&self) -> Duration {
        self.leases
            .rhythm()
            .map_or(self.timing.beat, |(_, third)| third.min(self.timing.beat))
    }
}

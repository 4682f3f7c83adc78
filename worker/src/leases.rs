//! The tasks this worker holds and what the monotonic clock says about each lease. Shared by the attempts and the
//! heartbeat thread; it neither speaks to Redis nor knows what an attempt does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use queue::{Progress, TaskId, Token};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Why an attempt must stop before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The lease has gone, or cannot be known to live: write nothing.
    Lost,
    /// No measured step for too long: the lease is left to run out, a crash is counted.
    Stalled,
    /// Somebody cancelled the task.
    Cancelled,
    /// The task ran into its hard limit.
    TimedOut,
    /// The worker stops: give the task back.
    HandBack,
}

/// One claimed task.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: TaskId,
    pub(crate) token: Token,
    lease: Duration,
    /// Redis ends the lease here, whatever is renewed.
    hard_end: Option<Instant>,
    /// Ended, for whatever reason.
    ended: CancellationToken,
    /// The lease has gone: nothing may be written any more. It can follow another ending.
    fenced: CancellationToken,
    clock: Mutex<Clock>,
}

#[derive(Debug)]
struct Clock {
    /// When the last accepted renewal (or the claim) was *sent*: Redis counts from later than that.
    accepted: Instant,
    /// The last measured step of the network; `None` while none runs.
    stepped: Option<Instant>,
    ending: Option<Ending>,
}

impl Held {
    /// Ends the attempt. The first reason stands; a lost lease also forbids to write.
    pub(crate) fn end(&self, ending: Ending) {
        self.clock.lock().ending.get_or_insert(ending);
        if matches!(ending, Ending::Lost | Ending::Stalled) {
            self.fenced.cancel();
        }
        self.ended.cancel();
    }

    /// Waits for the end and says why.
    pub(crate) async fn ended(&self) -> Ending {
        self.ended.cancelled().await;
        self.clock.lock().ending.unwrap_or(Ending::Lost)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits until nothing may be written any more.
    pub(crate) async fn fenced(&self) {
        self.fenced.cancelled().await;
    }

    /// The network starts, or makes a step: the stall watch begins anew.
    pub(crate) fn step(&self) {
        self.clock.lock().stepped = Some(Instant::now());
    }

    /// The network is done: transfers have their own time-outs.
    pub(crate) fn rest(&self) {
        self.clock.lock().stepped = None;
    }

    /// A renewal that was sent at `sent` was accepted.
    pub(crate) fn renewed(&self, sent: Instant) {
        let mut clock = self.clock.lock();
        clock.accepted = clock.accepted.max(sent);
    }

    /// After 5/6 of the lease without a renewal this worker no longer believes in it.
    fn gives_up_at(&self) -> Instant {
        self.clock.lock().accepted + self.lease * 5 / 6
    }

    fn check(&self, now: Instant, stall: Duration) {
        if self.fenced.is_cancelled() {
            return;
        }
        let stepped = self.clock.lock().stepped;
        if now >= self.gives_up_at() {
            tracing::warn!(task.id = %self.id, "no renewal was accepted for 5/6 of the lease: giving the task up");
            self.end(Ending::Lost);
        } else if stepped.is_some_and(|at| now.duration_since(at) >= stall) && !self.is_ended() {
            tracing::error!(task.id = %self.id, stall_s = stall.as_secs(), "no progress: its lease is no longer renewed");
            self.end(Ending::Stalled);
        } else if self.hard_end.is_some_and(|end| now >= end) && !self.is_ended() {
            self.end(Ending::TimedOut);
        }
    }
}

/// The table of held tasks.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: Mutex<Vec<Arc<Held>>>,
    /// Woken when the table changes: the heartbeat may have to come sooner.
    changed: Notify,
}

/// What a claim says about its lease.
pub(crate) struct Grant {
    pub(crate) id: TaskId,
    pub(crate) token: Token,
    pub(crate) lease: Duration,
    pub(crate) hard_limit: Option<Duration>,
    /// When the claim was sent.
    pub(crate) sent: Instant,
}

/// Takes the task out of the table when its attempt is over, however it is over.
pub(crate) struct Hold {
    leases: Arc<Leases>,
    pub(crate) held: Arc<Held>,
}

impl Leases {
    pub(crate) fn hold(self: &Arc<Self>, grant: Grant) -> Hold {
        let held = Arc::new(Held {
            id: grant.id,
            token: grant.token,
            lease: grant.lease,
            hard_end: grant
                .hard_limit
                .and_then(|limit| grant.sent.checked_add(limit)),
            ended: CancellationToken::new(),
            fenced: CancellationToken::new(),
            clock: Mutex::new(Clock {
                accepted: grant.sent,
                stepped: None,
                ending: None,
            }),
        });
        self.held.lock().push(Arc::clone(&held));
        self.changed.notify_one();
        Hold {
            leases: Arc::clone(self),
            held,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.held.lock().len()
    }

    /// Ends what the clock has ended; gives what is still worth a renewal.
    pub(crate) fn renewable(&self, now: Instant, stall: Duration) -> Vec<Arc<Held>> {
        let held = self.held.lock().clone();
        held.iter().for_each(|held| held.check(now, stall));
        held.into_iter()
            .filter(|held| !held.fenced.is_cancelled())
            .collect()
    }

    /// How long until a lease could be given up, and a third of the shortest lease: the longest pause between beats.
    pub(crate) fn rhythm(&self) -> Option<(Instant, Duration)> {
        let held = self.held.lock();
        let live = || held.iter().filter(|held| !held.fenced.is_cancelled());
        let first_end = live().map(|held| held.gives_up_at()).min()?;
        let shortest = live().map(|held| held.lease).min()?;
        Some((first_end, shortest / 3))
    }

    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn end_all(&self, ending: Ending) {
        self.held.lock().iter().for_each(|held| held.end(ending));
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.leases
            .held
            .lock()
            .retain(|held| !Arc::ptr_eq(held, &self.held));
        self.leases.changed.notify_one();
    }
}

/// The network's line to the worker: it reports steps and learns whether to stop.
#[derive(Clone, Debug)]
pub struct Control {
    held: Arc<Held>,
    progress: watch::Sender<Option<Progress>>,
}

impl Control {
    pub(crate) fn new(held: Arc<Held>) -> Self {
        Control {
            held,
            progress: watch::Sender::new(None),
        }
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.progress.subscribe()
    }

    /// A measured step. Saying the same again is no step: a network that only repeats itself is stalled.
    pub fn step(&self, stage: &str, current: u64, total: u64) {
        let next = Progress {
            stage: stage.to_owned(),
            current,
            total,
        };
        let moved = self.progress.send_if_modified(|last| {
            let moved = last.as_ref() != Some(&next);
            *last = Some(next);
            moved
        });
        if moved {
            self.held.step();
        }
    }

    /// True once the attempt is over for whatever reason: nobody waits for its notes any more.
    pub fn cancelled(&self) -> bool {
        self.held.is_ended()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(12);
    const STALL: Duration = Duration::from_secs(120);

    fn hold(leases: &Arc<Leases>, sent: Instant, hard_limit: Option<Duration>) -> Hold {
        let id = TaskId::parse("task").unwrap();
        leases.hold(Grant {
            id,
            token: Token::new("1-x"),
            lease: LEASE,
            hard_limit,
            sent,
        })
    }

    fn ending(hold: &Hold) -> Option<Ending> {
        hold.held.clock.lock().ending
    }

    #[test]
    fn a_lease_is_given_up_at_five_sixths_after_the_last_accepted_renewal_was_sent() {
        let (leases, start) = (Arc::new(Leases::default()), Instant::now());
        let hold = hold(&leases, start, None);
        assert_eq!(
            leases
                .renewable(start + Duration::from_millis(9_999), STALL)
                .len(),
            1
        );
        hold.held.renewed(start + Duration::from_secs(5));
        // An answer that overtook a later one does not turn the clock back.
        hold.held.renewed(start + Duration::from_secs(1));
        assert_eq!(
            leases
                .renewable(start + Duration::from_millis(14_999), STALL)
                .len(),
            1
        );
        assert!(
            leases
                .renewable(start + Duration::from_secs(15), STALL)
                .is_empty()
        );
        assert_eq!(ending(&hold), Some(Ending::Lost));
    }

    #[test]
    fn only_a_running_network_can_stall_and_a_new_step_saves_it() {
        let (leases, start) = (Arc::new(Leases::default()), Instant::now());
        let hold = hold(&leases, start, None);
        let renew = |after: u64| hold.held.renewed(start + Duration::from_secs(after));
        let live = |after: u64| {
            leases
                .renewable(start + Duration::from_secs(after), STALL)
                .len()
                == 1
        };
        renew(300);
        assert!(live(300), "no network runs, so none stalls");
        let control = Control::new(Arc::clone(&hold.held));
        control.step("inference", 1, 9);
        control.step("inference", 1, 9);
        assert!(live(100));
        assert!(!live(121), "saying the same again is no step");
        assert_eq!(ending(&hold), Some(Ending::Stalled));
    }

    #[test]
    fn a_cancelled_task_is_still_renewed_until_its_end_is_written() {
        let (leases, start) = (Arc::new(Leases::default()), Instant::now());
        let hold = hold(&leases, start, None);
        hold.held.end(Ending::Cancelled);
        assert_eq!(leases.renewable(start, STALL).len(), 1);
        assert!(
            leases.renewable(start + LEASE, STALL).is_empty(),
            "but never beyond its lease"
        );
        assert_eq!(
            ending(&hold),
            Some(Ending::Cancelled),
            "the first reason stands"
        );
        drop(hold);
        assert_eq!(leases.len(), 0);
    }

    #[test]
    fn the_running_limit_ends_a_task_whose_lease_lives() {
        let (leases, start) = (Arc::new(Leases::default()), Instant::now());
        let hold = hold(&leases, start, Some(Duration::from_secs(600)));
        hold.held.renewed(start + Duration::from_secs(599));
        assert_eq!(
            leases
                .renewable(start + Duration::from_secs(599), STALL)
                .len(),
            1
        );
        assert_eq!(ending(&hold), None);
        leases.renewable(start + Duration::from_secs(600), STALL);
        assert_eq!(ending(&hold), Some(Ending::TimedOut));
    }
}

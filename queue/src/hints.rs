//! Wakes an idle worker when a task may be waiting. A hint may be lost or wrong: whoever waits also polls.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::{Event, Interest, Queue};

/// Up to so many idle workers all of them may rush at once; more of them spread out.
const CROWD: u32 = 8;
const SPREAD: Duration = Duration::from_millis(50);

/// A poll comes this much earlier or later, so that workers do not march in step.
const POLL_JITTER: f64 = 0.15;

/// Listens while it lives.
#[derive(Debug)]
pub struct Hints {
    woken: Arc<Notify>,
    listener: JoinHandle<()>,
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Hints {
    /// On the current runtime, over a connection of its own.
    pub fn listen(queue: &Queue) -> Self {
        let woken = Arc::new(Notify::new());
        let wake = Arc::clone(&woken);
        let mut events = queue.events(Interest::NewTasks);
        let listener = tokio::spawn(async move {
            loop {
                // After every subscription too: what was announced before it was missed.
                if let Event::New { .. } | Event::Connected = events.next().await {
                    wake.notify_one();
                }
            }
        });
        Hints { woken, listener }
    }

    /// How long to wait for a hint before the worker looks by itself.
    pub fn patience(poll: Duration) -> Duration {
        poll.mul_f64(1.0 + POLL_JITTER * (2.0 * rand::random::<f64>() - 1.0))
    }

    /// The next hint, or one that came since the last call.
    pub async fn next(&self, idle_workers: u32, longest: Duration) {
        self.woken.notified().await;
        let spread = spread(idle_workers).min(longest);
        if !spread.is_zero() {
            tokio::time::sleep(spread.mul_f64(rand::random())).await;
        }
    }
}

/// Within what time the idle workers follow one hint.
fn spread(idle_workers: u32) -> Duration {
    if idle_workers <= CROWD {
        Duration::ZERO
    } else {
        SPREAD * idle_workers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_workers_rush_and_a_crowd_spreads_out() {
        assert_eq!(spread(1), Duration::ZERO);
        assert_eq!(spread(8), Duration::ZERO);
        assert_eq!(spread(9), Duration::from_millis(450));
        assert_eq!(spread(100), Duration::from_secs(5));
    }

    #[test]
    fn without_hints_a_worker_looks_within_six_seconds() {
        let poll = Duration::from_secs(5);
        for _ in 0..1000 {
            let patience = Hints::patience(poll);
            assert!(patience < Duration::from_millis(5_760), "{patience:?}");
            assert!(patience > Duration::from_secs(4), "{patience:?}");
        }
    }
}

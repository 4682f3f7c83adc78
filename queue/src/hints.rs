//! Wakes an idle worker when a task may be waiting. A hint may be lost or wrong: whoever waits also polls.

use std::sync::Arc;
use std::time::Duration;

use queue::{Event, Interest, Queue};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// Up to so many idle workers all of them may rush at once; more of them spread out.
const CROWD: u32 = 8;
const SPREAD: Duration = Duration::from_millis(50);

/// Listens while it lives.
pub(crate) struct Hints {
    woken: Arc<Notify>,
    _listener: AbortOnDropHandle<()>,
}

impl Hints {
    pub(crate) fn listen(queue: &Queue) -> Self {
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
        Hints {
            woken,
            _listener: AbortOnDropHandle::new(listener),
        }
    }

    /// The next hint, or one that came since the last call.
    pub(crate) async fn next(&self, idle_workers: u32, longest: Duration) {
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
}

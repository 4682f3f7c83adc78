//! Whether Redis knows this worker: only then does a drain of its pod reach its claims. The heartbeat says so, the claim
//! loop waits for it; neither knows the other.

use tokio::sync::{Notify, watch};

/// True between an accepted heartbeat and the next failure of any call.
#[derive(Debug)]
pub(crate) struct Presence {
    known: watch::Sender<bool>,
    /// A beat is wanted before it is due.
    wanted: Notify,
}

impl Default for Presence {
    fn default() -> Self {
        Presence {
            known: watch::Sender::new(false),
            wanted: Notify::new(),
        }
    }
}

impl Presence {
    /// A heartbeat was accepted.
    pub(crate) fn accepted(&self) {
        self.known.send_replace(true);
    }

    /// A heartbeat failed. Redis may come back without anything that it knew.
    pub(crate) fn lost(&self) {
        self.known.send_replace(false);
    }

    /// Another call failed: only a heartbeat can tell, at once.
    pub(crate) fn doubted(&self) {
        self.lost();
        self.wanted.notify_one();
    }

    /// Waits until Redis knows this worker.
    pub(crate) async fn known(&self) {
        let mut seen = self.known.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = seen.wait_for(|known| *known).await;
    }

    /// Waits until somebody needs a heartbeat at once.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn after_a_failure_a_beat_is_wanted_and_nobody_is_known_until_it_comes() {
        let presence = Presence::default();
        assert!(presence.known().now_or_never().is_none());
        presence.accepted();
        assert!(presence.known().now_or_never().is_some());
        assert!(presence.wanted().now_or_never().is_none());
        presence.doubted();
        assert!(presence.wanted().now_or_never().is_some());
        assert!(presence.known().now_or_never().is_none());
    }
}

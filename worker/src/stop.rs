//! How far the worker has been told to stop. It only carries the word; who says it (signals, the parent, a test) and
//! what follows from it is decided elsewhere.

use tokio::sync::watch;

/// The stages of stopping; they only ever rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Claim and run.
    Run,
    /// Claim nothing more, finish what runs while the drain time lasts.
    Drain,
    /// Hand back what runs, at once.
    Now,
}

/// A shared switch: clones turn the same one.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<Level>);

impl Default for Stop {
    fn default() -> Self {
        Stop(watch::Sender::new(Level::Run))
    }
}

impl Stop {
    /// The first SIGTERM: stop claiming, finish within the drain time.
    pub fn drain(&self) {
        self.raise(Level::Drain);
    }

    /// Hand everything back at once.
    pub fn now(&self) {
        self.raise(Level::Now);
    }

    /// Each further call asks for more: drain, then now.
    pub fn press(&self) {
        self.raise(if self.level() == Level::Run {
            Level::Drain
        } else {
            Level::Now
        });
    }

    pub(crate) fn level(&self) -> Level {
        *self.0.borrow()
    }

    /// Waits until stopping has come at least so far.
    pub(crate) async fn reached(&self, level: Level) {
        let mut seen = self.0.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = seen.wait_for(|now| *now >= level).await;
    }

    fn raise(&self, level: Level) {
        self.0.send_if_modified(|now| {
            let rises = *now < level;
            *now = (*now).max(level);
            rises
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressing_twice_hands_back_and_nothing_goes_back() {
        let stop = Stop::default();
        stop.press();
        assert_eq!(stop.level(), Level::Drain);
        stop.press();
        assert_eq!(stop.level(), Level::Now);
        stop.drain();
        assert_eq!(stop.level(), Level::Now);
    }

    #[tokio::test]
    async fn a_level_already_passed_counts_as_reached() {
        let stop = Stop::default();
        stop.now();
        stop.reached(Level::Drain).await;
    }
}

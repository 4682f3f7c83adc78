//! How busy time is given to songs: what passed since the last time it was given out, by any lane, so that it never sums to more than
//! wall time however many networks take turns.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When time was last given out, in any lane of the engine.
#[derive(Default)]
pub(super) struct SharedClock {
    last: Mutex<Option<Instant>>,
}

/// One lane's view.
pub(super) struct Clock {
    shared: Arc<SharedClock>,
    /// Up to when this lane's time was given out.
    credited: Mutex<Instant>,
}

impl Clock {
    pub(super) fn new(shared: Arc<SharedClock>) -> Self {
        Clock {
            shared,
            credited: Mutex::new(Instant::now()),
        }
    }

    /// A song enters; time in which the lane was empty is nobody's.
    pub(super) fn lane_filled(&self, was_empty: bool) {
        if was_empty {
            *self.credited.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    /// The time since the last credit of this lane or another.
    pub(super) fn credit(&self) -> Duration {
        let now = Instant::now();
        let mut shared = self
            .shared
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut own = self.credited.lock().unwrap_or_else(PoisonError::into_inner);
        let since = shared.map_or(*own, |last| last.max(*own));
        (*shared, *own) = (Some(now), now);
        now.saturating_duration_since(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lanes_never_share_out_more_than_passed() {
        let began = Instant::now();
        let shared = Arc::new(SharedClock::default());
        let lanes = [Clock::new(Arc::clone(&shared)), Clock::new(shared)];
        let mut given = Duration::ZERO;
        for turn in 0..200 {
            let until = Instant::now() + Duration::from_micros(50);
            while Instant::now() < until {}
            given += lanes[turn % 2].credit();
        }
        assert!(given <= began.elapsed());
        assert!(given >= Duration::from_millis(9));
    }
}

//! Turns for writes that can wait: so many a second, whoever asked first goes first.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

#[derive(Debug)]
pub struct Pace {
    gap: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    pub fn per_second(writes: u32) -> Self {
        Pace {
            gap: Duration::from_secs(1) / writes.max(1),
            next: Mutex::new(Instant::now()),
        }
    }

    /// The next free turn; it is taken by asking.
    pub fn slot(&self) -> Instant {
        self.slot_from(Instant::now())
    }

    fn slot_from(&self, now: Instant) -> Instant {
        let mut next = self.next.lock();
        let slot = (*next).max(now);
        *next = slot + self.gap;
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_a_second_and_no_hoarding() {
        let pace = Pace::per_second(20);
        let begun = Instant::now() + Duration::from_secs(100);
        let last = (0..100).map(|_| pace.slot_from(begun)).last();
        assert_eq!(last, Some(begun + Duration::from_millis(99 * 50)));
    }
}

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
        let mut next = self.next.lock();
        let slot = (*next).max(Instant::now());
        *next = slot + self.gap;
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn twenty_a_second_and_no_hoarding() {
        let pace = Pace::per_second(20);
        tokio::time::sleep(Duration::from_secs(100)).await;
        let begun = Instant::now();
        let last = (0..100).map(|_| pace.slot()).last().unwrap();
        assert_eq!(last - begun, Duration::from_millis(99 * 50));
    }
}

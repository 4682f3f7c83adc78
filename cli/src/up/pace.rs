//! How soon a child that died is started again: at once the first time, then ever later, until one has lived a while.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(15);
/// A child that lived so long was well: its death starts a new count.
const WELL: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Pace {
    deaths: u32,
}

impl Pace {
    /// The pause after the death of a child that lived for `life`.
    pub(super) fn after(&mut self, life: Duration) -> Duration {
        if life >= WELL {
            self.deaths = 0;
        }
        let pause = FIRST
            .saturating_mul(2u32.saturating_pow(self.deaths))
            .min(LONGEST);
        self.deaths = self.deaths.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_a_long_life_starts_anew() {
        let mut pace = Pace::default();
        let pauses: Vec<u128> = (0..10)
            .map(|_| pace.after(Duration::ZERO).as_millis())
            .collect();
        assert_eq!(
            pauses,
            [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]
        );
        assert_eq!(pace.after(Duration::from_secs(31)), FIRST);
        for _ in 0..100 {
            pace.after(Duration::ZERO);
        }
        assert_eq!(pace.after(Duration::ZERO), LONGEST);
    }
}

//! Pauses between tries: how long, and with how much chance in them so that workers do not march in step.

use std::time::Duration;

/// `min(cap, base * 2^(n-1))` times 0.5 to 1.5; `n` counts from 1.
pub(crate) fn pause(n: u32, base: Duration, cap: Duration) -> Duration {
    let doubled = base.saturating_mul(2u32.saturating_pow(n.saturating_sub(1).min(31)));
    doubled.min(cap).mul_f64(0.5 + rand::random::<f64>())
}

/// `middle` give or take `share` of it.
pub(crate) fn around(middle: Duration, share: f64) -> Duration {
    middle.mul_f64(1.0 + share * (2.0 * rand::random::<f64>() - 1.0))
}

/// Counts the failures of an outage in a row.
#[derive(Debug)]
pub(crate) struct Outage {
    failures: u32,
    base: Duration,
    cap: Duration,
}

impl Outage {
    pub(crate) fn new(base: Duration, cap: Duration) -> Self {
        Outage {
            failures: 0,
            base,
            cap,
        }
    }

    /// One more failure: how long to wait now.
    pub(crate) fn failed(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        pause(self.failures, self.base, self.cap)
    }

    /// True for the first failure of an outage: the one worth a log line.
    pub(crate) fn is_new(&self) -> bool {
        self.failures <= 1
    }

    /// It works again; true if it had failed before.
    pub(crate) fn over(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_stay_within_half_and_one_and_a_half() {
        let (base, cap) = (Duration::from_secs(5), Duration::from_secs(600));
        for (n, middle) in [
            (0, 5.0),
            (1, 5.0),
            (2, 10.0),
            (3, 20.0),
            (8, 600.0),
            (200, 600.0),
        ] {
            for _ in 0..100 {
                let seconds = pause(n, base, cap).as_secs_f64();
                assert!(
                    (middle * 0.5..=middle * 1.5).contains(&seconds),
                    "run {n}: {seconds} s"
                );
            }
        }
    }

    #[test]
    fn only_the_first_failure_of_an_outage_is_new() {
        let mut outage = Outage::new(Duration::from_millis(1), Duration::from_millis(2));
        outage.failed();
        assert!(outage.is_new());
        outage.failed();
        assert!(!outage.is_new());
        assert!(outage.over());
        assert!(!outage.over());
    }
}

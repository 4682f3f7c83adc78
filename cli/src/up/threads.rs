//! How the cores of a machine are divided among its workers. Knows numbers only.

use std::num::NonZero;

/// Threads for each of `workers`: an equal share of `total` (all cores if not given), never none. Rounded down: what is
/// left over keeps heartbeats, API and Redis lively.
pub(super) fn share(total: Option<usize>, workers: usize) -> usize {
    let total =
        total.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
    (total / workers.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn workers_get_equal_shares_and_at_least_one_thread() {
        for (total, workers, each) in [(2, 1, 2), (2, 2, 1), (8, 3, 2), (2, 5, 1), (4, 0, 4)] {
            assert_eq!(
                share(Some(total), workers),
                each,
                "{total} threads for {workers} workers"
            );
        }
        assert!(share(None, 1) >= 1);
    }
}

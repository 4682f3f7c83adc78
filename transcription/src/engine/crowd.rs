//! Which networks of an engine have songs that wait, so that one that always has another row does not keep the device for itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, Weak};

/// A lane, as the others see it.
pub(super) trait Waiting: Send + Sync {
    /// Whether a run would find something.
    fn has_ready(&self) -> bool;
}

/// All lanes of an engine.
#[derive(Default)]
pub(super) struct Crowd {
    numbers: AtomicUsize,
    lanes: Mutex<Vec<(usize, Weak<dyn Waiting>)>>,
}

impl Crowd {
    /// A number for a lane that is being made.
    pub(super) fn number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn join(&self, number: usize, lane: Weak<dyn Waiting>) {
        self.lock().push((number, lane));
    }

    pub(super) fn others_wait(&self, number: usize) -> bool {
        self.lock()
            .iter()
            .filter(|(other, _)| *other != number)
            .filter_map(|(_, lane)| lane.upgrade())
            .any(|lane| lane.has_ready())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(usize, Weak<dyn Waiting>)>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

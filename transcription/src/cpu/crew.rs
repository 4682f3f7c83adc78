//! Threads that share numbered units of work. Which thread does a unit changes no bit of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crew(pub(crate) usize);

impl Crew {
    /// Does `work` for each of the pieces, in any order; each thread has a desk of its own.
    pub(crate) fn share<T: Send, D>(
        self,
        pieces: impl IntoIterator<Item = T>,
        desk: impl Fn() -> D + Sync,
        work: impl Fn(&mut D, usize, T) + Sync,
    ) {
        let pieces: Vec<Mutex<Option<T>>> = pieces
            .into_iter()
            .map(|piece| Mutex::new(Some(piece)))
            .collect();
        let next = AtomicUsize::new(0);
        let labour = || {
            let mut desk = desk();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(piece) = pieces.get(index) else {
                    break;
                };
                // Nobody else has this number.
                let taken = piece.lock().ok().and_then(|mut piece| piece.take());
                if let Some(piece) = taken {
                    work(&mut desk, index, piece);
                }
            }
        };
        let helpers = self.0.min(pieces.len()).saturating_sub(1);
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(labour);
            }
            labour();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once() {
        for threads in [1, 2, 5] {
            let mut done = [0; 100];
            Crew(threads).share(&mut done, || (), |(), index, done| *done += index + 1);
            assert!(done.iter().enumerate().all(|(at, done)| *done == at + 1));
        }
    }
}

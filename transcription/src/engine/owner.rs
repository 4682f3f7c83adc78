//! A thread that may hang: it can be waited for with a bound, which the standard library's own handle cannot.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub(super) struct Owner {
    thread: JoinHandle<()>,
    /// Closed when the thread's work is over, however it ended. In a mutex only so that an owner can be shared.
    over: Mutex<Receiver<()>>,
}

impl Owner {
    pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let (running, over) = channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _running: Sender<()> = running;
                work();
            })?;
        Ok(Owner {
            thread,
            over: Mutex::new(over),
        })
    }

    /// Waits for its end; false, and the thread is left to itself, when it does not come in time.
    pub(super) fn join(self, patience: Duration) -> bool {
        let over = self
            .over
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let ended = over.recv_timeout(patience) != Err(RecvTimeoutError::Timeout);
        if ended {
            // A panic there was already answered to its songs.
            let _ = self.thread.join();
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_that_hangs_is_left_behind_in_bounded_time() {
        let (_keep, never) = channel::<()>();
        let hung = Owner::spawn("hung", move || {
            let _ = never.recv();
        })
        .unwrap();
        let begun = Instant::now();
        assert!(!hung.join(Duration::from_millis(100)));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_thread_that_ends_is_waited_for_even_if_it_panics() {
        let patience = Duration::from_secs(30);
        assert!(Owner::spawn("quick", || ()).unwrap().join(patience));
        let panics = Owner::spawn("panics", || panic!("as the test wants it")).unwrap();
        assert!(panics.join(patience));
    }
}

//! What the workers of this process said, so that a test can wait for what only the log tells.

use std::io::Write;
use std::sync::{Mutex, Once};

static SAID: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Ear;

impl Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        SAID.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Listens from now on; whoever starts a worker calls it.
pub(crate) fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(|| Ear)
            .init();
    });
}

/// Whether a line about `worker` has these words.
pub(crate) fn said(worker: &str, words: &str) -> bool {
    let said = SAID.lock().unwrap();
    String::from_utf8_lossy(&said)
        .lines()
        .any(|line| line.contains(worker) && line.contains(words))
}

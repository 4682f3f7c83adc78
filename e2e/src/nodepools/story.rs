//! What happened and when, for whoever reads the log. Knows nothing of what it tells.

use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub(crate) struct Story {
    began: Arc<Instant>,
}

impl Story {
    pub(crate) fn begin() -> Self {
        Story {
            began: Arc::new(Instant::now()),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn tell(&self, words: &str) {
        println!("  {:7.1} s  {words}", self.elapsed().as_secs_f64());
    }
}

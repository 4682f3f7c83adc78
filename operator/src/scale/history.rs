//! What a decision must remember of those before it. A new leader begins without, and therefore waits before it takes anything away.

use std::collections::VecDeque;

use super::Decision;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    first_ms: Option<i64>,
    /// When there was last something to do, or the queue could last not be read.
    busy_ms: i64,
    /// (when, how many were needed), falling: the first one is the most, and an older one that was less is forgotten.
    needed: VecDeque<(i64, i32)>,
}

impl History {
    /// Remembers a decision. `now_ms` may be any clock that does not jump.
    pub fn note(&mut self, decision: &Decision, window_ms: i64, now_ms: i64) {
        if self.first_ms.is_none() {
            self.first_ms = Some(now_ms);
            self.busy_ms = now_ms;
        }
        let inputs = &decision.inputs;
        if inputs.readable == 0 || inputs.tasks() > 0 {
            self.busy_ms = now_ms;
        }
        while self
            .needed
            .back()
            .is_some_and(|(_, needed)| *needed <= decision.needed)
        {
            self.needed.pop_back();
        }
        self.needed.push_back((now_ms, decision.needed));
        while self.needed.len() > 1
            && self
                .needed
                .front()
                .is_some_and(|(when, _)| now_ms.saturating_sub(*when) > window_ms)
        {
            self.needed.pop_front();
        }
    }

    pub fn quiet_ms(&self, now_ms: i64) -> i64 {
        match self.first_ms {
            Some(_) => now_ms.saturating_sub(self.busy_ms).max(0),
            None => 0,
        }
    }

    pub fn watched_ms(&self, now_ms: i64) -> i64 {
        self.first_ms
            .map_or(0, |first_ms| now_ms.saturating_sub(first_ms).max(0))
    }

    pub fn most_within(&self, window_ms: i64, now_ms: i64) -> i32 {
        self.needed
            .iter()
            .filter(|(when, _)| now_ms.saturating_sub(*when) <= window_ms)
            .map(|(_, needed)| *needed)
            .max()
            .unwrap_or(0)
    }
}

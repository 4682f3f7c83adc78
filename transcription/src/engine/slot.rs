//! One song's place in its lane: what of it is ready, and which of it comes next. Pure: no locks, no threads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use super::lane::Reply;
use crate::network::Network;

type Rows<N> = VecDeque<(usize, <N as Network>::Segment)>;

pub(super) struct Slot<N: Network> {
    /// Prepared from the recording, in its order.
    ready: Rows<N>,
    /// What decoding asked for: apart, so that no group depends on when it asked.
    asked: Rows<N>,
    /// Rows that were given back, a group or batch each.
    again: VecDeque<Rows<N>>,
    pushed: usize,
    /// The recording ended: no more will be prepared.
    prepared: bool,
    pub(super) parity: bool,
    /// It was in a batch that failed, and has not succeeded since: it runs with no other.
    pub(super) apart: bool,
    /// Failures in a row that may have been another's fault.
    pub(super) strikes: u32,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) replies: mpsc::Sender<Reply<N::Output>>,
}

impl<N: Network> Slot<N> {
    pub(super) fn new(parity: bool, replies: mpsc::Sender<Reply<N::Output>>) -> Self {
        Slot {
            ready: VecDeque::new(),
            asked: VecDeque::new(),
            again: VecDeque::new(),
            pushed: 0,
            prepared: false,
            parity,
            apart: false,
            strikes: 0,
            cancelled: Arc::default(),
            replies,
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// How far its preparation is ahead of the device.
    pub(super) fn ahead(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn push(&mut self, segment: N::Segment, asked: bool) {
        let rows = if asked {
            &mut self.asked
        } else {
            &mut self.ready
        };
        rows.push_back((self.pushed, segment));
        self.pushed += 1;
    }

    pub(super) fn end_of_recording(&mut self) {
        self.prepared = true;
    }

    /// Whether its preparation has nothing to do: all of it is here, or as much as may be.
    #[cfg(test)]
    pub(super) fn is_full(&self, look_ahead: usize) -> bool {
        self.prepared || self.ready.len() >= look_ahead
    }

    pub(super) fn put_back(&mut self, rows: Rows<N>) {
        self.again.push_front(rows);
    }

    pub(super) fn clear(&mut self) {
        self.ready.clear();
        self.asked.clear();
        self.again.clear();
    }

    /// Whether a row, or under parity a group, could be taken now.
    pub(super) fn is_wanted(&self) -> bool {
        let some = !self.again.is_empty() || !self.asked.is_empty();
        let whole = if self.parity {
            self.ready.len() >= N::GROUP || (self.prepared && !self.ready.is_empty())
        } else {
            !self.ready.is_empty()
        };
        !self.is_cancelled() && (some || whole)
    }

    /// The next row: one that was tried before, then what decoding waits for.
    pub(super) fn take_row(&mut self) -> Option<(usize, N::Segment)> {
        if let Some(rows) = self.again.front_mut() {
            let row = rows.pop_front();
            if rows.is_empty() {
                self.again.pop_front();
            }
            return row;
        }
        self.asked.pop_front().or_else(|| self.ready.pop_front())
    }

    /// The next group: the same rows in the same places whenever it is asked for. What decoding asked for makes a group by itself, because
    /// when the next such row comes is a matter of time.
    pub(super) fn take_group(&mut self) -> Rows<N> {
        if let Some(rows) = self.again.pop_front() {
            return rows;
        }
        if let Some(row) = self.asked.pop_front() {
            return VecDeque::from([row]);
        }
        let rows = self.ready.len().min(N::GROUP);
        self.ready.drain(..rows).collect()
    }
}

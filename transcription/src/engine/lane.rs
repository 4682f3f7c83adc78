//! Where songs and the device's thread meet: prepared segments of all songs that wait for one network, and the way back for outputs.
//! What a network's run sees of it is in `feed`.
//!
//! A song's preparing thread blocks here when it is far enough ahead; the device's thread never waits for a song.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;

use super::clock::{Clock, SharedClock};
use super::crowd::{Crowd, Waiting};
use super::device_thread::Bell;
use super::faults::Faults;
use super::slot::Slot;
use crate::Error;
use crate::network::Network;

/// What a song may have prepared ahead of the device at least: a pause of its thread should not be one of the device.
const LEAST_AHEAD: usize = 4;
/// Rows that a network is thought to work on until it has been loaded and says so.
const ROWS: usize = 8;

/// How long a network may go on pulling while another network's songs wait.
const QUANTUM: Duration = Duration::from_secs(1);

/// What all lanes of an engine have in common.
pub(super) struct Shared {
    pub(super) bell: Arc<Bell>,
    pub(super) clock: Arc<SharedClock>,
    pub(super) crowd: Crowd,
    pub(super) faults: Faults,
    pub(super) quantum: Duration,
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            bell: Arc::default(),
            clock: Arc::default(),
            crowd: Crowd::default(),
            faults: Faults::default(),
            quantum: QUANTUM,
        }
    }
}

/// What the device's side tells a song.
pub(super) enum Reply<O> {
    /// With its shares of the engine's busy time, and of the time in which the network ran.
    Output {
        index: usize,
        output: O,
        busy: Duration,
        device: Duration,
    },
    /// All segments were prepared: how many, of how many seconds of audio.
    Prepared {
        segments: usize,
        audio_seconds: f64,
        warnings: Vec<String>,
    },
    Failed(Error),
}

pub(super) struct State<N: Network> {
    pub(super) slots: HashMap<u64, Slot<N>>,
    /// Whose turn it is, next first.
    pub(super) turns: VecDeque<u64>,
    next_song: u64,
    /// The network's rows, once it has said so.
    pub(super) rows: usize,
    /// Whether the last run was for songs under parity: the two kinds take turns.
    pub(super) parity_last: bool,
    /// How many rows may be under way: lowered when the device's memory ran out.
    pub(super) limit: usize,
    /// Runs without trouble since then.
    pub(super) calm: u32,
    closed: bool,
}

impl<N: Network> State<N> {
    /// Whether songs under parity, or others, wait for a run.
    pub(super) fn is_wanted(&self, parity: bool) -> bool {
        self.slots
            .values()
            .any(|slot| slot.parity == parity && slot.is_wanted())
    }

    /// What a song may have prepared ahead. A song alone fills the network twice; many share that, but for a group each.
    pub(super) fn look_ahead(&self) -> usize {
        (2 * self.rows / self.slots.len().max(1))
            .max(N::GROUP)
            .max(LEAST_AHEAD)
    }
}

/// All songs of one network.
pub(super) struct Lane<N: Network> {
    state: Mutex<State<N>>,
    pub(super) space: Condvar,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Clock,
    pub(super) number: usize,
}

/// A song's place in its lane.
pub(super) struct Place<N: Network> {
    pub(super) song: u64,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) replies: mpsc::Sender<Reply<N::Output>>,
}

impl<N: Network + 'static> Waiting for Lane<N> {
    fn has_ready(&self) -> bool {
        Lane::has_ready(self)
    }
}

impl<N: Network + 'static> Lane<N> {
    pub(super) fn new(shared: &Arc<Shared>) -> Arc<Self> {
        let state = State {
            slots: HashMap::new(),
            turns: VecDeque::new(),
            next_song: 0,
            rows: ROWS,
            parity_last: false,
            limit: usize::MAX,
            calm: 0,
            closed: false,
        };
        let lane = Arc::new(Lane {
            state: Mutex::new(state),
            space: Condvar::new(),
            shared: Arc::clone(shared),
            clock: Clock::new(Arc::clone(&shared.clock)),
            number: shared.crowd.number(),
        });
        let weak: Weak<Self> = Arc::downgrade(&lane);
        shared.crowd.join(lane.number, weak);
        lane
    }
}

impl<N: Network> Lane<N> {
    pub(super) fn lock(&self) -> MutexGuard<'_, State<N>> {
        // Each change under the lock is whole by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a song a place, and the end on which its replies arrive.
    pub(super) fn enter(&self, parity: bool) -> (Place<N>, mpsc::Receiver<Reply<N::Output>>) {
        let (replies, receiver) = mpsc::channel();
        let slot = Slot::new(parity, replies.clone());
        let cancelled = Arc::clone(&slot.cancelled);
        let mut state = self.lock();
        let song = state.next_song;
        state.next_song += 1;
        self.clock.lane_filled(state.slots.is_empty());
        if state.closed {
            let _ = replies.send(Reply::Failed(Error::Stopped));
        } else {
            state.slots.insert(song, slot);
            state.turns.push_back(song);
        }
        (
            Place {
                song,
                cancelled,
                replies,
            },
            receiver,
        )
    }

    /// Takes the song out; segments of it that are under way fall on deaf ears.
    pub(super) fn leave(&self, song: u64) {
        let mut state = self.lock();
        state.slots.remove(&song);
        state.turns.retain(|turn| *turn != song);
        drop(state);
        self.space.notify_all();
    }

    /// Adds a prepared segment, waiting while the song is far ahead. False: the song has ended, prepare no more.
    pub(super) fn push(&self, song: u64, segment: N::Segment) -> bool {
        let mut state = self.lock();
        loop {
            let most = state.look_ahead();
            match state.slots.get(&song) {
                None => return false,
                Some(slot) if slot.cancelled.load(Ordering::Relaxed) => return false,
                Some(slot) if slot.ahead() < most => break,
                Some(_) => {
                    state = self
                        .space
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
        self.change(state, song, |slot| slot.push(segment, false));
        true
    }

    /// Adds a segment that decoding asked for; never waits, since its asker is the one that takes outputs away.
    pub(super) fn push_follow_up(&self, song: u64, segment: N::Segment) {
        self.change(self.lock(), song, |slot| slot.push(segment, true));
    }

    /// The recording ended: a last group need not wait for more.
    pub(super) fn prepared(&self, song: u64) {
        self.change(self.lock(), song, Slot::end_of_recording);
    }

    fn change(
        &self,
        mut state: MutexGuard<'_, State<N>>,
        song: u64,
        change: impl FnOnce(&mut Slot<N>),
    ) {
        if let Some(slot) = state.slots.get_mut(&song) {
            change(slot);
        }
        drop(state);
        self.shared.bell.ring();
    }

    /// Wakes a song's preparing thread, so that it sees a cancel.
    pub(super) fn wake(&self) {
        self.space.notify_all();
    }

    /// Whether a pull would give anything.
    pub(super) fn has_ready(&self) -> bool {
        let state = self.lock();
        state.is_wanted(false) || state.is_wanted(true)
    }

    /// The network was loaded, and works on so many rows at once.
    pub(super) fn loaded(&self, rows: usize) {
        self.lock().rows = rows.max(1);
        self.space.notify_all();
    }

    /// Fails every song that waits (the network cannot be loaded).
    pub(super) fn fail_waiting(&self, error: Error) {
        let mut state = self.lock();
        for slot in state.slots.values_mut() {
            slot.clear();
            let _ = slot.replies.send(Reply::Failed(error.share()));
        }
    }

    /// The engine ends: nobody will answer any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for (_, slot) in state.slots.drain() {
            let _ = slot.replies.send(Reply::Failed(Error::Stopped));
        }
        drop(state);
        self.space.notify_all();
    }
}

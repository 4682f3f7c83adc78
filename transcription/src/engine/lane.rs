//! Where songs and the device's thread meet: prepared segments of all songs that wait for one network, and the way back for outputs.
//!
//! A song's preparing thread blocks here when it is far enough ahead; the device's thread never waits for a song.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use super::clock::{Clock, SharedClock};
use super::device_thread::Bell;
use crate::Error;
use crate::network::{Feed, Network, Sink, Ticket};

/// Segments that a song may have prepared ahead of the device: two batches of a CPU, a quarter of a minute of audio.
const LOOK_AHEAD: usize = 16;

/// What the device's side tells a song.
pub(super) enum Reply<O> {
    /// With its share of the engine's busy time.
    Output {
        index: usize,
        output: O,
        busy: Duration,
    },
    /// All segments were prepared: how many, of how many seconds of audio.
    Prepared {
        segments: usize,
        audio_seconds: f64,
        warnings: Vec<String>,
    },
    Failed(Error),
}

struct Slot<N: Network> {
    ready: VecDeque<(usize, N::Segment)>,
    pushed: usize,
    cancelled: Arc<AtomicBool>,
    replies: mpsc::Sender<Reply<N::Output>>,
}

impl<N: Network> Slot<N> {
    fn is_wanted(&self) -> bool {
        !self.cancelled.load(Ordering::Relaxed) && !self.ready.is_empty()
    }
}

struct State<N: Network> {
    slots: HashMap<u64, Slot<N>>,
    /// Whose turn it is, next first.
    turns: VecDeque<u64>,
    next_song: u64,
    closed: bool,
}

/// All songs of one network.
pub(super) struct Lane<N: Network> {
    state: Mutex<State<N>>,
    space: Condvar,
    bell: Arc<Bell>,
    clock: Clock,
}

/// A song's place in its lane.
pub(super) struct Place<N: Network> {
    pub(super) song: u64,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) replies: mpsc::Sender<Reply<N::Output>>,
}

impl<N: Network> Lane<N> {
    pub(super) fn new(bell: Arc<Bell>, shared: Arc<SharedClock>) -> Arc<Self> {
        let state = State {
            slots: HashMap::new(),
            turns: VecDeque::new(),
            next_song: 0,
            closed: false,
        };
        Arc::new(Lane {
            state: Mutex::new(state),
            space: Condvar::new(),
            bell,
            clock: Clock::new(shared),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<N>> {
        // Each change under the lock is whole by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a song a place, and the end on which its replies arrive.
    pub(super) fn enter(&self) -> (Place<N>, mpsc::Receiver<Reply<N::Output>>) {
        let (replies, receiver) = mpsc::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let mut state = self.lock();
        let song = state.next_song;
        state.next_song += 1;
        self.clock.lane_filled(state.slots.is_empty());
        if state.closed {
            let _ = replies.send(Reply::Failed(Error::Stopped));
        } else {
            let slot = Slot {
                ready: VecDeque::new(),
                pushed: 0,
                cancelled: Arc::clone(&cancelled),
                replies: replies.clone(),
            };
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
            match state.slots.get(&song) {
                None => return false,
                Some(slot) if slot.cancelled.load(Ordering::Relaxed) => return false,
                Some(slot) if slot.ready.len() < LOOK_AHEAD => break,
                Some(_) => {
                    state = self
                        .space
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
        self.add(state, song, segment);
        true
    }

    /// Adds a segment that decoding asked for; never waits, since its asker is the one that takes outputs away.
    pub(super) fn push_follow_up(&self, song: u64, segment: N::Segment) {
        self.add(self.lock(), song, segment);
    }

    fn add(&self, mut state: MutexGuard<'_, State<N>>, song: u64, segment: N::Segment) {
        if let Some(slot) = state.slots.get_mut(&song) {
            slot.ready.push_back((slot.pushed, segment));
            slot.pushed += 1;
        }
        drop(state);
        self.bell.ring();
    }

    /// Wakes a song's preparing thread, so that it sees a cancel.
    pub(super) fn wake(&self) {
        self.space.notify_all();
    }

    /// Whether a pull would give anything.
    pub(super) fn has_ready(&self) -> bool {
        self.lock().slots.values().any(Slot::is_wanted)
    }

    /// The two ends that a network's run works with.
    pub(super) fn begin(self: &Arc<Self>) -> (LaneFeed<N>, LaneSink<N>) {
        let under_way = Rc::new(RefCell::new(HashSet::new()));
        (
            LaneFeed {
                lane: Arc::clone(self),
                under_way: Rc::clone(&under_way),
            },
            LaneSink {
                lane: Arc::clone(self),
                under_way,
            },
        )
    }

    /// After a run: an error goes to the songs whose rows did not come back.
    pub(super) fn end(&self, feed: LaneFeed<N>, sink: LaneSink<N>, error: Option<Error>) {
        drop(sink);
        let under_way = feed.under_way.take();
        let state = self.lock();
        if let Some(error) = error {
            let failed: HashSet<u64> = under_way.iter().map(|ticket| ticket.song).collect();
            for song in failed {
                send(&state, song, Reply::Failed(error.share()));
            }
        }
    }

    /// Fails every song that waits (the network cannot be loaded).
    pub(super) fn fail_waiting(&self, error: Error) {
        let mut state = self.lock();
        for slot in state.slots.values_mut() {
            slot.ready.clear();
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

/// A song that has gone cannot be told: its receiver is closed, which is fine.
fn send<N: Network>(state: &State<N>, song: u64, reply: Reply<N::Output>) {
    if let Some(slot) = state.slots.get(&song) {
        let _ = slot.replies.send(reply);
    }
}

pub(super) struct LaneFeed<N: Network> {
    lane: Arc<Lane<N>>,
    /// Pulled and not yet emitted.
    under_way: Rc<RefCell<HashSet<Ticket>>>,
}

impl<N: Network> Feed<N::Segment> for LaneFeed<N> {
    fn pull(&mut self, rows: usize) -> Vec<(Ticket, N::Segment)> {
        let mut state = self.lane.lock();
        let mut pulled = Vec::with_capacity(rows);
        let mut empty_handed = 0;
        while pulled.len() < rows && empty_handed < state.turns.len() {
            let Some(song) = state.turns.pop_front() else {
                break;
            };
            state.turns.push_back(song);
            let slot = state.slots.get_mut(&song).filter(|slot| slot.is_wanted());
            match slot.and_then(|slot| slot.ready.pop_front()) {
                Some((index, segment)) => {
                    pulled.push((Ticket { song, index }, segment));
                    empty_handed = 0;
                }
                None => empty_handed += 1,
            }
        }
        drop(state);
        self.lane.space.notify_all();
        self.under_way
            .borrow_mut()
            .extend(pulled.iter().map(|(ticket, _)| *ticket));
        pulled
    }

    fn cancelled(&self, ticket: Ticket) -> bool {
        self.lane
            .lock()
            .slots
            .get(&ticket.song)
            .is_none_or(|slot| slot.cancelled.load(Ordering::Relaxed))
    }
}

pub(super) struct LaneSink<N: Network> {
    lane: Arc<Lane<N>>,
    /// Pulled and not yet emitted.
    under_way: Rc<RefCell<HashSet<Ticket>>>,
}

impl<N: Network> Sink<N::Output> for LaneSink<N> {
    fn emit(&mut self, finished: Vec<(Ticket, N::Output)>) {
        let mut under_way = self.under_way.borrow_mut();
        let state = self.lane.lock();
        let busy = self
            .lane
            .clock
            .credit()
            .div_f64(finished.len().max(1) as f64);
        for (ticket, output) in finished {
            under_way.remove(&ticket);
            send(
                &state,
                ticket.song,
                Reply::Output {
                    index: ticket.index,
                    output,
                    busy,
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never run: the lane only needs its types.
    struct Still;

    impl Network for Still {
        type Segment = u8;
        type Output = u8;

        fn run(&mut self, _: &mut dyn Feed<u8>, _: &mut dyn Sink<u8>) -> Result<(), Error> {
            Ok(())
        }
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_ready() {
        let lane = Lane::<Still>::new(Arc::new(Bell::default()), Arc::default());
        let (first, _first_replies) = lane.enter();
        let (second, _second_replies) = lane.enter();
        assert!(lane.push(first.song, 1));
        assert!(lane.push(second.song, 2));
        first.cancelled.store(true, Ordering::Relaxed);
        let (mut feed, sink) = lane.begin();
        assert!(lane.has_ready());
        let pulled = feed.pull(8);
        assert_eq!(pulled.len(), 1);
        assert_eq!((pulled[0].0.song, pulled[0].1), (second.song, 2));
        // The cancelled song has not left yet; the device's thread must sleep, not turn in circles.
        assert!(!lane.has_ready());
        lane.end(feed, sink, None);
    }
}

//! The two ends of a lane that one run of a network works with: rows out, outputs in, and what becomes of rows that came to nothing.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::blame::{Case, Verdict, judge};
use super::lane::{Lane, Reply, State};
use crate::Error;
use crate::network::{Feed, Network, Sink, Ticket};

/// Runs without trouble after which a limit that memory set is doubled.
const CALM: u32 = 64;
/// From here on a limit is none.
const NO_LIMIT: usize = 1 << 16;

/// Pulled and not yet emitted.
type UnderWay = Rc<RefCell<HashSet<Ticket>>>;

/// The end that gives rows.
pub(super) struct LaneFeed<N: Network> {
    lane: Arc<Lane<N>>,
    under_way: UnderWay,
    parity: bool,
    /// The one song of this run, where songs are tried one at a time.
    only: Option<u64>,
    begun: Instant,
    given_back: Vec<Vec<(Ticket, N::Segment)>>,
}

/// The end that takes outputs.
pub(super) struct LaneSink<N: Network> {
    lane: Arc<Lane<N>>,
    under_way: UnderWay,
    /// When the network last gave something.
    since: Instant,
}

/// Begins a run: for songs under parity or for the others, in turns where both wait.
pub(super) fn begin<N: Network>(lane: &Arc<Lane<N>>) -> (LaneFeed<N>, LaneSink<N>) {
    let under_way = UnderWay::default();
    let mut state = lane.lock();
    let other = !state.parity_last;
    state.parity_last = if state.is_wanted(other) {
        other
    } else {
        !other
    };
    let parity = state.parity_last;
    let mine = |song: &&u64| {
        state
            .slots
            .get(song)
            .is_some_and(|slot| slot.parity == parity && slot.is_wanted())
    };
    let only = state
        .turns
        .iter()
        .filter(mine)
        .copied()
        .find(|song| state.slots[song].apart);
    drop(state);
    let begun = Instant::now();
    (
        LaneFeed {
            lane: Arc::clone(lane),
            under_way: Rc::clone(&under_way),
            parity,
            only,
            begun,
            given_back: Vec::new(),
        },
        LaneSink {
            lane: Arc::clone(lane),
            under_way,
            since: begun,
        },
    )
}

/// After a run: puts back what was given back, and fails the songs whose rows did not come back and those whose own failure it is.
pub(super) fn end<N: Network>(feed: LaneFeed<N>, sink: LaneSink<N>, error: Option<Error>) {
    drop(sink);
    let lane = Arc::clone(&feed.lane);
    let lost: HashSet<u64> = feed.under_way.take().iter().map(|row| row.song).collect();
    let mut state = lane.lock();
    let Some(error) = error else {
        settle::<N>(&mut state, feed.given_back);
        state.calm += 1;
        if state.calm >= CALM && state.limit < NO_LIMIT {
            (state.calm, state.limit) = (0, state.limit * 2);
        }
        return;
    };
    state.calm = 0;
    for song in lost {
        fail(&state, song, &error);
    }
    let mut songs: Vec<u64> = feed
        .given_back
        .iter()
        .flatten()
        .map(|(ticket, _)| ticket.song)
        .collect();
    let rows = songs.len();
    songs.sort_unstable();
    songs.dedup();
    if rows == 0 || error.poisons_device() {
        songs.iter().for_each(|song| fail(&state, *song, &error));
        return;
    }
    let verdict = judge(Case {
        out_of_memory: matches!(error, Error::OutOfMemory { .. }),
        rows,
        songs: songs.len(),
        fewest: if feed.parity { N::GROUP } else { 1 },
    });
    tracing::warn!(%error, rows, songs = songs.len(), ?verdict, "a batch failed");
    match verdict {
        Verdict::Fewer(limit) => state.limit = limit,
        Verdict::Apart => mark(&mut state, &songs, |slot| slot.apart = true),
        Verdict::OnceMore => mark(&mut state, &songs, |slot| slot.strikes += 1),
        Verdict::Fail => mark(&mut state, &songs, |slot| slot.strikes = u32::MAX),
    }
    for song in songs {
        if state.slots.get(&song).is_some_and(|slot| slot.strikes > 1) {
            fail(&state, song, &error);
        }
    }
    settle::<N>(&mut state, feed.given_back);
}

fn mark<N: Network>(
    state: &mut State<N>,
    songs: &[u64],
    change: impl Fn(&mut super::slot::Slot<N>),
) {
    for song in songs {
        if let Some(slot) = state.slots.get_mut(song) {
            change(slot);
        }
    }
}

/// Puts rows back in front, each batch's rows of a song together and in their order.
fn settle<N: Network>(state: &mut State<N>, given_back: Vec<Vec<(Ticket, N::Segment)>>) {
    // The last given back goes in first, so that the first comes out first.
    for batch in given_back.into_iter().rev() {
        let mut songs: HashMap<u64, VecDeque<(usize, N::Segment)>> = HashMap::new();
        for (ticket, segment) in batch {
            songs
                .entry(ticket.song)
                .or_default()
                .push_back((ticket.index, segment));
        }
        for (song, rows) in songs {
            if let Some(slot) = state.slots.get_mut(&song) {
                slot.put_back(rows);
            }
        }
    }
}

/// A song that has gone cannot be told: its receiver is closed, which is fine.
fn fail<N: Network>(state: &State<N>, song: u64, error: &Error) {
    if let Some(slot) = state.slots.get(&song) {
        let _ = slot.replies.send(Reply::Failed(error.share()));
        // It leaves when its collector has heard of it; until then the device has no more work with it. Only now, or its preparation
        // would report a cancel first.
        slot.cancelled.store(true, Ordering::Relaxed);
    }
}

impl<N: Network> LaneFeed<N> {
    /// How many rows may still be pulled now.
    fn room(&self, state: &State<N>, rows: usize) -> usize {
        let under_way = self.under_way.borrow().len();
        if self.parity {
            let another = under_way == 0 || under_way + N::GROUP <= state.limit;
            return if another { N::GROUP } else { 0 };
        }
        rows.min(state.limit.saturating_sub(under_way))
    }

    fn takes(&self, state: &State<N>, song: u64) -> bool {
        self.only.is_none_or(|only| only == song)
            && state
                .slots
                .get(&song)
                .is_some_and(|slot| slot.parity == self.parity && slot.is_wanted())
    }
}

impl<N: Network> Feed<N::Segment> for LaneFeed<N> {
    fn pull(&mut self, rows: usize) -> Vec<(Ticket, N::Segment)> {
        let shared = &self.lane.shared;
        if self.begun.elapsed() > shared.quantum && shared.crowd.others_wait(self.lane.number) {
            return Vec::new();
        }
        let mut state = self.lane.lock();
        let rows = self.room(&state, rows);
        let mut pulled = Vec::with_capacity(rows);
        let mut empty_handed = 0;
        while pulled.len() < rows && empty_handed < state.turns.len() {
            let Some(song) = state.turns.pop_front() else {
                break;
            };
            state.turns.push_back(song);
            let taken = self.takes(&state, song);
            let Some(slot) = state.slots.get_mut(&song).filter(|_| taken) else {
                empty_handed += 1;
                continue;
            };
            empty_handed = 0;
            let ticket = |index| Ticket { song, index };
            if self.parity {
                let group = slot.take_group().into_iter();
                pulled.extend(group.map(|(index, segment)| (ticket(index), segment)));
                break;
            }
            let row = slot.take_row();
            pulled.extend(row.map(|(index, segment)| (ticket(index), segment)));
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
            .is_none_or(|slot| slot.is_cancelled())
    }

    fn parity(&self) -> bool {
        self.parity
    }

    fn give_back(&mut self, rows: Vec<(Ticket, N::Segment)>) {
        let mut under_way = self.under_way.borrow_mut();
        for (ticket, _) in &rows {
            under_way.remove(ticket);
        }
        self.given_back.push(rows);
    }

    fn before_step(&mut self) -> Result<(), Error> {
        self.lane.shared.faults.step()
    }
}

impl<N: Network> Sink<N::Output> for LaneSink<N> {
    fn emit(&mut self, finished: Vec<(Ticket, N::Output)>) {
        let mut under_way = self.under_way.borrow_mut();
        let mut state = self.lane.lock();
        let rows = finished.len().max(1) as f64;
        let busy = self.lane.clock.credit().div_f64(rows);
        let now = Instant::now();
        let device = now.duration_since(std::mem::replace(&mut self.since, now));
        for (ticket, output) in finished {
            under_way.remove(&ticket);
            let Some(slot) = state.slots.get_mut(&ticket.song) else {
                continue;
            };
            (slot.apart, slot.strikes) = (false, 0);
            let _ = slot.replies.send(Reply::Output {
                index: ticket.index,
                output,
                busy,
                device: device.div_f64(rows),
            });
        }
    }
}

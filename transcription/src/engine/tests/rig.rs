//! An engine whose network is scripted: each row is a number, and what becomes of it can depend on the whole batch.

use std::io::Cursor;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::engine::lane::{Lane, Shared};
use crate::engine::networks::Stations;
use crate::engine::owner::Owner;
use crate::engine::{EngineConfig, SongEvent, SongRequest, Submission, open, song};
use crate::network::{Decoded, Feed, Network, Segments, Sink, Song, Ticket};
use crate::registry::Store;
use crate::{Error, Precision};

/// What a scripted network does.
#[derive(Clone, Copy, Default)]
pub(super) struct Script {
    /// A row's result is made of all numbers of its batch and of its place: as far from safe as can be.
    pub(super) mixes: bool,
    /// A batch with this number in it fails with this message.
    pub(super) poison: Option<(u64, &'static str)>,
    /// Goes on pulling for as long as there is something, and gives no row back before it is asked to end.
    pub(super) greedy: bool,
}

pub(super) struct Scripted {
    script: Script,
    /// Every batch that was computed, as it was.
    batches: Arc<Mutex<Vec<Vec<Ticket>>>>,
}

impl Scripted {
    fn batch(&self, feed: &mut dyn Feed<u64>, batch: &[(Ticket, u64)]) -> Result<Vec<u64>, Error> {
        feed.before_step()?;
        let mut numbers: Vec<u64> = batch.iter().map(|(_, number)| *number).collect();
        if feed.parity() {
            assert!(numbers.len() <= Self::GROUP);
            numbers.resize(Self::GROUP, 0);
        }
        if let Some((poison, message)) = self.script.poison
            && numbers.contains(&poison)
        {
            return Err(Error::from_message(message.into()));
        }
        let tickets = batch.iter().map(|(ticket, _)| *ticket).collect();
        self.batches.lock().unwrap().push(tickets);
        let all = numbers.iter().fold(numbers.len() as u64, |hash, number| {
            (hash ^ number)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(29)
        });
        let row = |(place, number): (usize, &u64)| {
            if self.script.mixes {
                all ^ number.wrapping_mul(place as u64 + 3)
            } else {
                number.wrapping_mul(0x9E37_79B9)
            }
        };
        Ok(numbers.iter().enumerate().map(row).collect())
    }
}

impl Network for Scripted {
    type Segment = u64;
    type Output = u64;

    const GROUP: usize = 4;

    fn run(&mut self, feed: &mut dyn Feed<u64>, sink: &mut dyn Sink<u64>) -> Result<(), Error> {
        loop {
            let batch = feed.pull(6);
            if batch.is_empty() {
                return Ok(());
            }
            match self.batch(feed, &batch) {
                Ok(outputs) => {
                    let tickets = batch.into_iter().map(|(ticket, _)| ticket);
                    sink.emit(tickets.zip(outputs).collect());
                }
                Err(error) => {
                    feed.give_back(batch);
                    return Err(error);
                }
            }
            if !self.script.greedy {
                return Ok(());
            }
        }
    }
}

/// A song of `rows` numbers that begin at `first`.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    pub(super) first: u64,
    pub(super) rows: u64,
    pub(super) parity: bool,
    /// Its recording breaks off with an error before this row.
    pub(super) broken_at: Option<u64>,
    /// Asks for a row more after every so many outputs.
    pub(super) asks_every: Option<u64>,
}

impl Numbers {
    pub(super) fn new(first: u64, rows: u64, parity: bool) -> Self {
        Numbers {
            first,
            rows,
            parity,
            broken_at: None,
            asks_every: None,
        }
    }
}

struct Counting {
    recording: audio::Recording,
    numbers: Numbers,
    next: u64,
}

impl Segments for Counting {
    type Segment = u64;

    fn next(&mut self) -> Result<Option<u64>, Error> {
        if self.numbers.broken_at == Some(self.next) {
            return Err(Error::Audio(audio::Error::Undecodable(
                "as the test wants it".into(),
            )));
        }
        let left = self.next < self.numbers.rows;
        self.next += 1;
        Ok(left.then_some(self.numbers.first + self.next - 1))
    }

    fn recording(&self) -> &audio::Recording {
        &self.recording
    }

    fn expected(&self) -> Option<u64> {
        Some(self.numbers.rows)
    }
}

/// Keeps its outputs as the onsets of notes.
struct Collecting {
    numbers: Numbers,
    outputs: Vec<u64>,
    segments_seen: u64,
}

/// Asked rows are told apart from prepared ones by their size.
const ASKED: u64 = 1 << 40;

impl Song for Collecting {
    type Segment = u64;
    type Output = u64;

    fn segments(
        &self,
        recording: audio::Recording,
    ) -> Result<Box<dyn Segments<Segment = u64>>, Error> {
        Ok(Box::new(Counting {
            recording,
            numbers: self.numbers,
            next: 0,
        }))
    }

    fn notes(&mut self, output: u64) -> Result<Option<u64>, Error> {
        self.outputs.push(output);
        self.segments_seen += 1;
        let asks = self.numbers.asks_every.is_some_and(|every| {
            self.segments_seen.is_multiple_of(every) && self.segments_seen <= self.numbers.rows
        });
        Ok(asks.then_some(ASKED + self.segments_seen))
    }

    fn finish(&mut self) -> Result<Decoded, Error> {
        // Answers to what was asked come at a time of their own.
        if self.numbers.asks_every.is_some() {
            self.outputs.sort_unstable();
        }
        let notes = self.outputs.iter().map(|output| music::Note {
            onset: (output % (1 << 52)) as f64,
            offset: (output >> 12) as f64,
            pitch: 60,
            velocity: 80,
            program: 0,
            is_drum: false,
            bends: None,
        });
        Ok(Decoded {
            notes: notes.collect(),
            ..Decoded::default()
        })
    }
}

/// A scripted network's engine.
pub(super) struct Rig {
    pub(super) lanes: Vec<Arc<Lane<Scripted>>>,
    pub(super) batches: Arc<Mutex<Vec<Vec<Ticket>>>>,
    pub(super) shared: Arc<Shared>,
    go: Vec<Sender<()>>,
    thread: Option<Owner>,
}

impl Rig {
    pub(super) fn new(script: Script, faults: &str) -> Self {
        Self::of(&[script], faults, Shared::default())
    }

    /// A lane for each script. The device waits until [`Rig::go`], so that a test decides who stands in the first batch.
    pub(super) fn of(scripts: &[Script], faults: &str, shared: Shared) -> Self {
        let config = EngineConfig::new(Store::new("nowhere"));
        let shared = Arc::new(Shared {
            faults: faults.parse().unwrap(),
            ..shared
        });
        let mut stations = Stations {
            shared: Arc::clone(&shared),
            posts: Vec::new(),
        };
        let batches = Arc::<Mutex<Vec<_>>>::default();
        let mut go = Vec::new();
        let lanes = scripts.iter().map(|script| {
            let (script, batches) = (*script, Arc::clone(&batches));
            let (sender, receiver): (Sender<()>, Receiver<()>) = channel();
            go.push(sender);
            let load = move |_| {
                // An error says that the test does not hold it back.
                let _ = receiver.recv();
                Ok(Scripted {
                    script,
                    batches: Arc::clone(&batches),
                })
            };
            stations.add(&config, "scripted", Box::new(load))
        });
        let lanes = lanes.collect();
        let thread = open(&config, stations).unwrap();
        Rig {
            lanes,
            batches,
            shared,
            go,
            thread: Some(thread),
        }
    }

    /// Waits until each song has all the rows ready that it may have, then lets the device begin.
    pub(super) fn go(&mut self) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        for lane in &self.lanes {
            let full = || {
                let state = lane.lock();
                let most = state.look_ahead();
                state.slots.values().all(|slot| slot.is_full(most))
            };
            while !full() {
                assert!(std::time::Instant::now() < end, "no rows within a minute");
                std::thread::yield_now();
            }
        }
        self.go.clear();
    }

    pub(super) fn submit(&self, numbers: Numbers) -> Submission {
        self.submit_to(0, numbers)
    }

    pub(super) fn submit_to(&self, lane: usize, numbers: Numbers) -> Submission {
        let request = SongRequest {
            source: Box::new(Cursor::new(wav())),
            extension: None,
            model: "scripted".into(),
            options: serde_json::Map::new(),
            limits: audio::Limits::default(),
            parity: numbers.parity,
        };
        let provenance = song::Provenance {
            model: "scripted".into(),
            model_digest: String::new(),
            options: Value::Null,
            profile: "default",
            device: "cpu".into(),
            precision: Precision::F32,
        };
        let state = Collecting {
            numbers,
            outputs: Vec::new(),
            segments_seen: 0,
        };
        song::start(&self.lanes[lane], request, state, provenance)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.go.clear();
        self.shared.bell.stop();
        if let Some(thread) = self.thread.take() {
            assert!(thread.join(std::time::Duration::from_secs(60)));
        }
    }
}

/// The song's outputs, or the code of its failure.
pub(super) fn outcome(submission: Submission) -> Result<Vec<(u64, u64)>, &'static str> {
    match submission.events.into_iter().last() {
        Some(SongEvent::Done(Ok(finished))) => {
            let bits = |note: &music::Note| (note.onset.to_bits(), note.offset.to_bits());
            Ok(finished.transcript.notes.iter().map(bits).collect())
        }
        Some(SongEvent::Done(Err(error))) => Err(error.code()),
        other => panic!("no end: {other:?}"),
    }
}

/// A tenth of a second of silence.
fn wav() -> Vec<u8> {
    let data = vec![0u8; 1600];
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(8000u32.to_le_bytes());
    bytes.extend(16000u32.to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

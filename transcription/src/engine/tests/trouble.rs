//! A real network while a neighbour's recording breaks off, another song is cancelled and memory runs out, all in the middle of
//! their work: who is not concerned gets the notes that he has alone, and under parity the same bits from the network.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Map, Value};

use super::real::{Keeping, fixture};
use crate::engine::lane::{Lane, Shared};
use crate::engine::networks::Stations;
use crate::engine::owner::Owner;
use crate::engine::{EngineConfig, SongEvent, SongRequest, Stage, Submission, open, song};
use crate::mt3::{self, Mt3, Mt3Song, Profile};
use crate::network::{Network, Song};
use crate::registry::Store;
use crate::transkun::{self, Transkun};
use crate::{Error, Precision};

/// Samples of 16 bits behind a header of this many bytes, as all recordings here are.
const HEADER: usize = 44;

/// A recording over and over; `shift` samples are left out in front, which makes it another one.
fn wav(name: &str, times: usize, shift: usize) -> Vec<u8> {
    let whole = std::fs::read(fixture(name)).unwrap();
    let samples = whole[HEADER..].repeat(times)[2 * shift..].to_vec();
    let mut wav = whole[..HEADER].to_vec();
    let size = u32::try_from(samples.len()).unwrap();
    wav[4..8].copy_from_slice(&(size + 36).to_le_bytes());
    wav[40..44].copy_from_slice(&size.to_le_bytes());
    wav.extend(samples);
    wav
}

#[derive(Default)]
struct Signal {
    given: Mutex<bool>,
    change: Condvar,
}

impl Signal {
    fn give(&self) {
        *self.given.lock().unwrap() = true;
        self.change.notify_all();
    }

    fn wait(&self) {
        let mut given = self.given.lock().unwrap();
        while !*given {
            given = self.change.wait(given).unwrap();
        }
    }
}

/// Whoever reads on to a place waits there for a signal, and is told that the disk broke. What lies behind it can be looked at.
struct Breaks {
    bytes: Cursor<Vec<u8>>,
    place: u64,
    signal: Arc<Signal>,
}

impl Read for Breaks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = match self.place.checked_sub(self.bytes.position()) {
            Some(0) => {
                self.signal.wait();
                return Err(io::Error::other("the disk broke"));
            }
            Some(room) => room as usize,
            None => buffer.len(),
        };
        let count = buffer.len().min(room);
        self.bytes.read(&mut buffer[..count])
    }
}

impl Seek for Breaks {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(place)
    }
}

impl audio::Source for Breaks {
    fn byte_len(&self) -> Option<u64> {
        Some(self.bytes.get_ref().len() as u64)
    }
}

/// An engine of one real network.
struct Rig<N: Network> {
    lane: Arc<Lane<N>>,
    shared: Arc<Shared>,
    thread: Option<Owner>,
}

impl<N: Network + Send + 'static> Rig<N> {
    fn new(faults: &str, load: impl Fn(tch::Device) -> Result<N, Error> + Send + 'static) -> Self {
        let config = EngineConfig::new(Store::new("nowhere"));
        let mut stations = Stations {
            shared: Arc::new(Shared {
                faults: faults.parse().unwrap(),
                ..Shared::default()
            }),
            posts: Vec::new(),
        };
        let shared = Arc::clone(&stations.shared);
        let lane = stations.add(&config, "real", Box::new(load));
        let thread = Some(open(&config, stations).unwrap());
        Rig {
            lane,
            shared,
            thread,
        }
    }

    fn submit<S>(&self, source: Box<dyn audio::Source>, parity: bool, state: S) -> Submission
    where
        S: Song<Segment = N::Segment, Output = N::Output>,
    {
        let request = SongRequest {
            source,
            extension: None,
            model: "real".into(),
            options: Map::new(),
            limits: audio::Limits::default(),
            parity,
        };
        let provenance = song::Provenance {
            model: "real".into(),
            model_digest: String::new(),
            options: Value::Null,
            profile: "",
            device: "cpu".into(),
            precision: Precision::F32,
        };
        song::start(&self.lane, request, state, provenance)
    }
}

impl<N: Network> Drop for Rig<N> {
    fn drop(&mut self) {
        self.shared.bell.stop();
        if let Some(thread) = self.thread.take() {
            thread.join(std::time::Duration::from_secs(60));
        }
    }
}

fn outcome(submission: Submission) -> Result<String, &'static str> {
    match submission.events.into_iter().last() {
        Some(SongEvent::Done(Ok(finished))) => {
            let transcript = finished.transcript;
            Ok(serde_json::to_string(&(transcript.notes, transcript.pedals)).unwrap())
        }
        Some(SongEvent::Done(Err(error))) => Err(error.code()),
        other => panic!("{other:?}"),
    }
}

/// Until the network has given the song something.
fn wait_until_it_runs(submission: &Submission) {
    let runs = |event: SongEvent| match event {
        SongEvent::Progress {
            stage: Stage::Inference,
            current,
            ..
        } => current > 0,
        SongEvent::Progress { .. } => false,
        SongEvent::Done(result) => panic!("it has ended: {result:?}"),
    };
    assert!(submission.events.iter().any(runs));
}

/// A network as the test needs it.
struct Subject<L, S: Song> {
    load: L,
    recording: &'static str,
    /// Is told whether it is one under parity.
    song: fn(bool) -> S,
    bits_of: fn(&S::Output) -> Vec<u32>,
    /// What the network says is chosen from few things: it is the same without parity too, not only the notes.
    discrete: bool,
}

impl<L, S, N> Subject<L, S>
where
    L: Fn(tch::Device) -> Result<N, Error> + Send + Clone + 'static,
    N: Network + Send + 'static,
    S: Song<Segment = N::Segment, Output = N::Output>,
{
    fn whole(&self, times: usize, shift: usize) -> Box<Cursor<Vec<u8>>> {
        Box::new(Cursor::new(wav(self.recording, times, shift)))
    }

    /// A song that must end well, and what it is to be held against: its notes and what the network gave it.
    fn begin(
        &self,
        rig: &Rig<N>,
        shift: usize,
        parity: bool,
    ) -> impl FnOnce() -> (String, Vec<u32>) {
        let kept = Arc::default();
        let state = Keeping {
            song: (self.song)(parity),
            bits_of: self.bits_of,
            bits: Arc::clone(&kept),
        };
        let submission = rig.submit(self.whole(2, shift), parity, state);
        let bits_too = parity || self.discrete;
        move || {
            let notes = outcome(submission).unwrap();
            let bits = kept.lock().unwrap().clone();
            assert!(!bits.is_empty());
            (notes, if bits_too { bits } else { Vec::new() })
        }
    }

    fn neighbours_in_trouble_change_nothing(&self) {
        const SHIFTS: [usize; 3] = [0, 700, 1_400];
        for parity in [false, true] {
            let calm = Rig::new("", self.load.clone());
            let alone = SHIFTS.map(|shift| self.begin(&calm, shift, parity)());
            assert_ne!(
                alone[0], alone[1],
                "the test could not tell two songs apart"
            );
            for faults in ["", "oom@2,oom@5"] {
                let rig = Rig::new(faults, self.load.clone());
                let signal = Arc::<Signal>::default();
                let bytes = wav(self.recording, 12, 300);
                let broken = Breaks {
                    place: bytes.len() as u64 * 2 / 3,
                    bytes: Cursor::new(bytes),
                    signal: Arc::clone(&signal),
                };
                let broken = rig.submit(Box::new(broken), parity, (self.song)(parity));
                let cancelled = rig.submit(self.whole(60, 100), parity, (self.song)(parity));
                let songs = SHIFTS.map(|shift| self.begin(&rig, shift, parity));
                wait_until_it_runs(&broken);
                signal.give();
                wait_until_it_runs(&cancelled);
                cancelled.cancel.cancel();
                for (song, alone) in songs.into_iter().zip(&alone) {
                    assert_eq!(song(), *alone, "parity {parity}, {faults}");
                }
                assert_eq!(outcome(broken), Err("audio_unreadable"));
                assert_eq!(outcome(cancelled), Err("cancelled"));
                assert!(rig.shared.bell.healthy());
            }
        }
    }
}

fn mt3_weights() -> mt3::Weights {
    let folder: PathBuf = fixture("mt3-tiny");
    let config = std::fs::read_to_string(folder.join("golden.json")).unwrap();
    // Shorter segments of tokens: random networks seldom end by themselves.
    let config = config.replacen(
        "\"max_decoder_length\": 1024",
        "\"max_decoder_length\": 60",
        1,
    );
    mt3::Weights::open(&folder.join("weights.safetensors"), Some(&config)).unwrap()
}

#[test]
fn of_mt3() {
    let load = |device| {
        let setup = mt3::Setup {
            device,
            profile: Profile::Seed,
            threads: 2,
            rows: None,
            libtorch: false,
        };
        Mt3::new(&mt3_weights(), setup)
    };
    let subject = Subject {
        load,
        recording: "mt3-tiny/audio.wav",
        song: |parity| {
            let options = mt3::Options {
                profile: Profile::Seed,
                ..mt3::Options::default()
            };
            Mt3Song::new(mt3_weights().shape, options, parity)
        },
        bits_of: |spoken| spoken.tokens.iter().map(|token| *token as u32).collect(),
        discrete: true,
    };
    subject.neighbours_in_trouble_change_nothing();
}

/// The network of `fixtures/transkun`, in the form that runs on a CPU and in the one whose rows share a computation.
pub(super) const SMALL: transkun::Shape = transkun::Shape {
    base: 16,
    layers: 2,
    inner: 32,
    hop_seconds: 1,
};

pub(super) fn load_transkun(device: tch::Device, libtorch: bool) -> Result<Transkun, Error> {
    let checkpoint = std::fs::read(fixture("transkun/random-small.pt")).unwrap();
    let bytes = crate::registry::convert_transkun(&SMALL, &checkpoint).unwrap();
    let weights = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let setup = transkun::Setup {
        device,
        threads: 2,
        rows: if libtorch { 4 } else { 1 },
        libtorch,
    };
    Transkun::of_weights(SMALL, &weights, setup)
}

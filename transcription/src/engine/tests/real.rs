//! Basic Pitch, Harmonica and Transkun in libtorch's operations, whose rows share one computation: what the network gives and the notes,
//! bit for bit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};

use super::trouble::{SMALL, load_transkun};
use crate::basic_pitch::maps::WindowMaps;
use crate::basic_pitch::{self, BasicPitch, BasicPitchSong, Model};
use crate::engine::lane::{Lane, Shared};
use crate::engine::networks::Stations;
use crate::engine::{EngineConfig, SongEvent, SongRequest, open, song};
use crate::harmonica::{self, Harmonica, HarmonicaSong};
use crate::network::{Decoded, Network, Segments, Song};
use crate::registry::Store;
use crate::transkun::{Candidates, TranskunSong};
use crate::{Error, Precision};

/// Keeps the bits of everything that the network gave a song.
pub(super) struct Keeping<S: Song> {
    pub(super) song: S,
    pub(super) bits_of: fn(&S::Output) -> Vec<u32>,
    pub(super) bits: Arc<Mutex<Vec<u32>>>,
}

impl<S: Song> Song for Keeping<S> {
    type Segment = S::Segment;
    type Output = S::Output;

    fn segments(
        &self,
        recording: audio::Recording,
    ) -> Result<Box<dyn Segments<Segment = S::Segment>>, Error> {
        self.song.segments(recording)
    }

    fn notes(&mut self, output: S::Output) -> Result<Option<S::Segment>, Error> {
        self.bits.lock().unwrap().extend((self.bits_of)(&output));
        self.song.notes(output)
    }

    fn finish(&mut self) -> Result<Decoded, Error> {
        self.song.finish()
    }
}

pub(super) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn bits(numbers: &[f32]) -> impl Iterator<Item = u32> {
    numbers.iter().map(|number| number.to_bits())
}

/// What the first of `files` comes to when all are under way together: its maps' bits and its notes.
fn first_of<N, S>(
    lane: &Arc<Lane<N>>,
    files: &[PathBuf],
    song: impl Fn() -> S,
    bits_of: fn(&S::Output) -> Vec<u32>,
    parity: bool,
) -> (Vec<u32>, String)
where
    N: Network + 'static,
    S: Song<Segment = N::Segment, Output = N::Output>,
{
    let running: Vec<_> = files
        .iter()
        .map(|file| {
            let kept = Arc::default();
            let request = SongRequest {
                source: Box::new(std::fs::File::open(file).unwrap()),
                extension: None,
                model: "real".into(),
                options: Map::new(),
                limits: audio::Limits::default(),
                parity,
            };
            let state = Keeping {
                song: song(),
                bits_of,
                bits: Arc::clone(&kept),
            };
            let provenance = song::Provenance {
                model: "real".into(),
                model_digest: String::new(),
                options: Value::Null,
                profile: "parity",
                device: "cpu".into(),
                precision: Precision::F32,
            };
            (song::start(lane, request, state, provenance), kept)
        })
        .collect();
    let mut all = running.into_iter().map(|(submission, kept)| {
        let last = submission.events.into_iter().last();
        let Some(SongEvent::Done(Ok(finished))) = last else {
            panic!("{last:?}");
        };
        let bits: Vec<u32> = kept.lock().unwrap().clone();
        let notes = serde_json::to_string(&finished.transcript.notes).unwrap();
        (bits, notes)
    });
    let first = all.next().unwrap();
    all.for_each(drop);
    first
}

/// Holds the first song's maps and notes alone against those beside the others.
fn alone_and_beside<N, S>(
    load: impl Fn(tch::Device) -> Result<N, Error> + Send + 'static,
    files: &[PathBuf],
    song: impl Fn() -> S + Copy,
    bits_of: fn(&S::Output) -> Vec<u32>,
) where
    N: Network + Send + 'static,
    S: Song<Segment = N::Segment, Output = N::Output>,
{
    let config = EngineConfig::new(Store::new("nowhere"));
    let mut stations = Stations {
        shared: Arc::new(Shared::default()),
        posts: Vec::new(),
    };
    let shared = Arc::clone(&stations.shared);
    let lane = stations.add(&config, "real", Box::new(load));
    let thread = open(&config, stations).unwrap();
    let alone = first_of(&lane, &files[..1], song, bits_of, true);
    let beside = first_of(&lane, files, song, bits_of, true);
    assert!(!alone.0.is_empty() && alone.1.len() > 2, "no notes");
    assert!(alone.0 == beside.0, "maps differ beside others");
    assert_eq!(alone.1, beside.1);
    // The notes are the same without parity too, whatever the last bits of the maps do.
    let shared_rows = first_of(&lane, files, song, bits_of, false);
    assert_eq!(alone.1, shared_rows.1);
    let differing = alone.0.iter().zip(&shared_rows.0).filter(|(a, b)| a != b);
    eprintln!(
        "without parity {} of {} numbers differ in some bit",
        differing.count(),
        alone.0.len()
    );
    shared.bell.stop();
    assert!(thread.join(std::time::Duration::from_secs(60)));
}

fn window_bits(maps: &WindowMaps) -> Vec<u32> {
    bits(&maps.note).chain(bits(&maps.onset)).collect()
}

#[test]
fn basic_pitch_gives_the_same_bits_beside_others() {
    let installed = Store::new(Store::default_dir())
        .installed(basic_pitch::NAME)
        .unwrap_or_else(|error| panic!("{error}, or `make models`"));
    let files = [
        "last-note-22k05/audio.wav",
        "three-hops-22k05/audio.wav",
        "short-half-second/audio.wav",
    ]
    .map(fixture);
    alone_and_beside(
        move |device| {
            let model = Model::load_in_libtorch(&installed.file, device)?;
            Ok(BasicPitch::new(model, 8))
        },
        &files,
        || {
            let options = basic_pitch::Options::parse(&Map::new()).unwrap();
            BasicPitchSong::new(options, true)
        },
        window_bits,
    );
}

#[test]
fn harmonica_gives_the_same_bits_beside_others() {
    let checkpoint = std::fs::read(fixture("harmonica/random-nano.pt")).unwrap();
    let size = harmonica::config::SIZES[0];
    let weights = crate::registry::convert_harmonica(&size, &checkpoint).unwrap();
    let thresholds = || {
        let checkpoint = std::fs::read(fixture("harmonica/random-nano.pt")).unwrap();
        let size = harmonica::config::SIZES[0];
        let weights = crate::registry::convert_harmonica(&size, &checkpoint).unwrap();
        crate::registry::thresholds_of(&weights).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nano.safetensors");
    std::fs::write(&file, weights).unwrap();
    let files = [
        "harmonica/recording.wav",
        "three-hops-22k05/audio.wav",
        "short-half-second/audio.wav",
    ]
    .map(fixture);
    alone_and_beside(
        move |device| {
            let setup = harmonica::Setup {
                device,
                threads: 2,
                rows: 8,
                libtorch: true,
            };
            Harmonica::load(&size, &file, setup)
        },
        &files,
        || {
            let options = harmonica::Options::parse(size.model, &Map::new(), thresholds()).unwrap();
            HarmonicaSong::new(options)
        },
        |output| bits(&output.maps).collect(),
    );
}

fn candidate_bits(found: &Candidates) -> Vec<u32> {
    let tracks = found.tracks.iter().zip(0..);
    let intervals = tracks.flat_map(|(track, symbol)| {
        let intervals = track.intervals.iter().zip(&track.attributes);
        intervals.flat_map(move |((first, last), attributes)| {
            let frames = u32::from(*first) << 16 | u32::from(*last);
            let [begin, end] = attributes.shifts.map(f32::to_bits);
            let [on, off] = attributes.present.map(u32::from);
            [
                symbol,
                frames,
                begin,
                end,
                attributes.velocity.into(),
                on,
                off,
            ]
        })
    });
    intervals.collect()
}

#[test]
fn transkun_gives_the_same_bits_beside_others() {
    let files = [
        "harmonica/recording.wav",
        "three-hops-22k05/audio.wav",
        "short-half-second/audio.wav",
    ]
    .map(fixture);
    for libtorch in [true, false] {
        alone_and_beside(
            move |device| load_transkun(device, libtorch),
            &files,
            || TranskunSong::new(SMALL, true),
            candidate_bits,
        );
    }
}

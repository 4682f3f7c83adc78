//! The engine: networks loaded once and kept warm on the thread that owns the device; songs come in, notes go out.
//!
//! Each song has two threads of its own beside it: one prepares segments (decoding and resampling, with bounded look-ahead), one
//! collects outputs in song order and makes notes of them. `lane` is where they meet the device's thread.

mod clock;
mod device_thread;
mod lane;
mod owner;
mod song;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::basic_pitch::{self, BasicPitch, BasicPitchSong};
use crate::harmonica::{self, Harmonica, HarmonicaSong};
use crate::network::Network;
use crate::registry::{Installed, Store};
use crate::{DeviceChoice, Error};
use device_thread::{Bell, Load, Post, Station};
use lane::Lane;
use owner::Owner;
pub use song::CancelHandle;

/// A batch takes seconds; a device that needs longer than this to end one hangs.
const STOP: Duration = Duration::from_secs(10);

/// How an engine is started.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    pub device: DeviceChoice,
    /// CPU threads of the networks; 0 takes all cores.
    pub threads: usize,
    pub models: Store,
}

impl EngineConfig {
    /// More threads than cores only wait for each other.
    pub(crate) fn cpu_threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if self.threads == 0 {
            cores
        } else {
            self.threads.min(cores)
        }
    }

    /// Segments a batch: a few fill a CPU's threads and stay in its caches, a GPU is bound by launches.
    fn batch_rows(&self) -> usize {
        match self.device {
            DeviceChoice::Cpu => 8,
            DeviceChoice::Cuda(_) => 64,
        }
    }
}

/// One song to transcribe.
pub struct SongRequest {
    pub source: Box<dyn audio::Source>,
    /// A hint for the decoder; the content decides.
    pub extension: Option<String>,
    pub model: String,
    pub options: Map<String, Value>,
    pub limits: audio::Limits,
    /// Reproduce the reference package's quirks.
    pub parity: bool,
}

/// What a song is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Decode,
    Inference,
    Notes,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::Inference => "inference",
            Stage::Notes => "notes",
        }
    }
}

/// News of a song; `Done` is always the last.
#[derive(Debug)]
pub enum SongEvent {
    Progress {
        stage: Stage,
        current: u64,
        total: Option<u64>,
    },
    Done(Result<Box<Finished>, Error>),
}

/// A transcribed song.
#[derive(Debug)]
pub struct Finished {
    pub transcript: music::Transcript,
    pub audio_seconds: f64,
    /// This song's share of the engine's busy wall time: over all songs it never sums to more than wall time.
    pub busy: Duration,
    /// From submission to notes.
    pub wall: Duration,
    pub warnings: Vec<String>,
    pub model_digest: String,
    pub device: String,
}

/// A song on its way.
pub struct Submission {
    pub events: mpsc::Receiver<SongEvent>,
    pub cancel: CancelHandle,
}

/// Networks on one device.
pub struct Engine {
    config: EngineConfig,
    basic_pitch: Arc<Lane<BasicPitch>>,
    /// One for each size. A lane costs nothing; its network is loaded at the first song that wants it.
    harmonica: Vec<(harmonica::Size, Arc<Lane<Harmonica>>)>,
    bell: Arc<Bell>,
    thread: Option<Owner>,
}

impl Engine {
    /// Opens the device. Networks are loaded at their first song.
    pub fn start(config: EngineConfig) -> Result<Engine, Error> {
        let bell = Arc::new(Bell::default());
        let mut stations = Stations {
            bell: Arc::clone(&bell),
            clock: Arc::default(),
            posts: Vec::new(),
        };
        let (rows, models) = (config.batch_rows(), config.models.clone());
        let basic_pitch = stations.add(
            basic_pitch::NAME,
            Box::new(move |device| {
                let installed = models.installed(basic_pitch::NAME)?;
                let model = basic_pitch::Model::load(&installed.file, device)?;
                Ok(BasicPitch::new(model, rows))
            }),
        );
        let harmonica = harmonica::config::SIZES
            .into_iter()
            .map(|size| {
                let (models, threads) = (config.models.clone(), config.cpu_threads());
                let load = move |device| {
                    let installed = models.installed(size.model)?;
                    let setup = harmonica::Setup {
                        device,
                        threads,
                        rows,
                        libtorch: false,
                    };
                    Harmonica::load(&size, &installed.file, setup)
                };
                (size, stations.add(size.model, Box::new(load)))
            })
            .collect();
        let posts = stations.posts;
        let (ready, opened) = mpsc::channel();
        let thread = {
            let (config, bell) = (config.clone(), Arc::clone(&bell));
            Owner::spawn("device", move || {
                device_thread::run(&config, &bell, posts, &ready);
            })
            .map_err(|source| Error::Store {
                what: "cannot start the device's thread".into(),
                source,
            })?
        };
        opened.recv().map_err(|_| Error::Stopped)??;
        Ok(Engine {
            config,
            basic_pitch,
            harmonica,
            bell,
            thread: Some(thread),
        })
    }

    /// Begins a song. Errors of any kind come as its `Done` event.
    pub fn submit(&self, song: SongRequest) -> Submission {
        self.begin(song).unwrap_or_else(refused)
    }

    fn begin(&self, song: SongRequest) -> Result<Submission, Error> {
        if song.model == basic_pitch::NAME {
            let options = basic_pitch::Options::parse(&song.options)?;
            let installed = self.config.models.installed(basic_pitch::NAME)?;
            let provenance = self.provenance(&song, basic_pitch::NAME, &options, &installed);
            let state = BasicPitchSong::new(options, song.parity);
            return Ok(song::start(&self.basic_pitch, song, state, provenance));
        }
        let wanted = harmonica::Size::of_model(&song.model);
        let Some((size, lane)) = self
            .harmonica
            .iter()
            .find(|(size, _)| Some(*size) == wanted)
        else {
            return Err(Error::ModelUnknown { name: song.model });
        };
        crate::registry::parse_options(size.model, &song.options)?;
        let installed = self.config.models.installed(size.model)?;
        let thresholds = crate::registry::thresholds(&installed.file)?;
        let options = harmonica::Options::parse(size.model, &song.options, thresholds)?;
        let provenance = self.provenance(&song, size.model, &options, &installed);
        Ok(song::start(
            lane,
            song,
            HarmonicaSong::new(options),
            provenance,
        ))
    }

    /// Whether the device still answers; false after a sticky error, when only a new process helps.
    pub fn healthy(&self) -> bool {
        self.bell.healthy()
    }

    /// Ends the device's thread. False when it hangs: then it is left behind, and only the end of the process ends it.
    pub fn stop(&mut self) -> bool {
        self.bell.stop();
        self.thread.take().is_none_or(|thread| thread.join(STOP))
    }

    pub fn device(&self) -> String {
        self.config.device.to_string()
    }

    fn provenance(
        &self,
        song: &SongRequest,
        model: &str,
        options: &impl serde::Serialize,
        installed: &Installed,
    ) -> song::Provenance {
        song::Provenance {
            model: model.to_owned(),
            model_digest: installed.digest.clone(),
            options: serde_json::to_value(options).unwrap_or(Value::Null),
            profile: if song.parity { "parity" } else { "default" },
            device: self.device(),
        }
    }
}

/// Lanes and their stations as they are set up.
struct Stations {
    bell: Arc<Bell>,
    clock: Arc<clock::SharedClock>,
    posts: Vec<Box<dyn Station + Send>>,
}

impl Stations {
    fn add<N: Network + Send + 'static>(
        &mut self,
        model: &'static str,
        load: Load<N>,
    ) -> Arc<Lane<N>> {
        let lane = Lane::new(Arc::clone(&self.bell), Arc::clone(&self.clock));
        self.posts.push(Box::new(Post {
            model,
            lane: Arc::clone(&lane),
            load,
            network: None,
        }));
        lane
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.stop() {
            tracing::error!(
                device = self.device(),
                "the device hangs; its thread is left behind"
            );
        }
    }
}

/// A song that never begins.
fn refused(error: Error) -> Submission {
    let (sender, events) = mpsc::channel();
    // The receiver is alive: it is returned below.
    let _ = sender.send(SongEvent::Done(Err(error)));
    Submission {
        events,
        cancel: CancelHandle::idle(),
    }
}

//! The engine: networks loaded once and kept warm on the thread that owns the device; songs come in, notes go out.
//!
//! Each song has two threads of its own beside it: one prepares segments (decoding and resampling, with bounded look-ahead), one
//! collects outputs in song order and makes notes of them. `lane` is where they meet the device's thread.

mod blame;
mod clock;
mod crowd;
mod device_thread;
mod faults;
mod feed;
mod lane;
mod networks;
mod owner;
mod slot;
mod song;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::registry::Store;
use crate::{DeviceChoice, Error, Precision};
use device_thread::Bell;
pub use faults::Faults;
use lane::Shared;
use networks::{Networks, Stations};
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
    /// Of the whole process: two engines in one must agree.
    pub precision: Precision,
    /// On the CPU too, libtorch's operations instead of kernels of our own: a second opinion, slower, and the only way to bfloat16
    /// there. Nobody's songs need it.
    pub libtorch: bool,
    /// What a test wants to fail.
    pub faults: Faults,
}

impl EngineConfig {
    /// On all cores of the CPU, exact.
    pub fn new(models: Store) -> Self {
        EngineConfig {
            device: DeviceChoice::Cpu,
            threads: 0,
            models,
            precision: Precision::F32,
            libtorch: false,
            faults: Faults::default(),
        }
    }

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
    pub fn batch_rows(&self) -> usize {
        match self.device {
            DeviceChoice::Cpu => 8,
            DeviceChoice::Cuda(_) => 64,
        }
    }

    /// Segments of Transkun a batch: one alone fills a CPU, sixteen seconds at a time.
    pub fn transkun_rows(&self) -> usize {
        match self.device {
            DeviceChoice::Cpu => 1,
            DeviceChoice::Cuda(_) => 8,
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
    /// This song's share of the time in which its network ran; the rest of `busy` went into waiting for segments.
    pub device_time: Duration,
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
    networks: Networks,
    bell: Arc<Bell>,
    thread: Option<Owner>,
}

impl Engine {
    /// Opens the device. Networks are loaded at their first song.
    pub fn start(config: EngineConfig) -> Result<Engine, Error> {
        let mut stations = Stations {
            shared: Arc::new(Shared {
                faults: config.faults.clone(),
                ..Shared::default()
            }),
            posts: Vec::new(),
        };
        let networks = Networks::set_up(&config, &mut stations);
        let bell = Arc::clone(&stations.shared.bell);
        let thread = open(&config, stations)?;
        Ok(Engine {
            config,
            networks,
            bell,
            thread: Some(thread),
        })
    }

    /// Begins a song. Errors of any kind come as its `Done` event.
    pub fn submit(&self, song: SongRequest) -> Submission {
        self.networks
            .begin(&self.config, song)
            .unwrap_or_else(refused)
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
}

/// Starts the device's thread and waits until the device is open.
fn open(config: &EngineConfig, stations: Stations) -> Result<Owner, Error> {
    let (ready, opened) = mpsc::channel();
    let (config, bell) = (config.clone(), Arc::clone(&stations.shared.bell));
    let thread = Owner::spawn("device", move || {
        device_thread::run(&config, &bell, stations.posts, &ready);
    })
    .map_err(|source| Error::Store {
        what: "cannot start the device's thread".into(),
        source,
    })?;
    opened.recv().map_err(|_| Error::Stopped)??;
    Ok(thread)
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

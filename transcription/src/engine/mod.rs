//! The engine: networks loaded once and kept warm on the thread that owns the device; songs come in, notes go out.
//!
//! Each song has two threads of its own beside it: one prepares segments (decoding and resampling, with bounded look-ahead), one
//! collects outputs in song order and makes notes of them. `lane` is where they meet the device's thread.

mod device_thread;
mod lane;
mod owner;
mod song;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::basic_pitch::{self, BasicPitch, BasicPitchSong};
use crate::registry::Store;
use crate::{DeviceChoice, Error};
use device_thread::Bell;
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
    bell: Arc<Bell>,
    thread: Option<Owner>,
}

impl Engine {
    /// Opens the device. Networks are loaded at their first song.
    pub fn start(config: EngineConfig) -> Result<Engine, Error> {
        let bell = Arc::new(Bell::default());
        let basic_pitch = Lane::new(Arc::clone(&bell));
        let (ready, opened) = mpsc::channel();
        let thread = {
            let (config, bell, basic_pitch) =
                (config.clone(), Arc::clone(&bell), Arc::clone(&basic_pitch));
            Owner::spawn("device", move || {
                device_thread::run(&config, &bell, &basic_pitch, &ready);
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
            bell,
            thread: Some(thread),
        })
    }

    /// Begins a song. Errors of any kind come as its `Done` event.
    pub fn submit(&self, song: SongRequest) -> Submission {
        match song.model.as_str() {
            basic_pitch::NAME => {
                let parsed = basic_pitch::Options::parse(&song.options);
                let installed = self.config.models.installed(basic_pitch::NAME);
                let (state, provenance) = match (parsed, installed) {
                    (Ok(options), Ok(installed)) => {
                        let provenance = self.provenance(&song, &options, &installed.digest);
                        (BasicPitchSong::new(options, song.parity), provenance)
                    }
                    (Err(error), _) | (_, Err(error)) => return refused(error),
                };
                song::start(&self.basic_pitch, song, state, provenance)
            }
            _ => refused(Error::ModelUnknown { name: song.model }),
        }
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
        options: &impl serde::Serialize,
        digest: &str,
    ) -> song::Provenance {
        song::Provenance {
            model: song.model.clone(),
            model_digest: digest.to_owned(),
            options: serde_json::to_value(options).unwrap_or(Value::Null),
            profile: if song.parity { "parity" } else { "default" },
            device: self.device(),
        }
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

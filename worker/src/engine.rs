//! The real network behind the worker's seam: hands songs to `transcription::Engine` and translates what comes back. The
//! only file of this crate that knows the engine.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::Context;
use transcription::registry::Store;
use transcription::{DeviceChoice, Engine, EngineConfig, Faults, Precision, SongEvent};

use crate::transcriber::{Failure, Finished, Song, Transcriber};
use crate::{Config, Control};

/// How often a running song looks whether anybody still wants it.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) struct EngineTranscriber {
    engine: Engine,
    models: Vec<String>,
    parity: bool,
}

impl EngineTranscriber {
    /// Starts the engine; models are loaded when the first song asks for them.
    pub(crate) fn start(config: &Config) -> anyhow::Result<Self> {
        let device: DeviceChoice = config.device.parse().map_err(|reason| {
            anyhow::anyhow!("--device {:?} cannot be used: {reason}", config.device)
        })?;
        let precision: Precision = config
            .precision
            .parse()
            .map_err(|reason| anyhow::anyhow!("--precision cannot be used: {reason}"))?;
        let faults: Faults = config
            .inject_faults
            .parse()
            .map_err(|reason| anyhow::anyhow!("--inject-faults cannot be used: {reason}"))?;
        if config.parity && precision != Precision::F32 {
            anyhow::bail!("--parity needs --precision f32: only float32 reproduces the reference");
        }
        if precision != Precision::F32 && device == DeviceChoice::Cpu {
            tracing::warn!(%precision, "processors are given float32 whatever is asked; results say so");
        }
        let store = Store::new(config.models_dir.clone().unwrap_or_else(Store::default_dir));
        let models: Vec<String> = store
            .list()
            .into_iter()
            .filter(|model| model.installed)
            .map(|model| model.name)
            .collect();
        let missing: Vec<_> = transcription::MODELS
            .iter()
            .filter(|name| !models.iter().any(|model| model == *name))
            .collect();
        if !missing.is_empty() {
            tracing::warn!(
                ?missing,
                "models that are not installed: their tasks will fail here; `wtt models pull` brings them"
            );
        }
        let engine = Engine::start(EngineConfig {
            device,
            threads: config.threads,
            precision,
            faults,
            ..EngineConfig::new(store)
        })
        .context("cannot start the network's engine")?;
        tracing::info!(
            device = engine.device(),
            threads = config.threads,
            %precision,
            parity = config.parity,
            ?models,
            "engine started"
        );
        Ok(EngineTranscriber {
            engine,
            models,
            parity: config.parity,
        })
    }
}

impl EngineTranscriber {
    /// Ends the engine; false when its device hangs.
    pub(crate) fn stop(mut self) -> bool {
        self.engine.stop()
    }
}

impl Transcriber for EngineTranscriber {
    fn models(&self) -> Vec<String> {
        self.models.clone()
    }

    fn healthy(&self) -> bool {
        self.engine.healthy()
    }

    fn transcribe(&self, song: Song, control: &Control) -> Result<Finished, Failure> {
        let limits = audio::Limits {
            max_seconds: song.max_seconds,
            ..audio::Limits::default()
        };
        let submission = self.engine.submit(transcription::Song {
            source: Box::new(song.audio),
            extension: song.extension,
            model: song.model,
            options: song.options,
            limits,
            parity: self.parity,
        });
        let mut told = false;
        loop {
            if control.cancelled() && !told {
                submission.cancel.cancel();
                told = true;
            }
            match submission.events.recv_timeout(LOOK) {
                Ok(SongEvent::Progress {
                    stage,
                    current,
                    total,
                }) => control.step(stage.as_str(), current, total.unwrap_or(0)),
                Ok(SongEvent::Done(Ok(finished))) => return Ok((*finished).into()),
                Ok(SongEvent::Done(Err(error))) => return Err(error.into()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(engine_gone()),
            }
        }
    }
}

fn engine_gone() -> Failure {
    Failure {
        poisons_device: true,
        ..Failure::internal(
            "engine_stopped",
            "the engine's thread ended without an answer",
        )
    }
}

impl From<transcription::Finished> for Finished {
    fn from(finished: transcription::Finished) -> Self {
        Finished {
            transcript: finished.transcript,
            audio_seconds: finished.audio_seconds,
            busy: finished.busy,
            device_time: finished.device_time,
            warnings: finished.warnings,
            model_digest: finished.model_digest,
            device: finished.device,
        }
    }
}

impl From<transcription::Error> for Failure {
    fn from(error: transcription::Error) -> Self {
        Failure {
            code: error.code().into(),
            kind: error.kind().into(),
            message: error.to_string(),
            retryable: error.retryable(),
            poisons_device: error.poisons_device(),
        }
    }
}

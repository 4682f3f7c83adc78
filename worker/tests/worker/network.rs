//! A network that runs a script: one closure, told how many songs came before.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use worker::{Control, Failure, Finished, Song, Transcriber};

type Script = dyn Fn(usize, &Song, &Control) -> Result<Finished, Failure> + Send + Sync;

pub(crate) struct Network {
    script: Box<Script>,
    pub(crate) begun: AtomicUsize,
    /// Songs that were told to stop, and did.
    pub(crate) stopped: AtomicUsize,
}

impl Network {
    pub(crate) fn new(
        script: impl Fn(usize, &Song, &Control) -> Result<Finished, Failure> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Network {
            script: Box::new(script),
            begun: AtomicUsize::new(0),
            stopped: AtomicUsize::new(0),
        })
    }

    /// Two notes for every song, at once.
    pub(crate) fn quick() -> Arc<Self> {
        Network::new(|_, _, control| {
            control.step("inference", 1, 1);
            Ok(finished())
        })
    }

    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

impl Transcriber for Network {
    fn models(&self) -> Vec<String> {
        vec!["stub".into()]
    }

    fn transcribe(&self, mut song: Song, control: &Control) -> Result<Finished, Failure> {
        let mut audio = String::new();
        song.audio.read_to_string(&mut audio).unwrap();
        assert!(audio.starts_with("audio of "), "{audio}");
        let number = self.begun.fetch_add(1, Ordering::SeqCst);
        let notes = (self.script)(number, &song, control);
        if control.cancelled() {
            self.stopped.fetch_add(1, Ordering::SeqCst);
        }
        notes
    }
}

/// What the network comes to.
pub(crate) fn finished() -> Finished {
    let mut transcript = music::Transcript::new(serde_json::json!({ "model": "stub" }));
    for (onset, pitch) in [(0.0, 60), (0.5, 64)] {
        transcript.notes.push(music::Note {
            onset,
            offset: onset + 0.5,
            pitch,
            velocity: 80,
            program: 0,
            is_drum: false,
            bends: None,
        });
    }
    Finished {
        transcript,
        audio_seconds: 1.25,
        busy: Duration::from_millis(7),
        device_time: Duration::from_millis(5),
        warnings: vec!["a warning".into()],
        model_digest: "digest".into(),
        device: "stub".into(),
    }
}

/// What a network says that was told to stop.
pub(crate) fn cancelled() -> Failure {
    Failure {
        code: "cancelled".into(),
        kind: "cancelled".into(),
        message: "told to stop".into(),
        retryable: false,
        poisons_device: false,
    }
}

/// Works, with measured steps, until told to stop.
pub(crate) fn work_until_cancelled(control: &Control) -> Result<Finished, Failure> {
    let mut step = 0;
    while !control.cancelled() {
        step += 1;
        control.step("inference", step, 0);
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(cancelled())
}

/// Makes no step until told to stop.
pub(crate) fn hang_until_cancelled(control: &Control) -> Result<Finished, Failure> {
    while !control.cancelled() {
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(cancelled())
}

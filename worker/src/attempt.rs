//! One attempt of one task: fetch its audio, have it transcribed, store the notes. Each step ends early when the lease
//! does. How the end is written into the queue is `conclusion`'s business.

use std::sync::Arc;
use std::time::{Duration, Instant};

use queue::{Claim, Progress, Verdict};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::backoff::Outage;
use crate::conclusion::{Outcome, conclude};
use crate::leases::{Ending, Held, Hold};
use crate::serve::Worker;
use crate::service::{CallError, Stored};
use crate::transcriber::{Failure, Finished, Song};
use crate::workspace::{AudioFile, Room};
use crate::{Control, service};

type Notes = Result<Finished, Failure>;

/// How often a download whose bytes are not the announced ones is tried.
const DOWNLOADS: u32 = 3;

/// Runs an attempt to its end, whatever that is, and occupies its slot until the network has let go of it too.
pub(crate) async fn run(worker: Arc<Worker>, claim: Claim, hold: Hold) {
    let mut attempt = Attempt {
        worker: &worker,
        claim: &claim,
        held: &hold.held,
        started: Instant::now(),
        network: None,
    };
    let outcome = attempt.outcome().await;
    let network = attempt.network.take();
    conclude(&worker, &claim, &hold.held, outcome).await;
    drop(hold);
    if let Some(network) = network {
        let patience = if worker.is_ending() {
            worker.config.timing.farewell
        } else {
            worker.config.timing.engine_stop
        };
        if tokio::time::timeout(patience, network).await.is_err() && !worker.is_ending() {
            worker.poison(format!(
                "the network did not stop within {patience:?} after task {} had ended",
                claim.id
            ));
        }
    }
}

struct Attempt<'a> {
    worker: &'a Worker,
    claim: &'a Claim,
    held: &'a Arc<Held>,
    started: Instant,
    /// The network's thread, while it may still run.
    network: Option<JoinHandle<Notes>>,
}

impl Attempt<'_> {
    async fn outcome(&mut self) -> Outcome {
        let held = Arc::clone(self.held);
        let audio = tokio::select! {
            biased;
            ending = held.ended() => return Outcome::Ended(ending),
            audio = self.fetch() => match audio {
                Ok(audio) => audio,
                Err(outcome) => return outcome,
            },
        };
        let finished = match self.transcribe(&audio).await {
            Ok(finished) => finished,
            Err(outcome) => return outcome,
        };
        drop(audio);
        let (notes, wall) = (finished.transcript.notes.len(), self.started.elapsed());
        tokio::select! {
            biased;
            Ending::Lost = held.ended() => self.was_it_stored(notes, wall).await,
            ending = held.ended() => Outcome::Ended(ending),
            outcome = self.store(finished) => outcome,
        }
    }

    /// The lease also goes when the result got through and only the answer was lost: then all is well.
    async fn was_it_stored(&self, notes: usize, wall: Duration) -> Outcome {
        match self
            .worker
            .queue
            .verify(&self.claim.id, &self.claim.token)
            .await
        {
            Ok(Verdict::DoneByThisToken) => Outcome::Stored { notes, wall },
            _ => Outcome::Ended(Ending::Lost),
        }
    }

    /// The audio in a file that goes with it, tried until the API gives it: the lease sets the bound.
    async fn fetch(&self) -> Result<AudioFile, Outcome> {
        let mut outage = self.outage();
        let mut damaged = 0;
        let (workspace, bytes) = (&self.worker.workspace, self.claim.payload.bytes);
        match workspace.room_for(bytes) {
            Room::Enough => {}
            Room::Short => return Err(self.no_room("the disk is too full for its audio")),
            // A worker with a larger disk may do it.
            Room::Never => {
                return Err(Outcome::Failed(Failure::storage(
                    "temp_dir_too_small",
                    format!(
                        "its audio has {bytes} bytes, and the folder for audio could never hold them"
                    ),
                )));
            }
        }
        loop {
            let audio = workspace
                .create()
                .map_err(|error| self.no_room(format!("cannot make a temporary file: {error}")))?;
            match self
                .worker
                .api
                .audio(
                    &self.claim.id,
                    &self.claim.token,
                    &self.claim.payload,
                    &audio,
                )
                .await
            {
                Ok(()) => {
                    workspace.worked();
                    return Ok(audio);
                }
                Err(error @ CallError::Disk(_)) => return Err(self.no_room(error.to_string())),
                Err(CallError::Away(reason)) => self.pause(&mut outage, &reason).await,
                Err(CallError::Damaged(reason)) => {
                    damaged += 1;
                    if damaged >= DOWNLOADS {
                        return Err(Outcome::Failed(Failure::storage("audio_damaged", reason)));
                    }
                    self.pause(&mut outage, &reason).await;
                }
                Err(error) => return Err(error.into_outcome("fetch its audio")),
            }
        }
    }

    /// The notes. The network runs on a blocking thread; its steps are published from here.
    async fn transcribe(&mut self, audio: &AudioFile) -> Result<Finished, Outcome> {
        let file = audio
            .reopen()
            .map_err(|error| self.no_room(format!("cannot read back the audio: {error}")))?;
        let payload = &self.claim.payload;
        let song = Song {
            audio: file,
            extension: service::extension(&payload.filename),
            model: self.claim.model.clone(),
            options: payload.options.clone(),
            max_seconds: (payload.max_seconds > 0).then_some(payload.max_seconds as f64),
        };
        let control = Control::new(Arc::clone(self.held));
        let steps = control.progress();
        self.held.step();
        let transcriber = Arc::clone(&self.worker.transcriber);
        let network = self.network.insert(tokio::task::spawn_blocking(move || {
            transcriber.transcribe(song, &control)
        }));
        let notes = tokio::select! {
            biased;
            ending = self.held.ended() => return Err(Outcome::Ended(ending)),
            notes = network => notes,
            () = publish(self.worker, self.held, steps) => unreachable!("publishing goes on for ever"),
        };
        self.network = None;
        self.held.rest();
        match notes {
            Ok(Ok(finished)) => Ok(finished),
            Ok(Err(failure)) => Err(Outcome::Failed(failure)),
            Err(panic) => {
                tracing::error!(task.id = %self.claim.id, %panic, "the network panicked");
                Err(Outcome::Failed(Failure::internal(
                    "engine_panicked",
                    "the network ended with a panic; the worker's log has it",
                )))
            }
        }
    }

    /// Hands the notes to the API, tried until it takes them: the lease sets the bound.
    async fn store(&self, finished: Finished) -> Outcome {
        let wall = self.started.elapsed();
        let result = match service::Result::render(&self.claim.model, finished, wall) {
            Ok(result) => result,
            Err(error) => {
                return Outcome::Failed(Failure::internal("notes_invalid", error.to_string()));
            }
        };
        let stage = Progress {
            stage: "store".into(),
            // The notes are there: a bar that fell back to nothing would say the opposite.
            current: 1,
            total: 1,
        };
        // Only a courtesy to whoever watches.
        let _ = self
            .worker
            .queue
            .progress(&self.claim.id, &self.claim.token, &stage)
            .await;
        let mut outage = self.outage();
        loop {
            match self
                .worker
                .api
                .store(&self.claim.id, &self.claim.token, &result)
                .await
            {
                Ok(Stored::Now) => {
                    return Outcome::Stored {
                        notes: result.notes,
                        wall,
                    };
                }
                Ok(Stored::Already) => {
                    return Outcome::Stored {
                        notes: result.notes,
                        wall,
                    };
                }
                Err(CallError::Away(reason) | CallError::Damaged(reason)) => {
                    self.pause(&mut outage, &reason).await
                }
                Err(error) => return error.into_outcome("store its notes"),
            }
        }
    }

    /// This machine's disk does not serve: that is not the task's fault, and another worker may have it at once.
    fn no_room(&self, reason: impl Into<String>) -> Outcome {
        let (workspace, timing) = (&self.worker.workspace, &self.worker.config.timing);
        // Before the task goes back, or this worker would be the first to claim it again.
        workspace.failed(self.claim.payload.bytes.max(1), timing);
        Outcome::NoRoom(reason.into())
    }

    fn outage(&self) -> Outage {
        Outage::new(
            self.worker.config.timing.outage_base,
            self.worker.config.timing.outage_cap,
        )
    }

    async fn pause(&self, outage: &mut Outage, reason: &str) {
        let pause = outage.failed();
        if outage.is_new() {
            tracing::warn!(task.id = %self.claim.id, reason, "the API does not serve; trying while the lease lives");
        }
        tokio::time::sleep(pause).await;
    }
}

/// Publishes the latest step at the configured pace, and nothing when there is no new one.
async fn publish(worker: &Worker, held: &Held, steps: watch::Receiver<Option<Progress>>) {
    let mut last = None;
    let mut pace =
        tokio::time::interval(worker.config.timing.progress.max(Duration::from_millis(1)));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let Some(step) = steps.borrow().clone() else {
            continue;
        };
        if last.as_ref() == Some(&step) {
            continue;
        }
        match worker.queue.progress(&held.id, &held.token, &step).await {
            Ok(true) => last = Some(step),
            Ok(false) => held.end(Ending::Lost),
            // The heartbeat reports an outage; progress is only for display.
            Err(error) => tracing::debug!(task.id = %held.id, %error, "progress was not published"),
        }
    }
}

//! One song's two threads: preparing (recording -> segments) and collecting (outputs in song order -> notes).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lane::{Lane, Place, Reply};
use super::{Finished, SongEvent, SongRequest, Stage, Submission};
use crate::Error;
use crate::guard::guarded;
use crate::network::{Decoded, Network, Song};
use crate::precision::Precision;

/// Cancels a song between two batches.
#[derive(Clone)]
pub struct CancelHandle {
    cancel: Arc<dyn Fn() + Send + Sync>,
}

impl CancelHandle {
    pub fn cancel(&self) {
        (self.cancel)();
    }

    /// For a song that never began.
    pub(super) fn idle() -> Self {
        CancelHandle {
            cancel: Arc::new(|| ()),
        }
    }
}

/// How a result came to be: goes into the notes JSON and the MIDI file.
pub(super) struct Provenance {
    pub(super) model: String,
    pub(super) model_digest: String,
    pub(super) options: Value,
    pub(super) profile: &'static str,
    pub(super) device: String,
    pub(super) precision: Precision,
}

impl Provenance {
    fn to_json(&self, audio_seconds: f64) -> Value {
        json!({
            "app": "whatsthetab",
            "version": env!("CARGO_PKG_VERSION"),
            "model": {"name": self.model, "digest": self.model_digest},
            "profile": self.profile,
            "options": self.options,
            "device": self.device,
            "precision": self.precision.as_str(),
            "audio_seconds": (audio_seconds * 1000.0).round() / 1000.0,
        })
    }
}

/// Starts both threads.
pub(super) fn start<N, S>(
    lane: &Arc<Lane<N>>,
    request: SongRequest,
    song: S,
    provenance: Provenance,
) -> Submission
where
    N: Network + 'static,
    S: Song<Segment = N::Segment, Output = N::Output>,
{
    let started = Instant::now();
    let (place, replies) = lane.enter(request.parity);
    let (events, receiver) = mpsc::channel();
    let cancel = {
        let (lane, flag, sender) = (
            Arc::clone(lane),
            Arc::clone(&place.cancelled),
            place.replies.clone(),
        );
        CancelHandle {
            cancel: Arc::new(move || {
                flag.store(true, Ordering::Relaxed);
                let _ = sender.send(Reply::Failed(Error::Cancelled));
                lane.wake();
            }),
        }
    };
    let collector = Collector {
        lane: Arc::clone(lane),
        song_number: place.song,
        events: events.clone(),
        provenance,
        started,
        busy: Duration::ZERO,
        device_time: Duration::ZERO,
    };
    let number = place.song;
    let spawned = spawn(lane, place, request, song, collector, replies);
    if let Err(source) = spawned {
        // Whichever thread began sees that the song has gone.
        lane.leave(number);
        let _ = events.send(SongEvent::Done(Err(Error::Store {
            what: "cannot start a song's threads".into(),
            source,
        })));
    }
    Submission {
        events: receiver,
        cancel,
    }
}

fn spawn<N, S>(
    lane: &Arc<Lane<N>>,
    place: Place<N>,
    request: SongRequest,
    song: S,
    collector: Collector<N>,
    replies: mpsc::Receiver<Reply<N::Output>>,
) -> std::io::Result<()>
where
    N: Network + 'static,
    S: Song<Segment = N::Segment, Output = N::Output>,
{
    let lane = Arc::clone(lane);
    // The song's state cuts its segments before the collector takes it over.
    let (to_collector, from_preparer) = mpsc::channel();
    std::thread::Builder::new()
        .name("prepare".into())
        .spawn(move || {
            let recording = guarded(|| {
                Ok(audio::Recording::open(
                    request.source,
                    request.extension.as_deref(),
                    request.limits,
                )?)
            });
            let segments = recording.and_then(|recording| guarded(|| song.segments(recording)));
            match segments {
                Ok(mut segments) => {
                    let _ = to_collector.send(Ok((song, segments.expected())));
                    let reply = prepare(&lane, &place, segments.as_mut());
                    let _ = place.replies.send(reply);
                }
                Err(error) => {
                    let _ = to_collector.send(Err(error));
                }
            }
        })?;
    std::thread::Builder::new()
        .name("collect".into())
        .spawn(move || match from_preparer.recv() {
            Ok(Ok((song, expected))) => collector.run(song, expected, &replies),
            Ok(Err(error)) => collector.end(Err(error)),
            Err(_) => collector.end(Err(Error::Stopped)),
        })?;
    Ok(())
}

fn prepare<N: Network>(
    lane: &Lane<N>,
    place: &Place<N>,
    segments: &mut dyn crate::network::Segments<Segment = N::Segment>,
) -> Reply<N::Output> {
    let mut count = 0;
    loop {
        match guarded(|| segments.next()) {
            Ok(Some(segment)) => {
                if !lane.push(place.song, segment) {
                    return Reply::Failed(Error::Cancelled);
                }
                count += 1;
            }
            Ok(None) => break,
            Err(error) => return Reply::Failed(error),
        }
    }
    lane.prepared(place.song);
    let recording = segments.recording();
    let warnings = recording
        .warnings()
        .iter()
        .map(ToString::to_string)
        .collect();
    Reply::Prepared {
        segments: count,
        audio_seconds: recording.seconds_read(),
        warnings,
    }
}

struct Collector<N: Network> {
    lane: Arc<Lane<N>>,
    song_number: u64,
    events: mpsc::Sender<SongEvent>,
    provenance: Provenance,
    started: Instant,
    busy: Duration,
    device_time: Duration,
}

impl<N: Network> Collector<N> {
    fn run<S>(
        mut self,
        mut song: S,
        expected: Option<u64>,
        replies: &mpsc::Receiver<Reply<N::Output>>,
    ) where
        S: Song<Segment = N::Segment, Output = N::Output>,
    {
        self.progress(Stage::Decode, 0, expected);
        let mut early = BTreeMap::new();
        let (mut taken, mut follow_ups) = (0, 0);
        let mut prepared: Option<(usize, f64, Vec<String>)> = None;
        let result = loop {
            let Ok(reply) = replies.recv() else {
                break Err(Error::Stopped);
            };
            match reply {
                Reply::Failed(error) => break Err(error),
                Reply::Prepared {
                    segments,
                    audio_seconds,
                    warnings,
                } => prepared = Some((segments, audio_seconds, warnings)),
                Reply::Output {
                    index,
                    output,
                    busy,
                    device,
                } => {
                    self.busy += busy;
                    self.device_time += device;
                    early.insert(index, output);
                    let seen = (taken + early.len()) as u64;
                    let total = prepared
                        .as_ref()
                        .map(|(segments, ..)| (*segments + follow_ups) as u64)
                        .or(expected);
                    self.progress(Stage::Inference, seen, total.map(|total| total.max(seen)));
                }
            }
            match take_in_order(&mut song, &mut early, &mut taken) {
                Ok(asked) => {
                    follow_ups += asked.len();
                    asked
                        .into_iter()
                        .for_each(|segment| self.lane.push_follow_up(self.song_number, segment));
                }
                Err(error) => break Err(error),
            }
            if let Some((segments, audio_seconds, warnings)) = &mut prepared
                && taken == *segments + follow_ups
            {
                self.progress(Stage::Notes, 0, None);
                break guarded(|| song.finish())
                    .map(|decoded| (decoded, *audio_seconds, std::mem::take(warnings)));
            }
        };
        let finished = result.map(|(decoded, audio_seconds, warnings)| {
            self.finished(decoded, audio_seconds, warnings)
        });
        self.end(finished);
    }

    fn finished(
        &self,
        decoded: Decoded,
        audio_seconds: f64,
        mut warnings: Vec<String>,
    ) -> Box<Finished> {
        warnings.extend(decoded.warnings);
        Box::new(Finished {
            transcript: music::Transcript {
                schema: 1,
                provenance: self.provenance.to_json(audio_seconds),
                notes: decoded.notes,
                pedals: decoded.pedals,
            },
            audio_seconds,
            busy: self.busy,
            device_time: self.device_time,
            wall: self.started.elapsed(),
            warnings,
            model_digest: self.provenance.model_digest.clone(),
            device: self.provenance.device.clone(),
        })
    }

    /// The owner may have gone; then nobody wants to know.
    fn progress(&self, stage: Stage, current: u64, total: Option<u64>) {
        let _ = self.events.send(SongEvent::Progress {
            stage,
            current,
            total,
        });
    }

    fn end(self, result: Result<Box<Finished>, Error>) {
        self.lane.leave(self.song_number);
        let _ = self.events.send(SongEvent::Done(result));
    }
}

/// Hands the outputs that are next in song order to the song; returns the segments that it asks for.
fn take_in_order<S: Song>(
    song: &mut S,
    early: &mut BTreeMap<usize, S::Output>,
    taken: &mut usize,
) -> Result<Vec<S::Segment>, Error> {
    let mut asked = Vec::new();
    while let Some(output) = early.remove(taken) {
        asked.extend(guarded(|| song.notes(output))?);
        *taken += 1;
    }
    Ok(asked)
}

//! One queue as a scaler sees it, in one call.

use std::collections::BTreeMap;

use crate::script::Answer;
use crate::{Error, Queue, QueueName, script};

/// Ready tasks per list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub alone: u64,
    pub high: u64,
    pub normal: u64,
    pub low: u64,
}

impl Depth {
    pub fn total(&self) -> u64 {
        self.alone + self.high + self.normal + self.low
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// As it stands in the list; a stray need not be an id of ours.
    pub id: String,
    /// Empty where the id was moved without a claim.
    pub worker: String,
    pub model: String,
    pub audio_ms: u64,
    pub age_ms: u64,
    pub alone: bool,
}

/// Decayed sums of what one worker did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RealTimeFactor {
    pub audio_ms: f64,
    pub busy_ms: f64,
    /// Completions folded in, not decayed.
    pub samples: u64,
}

impl RealTimeFactor {
    /// Milliseconds of audio per busy millisecond of one worker: queued work divided by it is time to drain.
    pub fn factor(&self) -> Option<f64> {
        (self.busy_ms > 0.0).then(|| self.audio_ms / self.busy_ms)
    }
}

/// A worker with a heartbeat not older than its time to live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerSeen {
    pub worker: String,
    pub state: String,
    pub pod: String,
    pub pod_uid: String,
    pub pool: String,
    pub models: Vec<String>,
    pub slots: u32,
    pub held: u32,
    pub heartbeat_age_ms: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The server's clock.
    pub now_ms: u64,
    pub depth: Depth,
    /// Waiting for their time, all queues.
    pub delayed: u64,
    /// Suspended, all queues.
    pub parked: u64,
    /// Model -> queued audio ms of this queue.
    pub work_ms: BTreeMap<String, u64>,
    /// Tasks of this queue in processing.
    pub in_flight_count: u64,
    /// The oldest 1,000 of them.
    pub in_flight: Vec<InFlight>,
    /// All workers of all queues (a worker names its queues only in a claim).
    pub workers: Vec<WorkerSeen>,
    /// Raw members of `task:drain`: worker ids and `pod:{uid}`.
    pub draining: Vec<String>,
    /// How long the oldest ready task of this queue has been waiting.
    pub oldest_wait_ms: Option<u64>,
    /// By model.
    pub rtf: BTreeMap<String, RealTimeFactor>,
    pub paused: bool,
}

impl Queue {
    pub async fn observe(&self, queue: &QueueName) -> Result<Observation, Error> {
        let keys = &self.keys;
        let mut names = vec![
            keys.work(),
            keys.inflight(),
            keys.real_time_factors(),
            keys.drain(),
            keys.paused(),
            keys.worker_index(),
        ];
        names.extend(keys.lists(queue));
        let answer = self
            .run(&script::OBSERVE, &names, vec![queue.to_string()])
            .await?;
        let [
            now,
            paused,
            depths,
            delayed,
            parked,
            work,
            in_flight_count,
            in_flight,
            workers,
            draining,
            oldest,
            rtf,
        ] = answer.fields()?;
        let [alone, high, normal, low] = depths.fields()?;
        Ok(Observation {
            now_ms: now.unsigned()?,
            depth: Depth {
                alone: alone.unsigned()?,
                high: high.unsigned()?,
                normal: normal.unsigned()?,
                low: low.unsigned()?,
            },
            delayed: delayed.unsigned()?,
            parked: parked.unsigned()?,
            work_ms: pairs(work)?
                .into_iter()
                .map(|(model, ms)| Ok((model, ms.unsigned()?)))
                .collect::<Result<_, Error>>()?,
            in_flight_count: in_flight_count.unsigned()?,
            in_flight: in_flight
                .list()?
                .into_iter()
                .map(read_in_flight)
                .collect::<Result<_, _>>()?,
            workers: workers
                .list()?
                .into_iter()
                .map(read_worker)
                .collect::<Result<_, _>>()?,
            draining: draining.list()?.iter().map(Answer::text).collect(),
            oldest_wait_ms: oldest.optional()?,
            rtf: pairs(rtf)?
                .into_iter()
                .map(|(model, sums)| (model, read_factor(&sums.text())))
                .collect(),
            paused: paused.number()? == 1,
        })
    }
}

fn pairs(answer: Answer) -> Result<Vec<(String, Answer)>, Error> {
    let mut out = Vec::new();
    let mut list = answer.list()?.into_iter();
    while let (Some(name), Some(value)) = (list.next(), list.next()) {
        out.push((name.text(), value));
    }
    Ok(out)
}

fn read_in_flight(answer: Answer) -> Result<InFlight, Error> {
    let [id, worker, model, audio, age, alone] = answer.fields()?;
    Ok(InFlight {
        id: id.text(),
        worker: worker.text(),
        model: model.text(),
        audio_ms: audio.unsigned()?,
        age_ms: age.unsigned()?,
        alone: alone.text() == "1",
    })
}

fn read_worker(answer: Answer) -> Result<WorkerSeen, Error> {
    let [worker, state, pod, pod_uid, pool, models, slots, held, age] = answer.fields()?;
    Ok(WorkerSeen {
        worker: worker.text(),
        state: state.text(),
        pod: pod.text(),
        pod_uid: pod_uid.text(),
        pool: pool.text(),
        models: models
            .text()
            .split(',')
            .filter(|model| !model.is_empty())
            .map(str::to_owned)
            .collect(),
        slots: slots.unsigned()? as u32,
        held: held.unsigned()? as u32,
        heartbeat_age_ms: age.unsigned()?,
    })
}

fn read_factor(sums: &str) -> RealTimeFactor {
    let mut numbers = sums
        .split(' ')
        .map(|number| number.parse::<f64>().unwrap_or(0.0));
    let mut next = || numbers.next().unwrap_or(0.0);
    RealTimeFactor {
        audio_ms: next(),
        busy_ms: next(),
        samples: next() as u64,
    }
}

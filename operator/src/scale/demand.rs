//! What there is to do: the queue's own numbers, turned into time of one worker by the speed that was measured.

use std::collections::BTreeMap;

use queue::RealTimeFactor;

/// Before so many tasks the measured speed is not believed.
const ENOUGH_SAMPLES: u64 = 5;
/// What a task still needs when it has already taken longer than expected: this part of it, and at least a second.
const OVERRUN: i64 = 10;

/// Milliseconds of audio that one busy worker does in a millisecond, by model; what to expect before it was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    pub expected: BTreeMap<String, f64>,
    pub default: f64,
}

impl Factors {
    /// Milliseconds of one worker for so much audio.
    pub fn work_ms(
        &self,
        model: &str,
        audio_ms: u64,
        measured: &BTreeMap<String, RealTimeFactor>,
    ) -> i64 {
        let factor = measured
            .get(model)
            .filter(|sums| sums.samples >= ENOUGH_SAMPLES)
            .and_then(RealTimeFactor::factor)
            .or_else(|| self.expected.get(model).copied())
            .unwrap_or(self.default);
        let factor = if factor.is_finite() && factor > 1e-6 {
            factor
        } else {
            1.0
        };
        // Saturates, which is what an absurd length deserves.
        (audio_ms as f64 / factor).ceil() as i64
    }
}

/// One task that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    pub id: String,
    pub worker: String,
    /// What is left of it, in milliseconds of this worker.
    pub left_ms: i64,
}

/// The queue of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Nobody is given tasks at present.
    pub held: bool,
    pub queued: i64,
    pub queued_ms: i64,
    /// The exact number; `running` may be cut off at a thousand.
    pub running_tasks: i64,
    pub running: Vec<Running>,
    pub oldest_wait_ms: i64,
}

impl Demand {
    pub fn read(seen: &queue::Observation, factors: &Factors) -> Self {
        let mut together: BTreeMap<&str, i64> = BTreeMap::new();
        for task in &seen.in_flight {
            *together.entry(&task.worker).or_default() += 1;
        }
        let running = seen
            .in_flight
            .iter()
            .map(|task| {
                let whole_ms = factors.work_ms(&task.model, task.audio_ms, &seen.rtf);
                // Several songs of one worker share its time.
                let sharing = together
                    .get(task.worker.as_str())
                    .copied()
                    .unwrap_or(1)
                    .max(1);
                let done_ms = i64::try_from(task.age_ms).unwrap_or(i64::MAX) / sharing;
                Running {
                    id: task.id.clone(),
                    worker: task.worker.clone(),
                    left_ms: (whole_ms - done_ms).max(whole_ms / OVERRUN).max(1000),
                }
            })
            .collect();
        let queued_ms = seen
            .work_ms
            .iter()
            .map(|(model, audio_ms)| factors.work_ms(model, *audio_ms, &seen.rtf))
            .fold(0, i64::saturating_add);
        Demand {
            held: seen.paused,
            queued: i64::try_from(seen.depth.total()).unwrap_or(i64::MAX),
            queued_ms,
            running_tasks: i64::try_from(seen.in_flight_count).unwrap_or(i64::MAX),
            running,
            oldest_wait_ms: i64::try_from(seen.oldest_wait_ms.unwrap_or(0)).unwrap_or(i64::MAX),
        }
    }

    /// What is left on each worker.
    fn by_worker(&self) -> BTreeMap<&str, i64> {
        let mut left: BTreeMap<&str, i64> = BTreeMap::new();
        for task in &self.running {
            let sum = left.entry(&task.worker).or_default();
            *sum = sum.saturating_add(task.left_ms);
        }
        left
    }

    /// What is left on each busy worker.
    pub(super) fn left_by_worker_ms(&self) -> impl Iterator<Item = i64> {
        self.by_worker().into_values()
    }

    pub fn busy(&self) -> i64 {
        self.by_worker().len() as i64
    }

    pub fn running_ms(&self) -> i64 {
        self.running
            .iter()
            .map(|task| task.left_ms)
            .fold(0, i64::saturating_add)
    }

    /// What is left on all workers, of each no more than `target_ms`.
    pub fn bound_ms(&self, target_ms: i64) -> i64 {
        self.by_worker()
            .values()
            .map(|left_ms| (*left_ms).min(target_ms))
            .fold(0, i64::saturating_add)
    }
}

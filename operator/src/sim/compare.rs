//! Both rules on one trace, and what is promised about it.

use super::{Keda, Ours, Scaler, Trace, World, generate};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    pub tasks: usize,
    pub unfinished: usize,
    pub gpu_hours: f64,
    /// From the arrival to the end, less the work itself.
    pub p50_wait_s: f64,
    pub p95_wait_s: f64,
    pub descents: u64,
    pub busy_kills: u64,
}

#[derive(Clone, Debug)]
pub struct Comparison {
    pub trace: String,
    pub about: String,
    pub ours: Outcome,
    /// Ours when twice as much time is allowed for the work.
    pub patient: Outcome,
    pub keda: Outcome,
}

/// `targetDrainSeconds` of a pool that does not say it.
const TARGET_S: i64 = 120;

impl Comparison {
    pub fn gpu_ratio(&self) -> f64 {
        self.ours.gpu_hours / self.keda.gpu_hours
    }

    pub fn wait_ratio(&self) -> f64 {
        self.ours.p95_wait_s / self.keda.p95_wait_s
    }

    /// In none of the two more than a twentieth worse, in one of them better. Where it is not so, ours is the quick one: the
    /// short waits that a target of two minutes asks for cost some GPU time. docs/scaling.md tells each case.
    pub fn holds(&self) -> bool {
        let (gpu, wait) = (self.gpu_ratio(), self.wait_ratio());
        gpu <= 1.05 && wait <= 1.05 && (gpu < 1.0 || wait < 1.0)
    }

    /// Dearer by at most a quarter, and in return the wait is less than half.
    pub fn bought(&self) -> bool {
        self.gpu_ratio() <= 1.25 && self.wait_ratio() <= 0.5
    }

    pub fn better_in_both(&self) -> bool {
        self.gpu_ratio() < 1.0 && self.wait_ratio() < 1.0
    }
}

pub fn compare(trace: &Trace, seed: u64) -> Comparison {
    Comparison {
        trace: trace.name.clone(),
        about: trace.about.clone(),
        ours: outcome(trace, seed, &mut Ours::new(trace.max_replicas, TARGET_S)),
        patient: outcome(
            trace,
            seed,
            &mut Ours::new(trace.max_replicas, 2 * TARGET_S),
        ),
        keda: outcome(trace, seed, &mut Keda::default()),
    }
}

pub fn outcome(trace: &Trace, seed: u64, scaler: &mut dyn Scaler) -> Outcome {
    let mut world = World::new(trace, seed);
    world.run(scaler);
    let mut waits_ms: Vec<i64> = world
        .tasks
        .iter()
        .filter_map(|task| Some(task.finished_ms? - task.arrived_ms - task.work_ms))
        .collect();
    waits_ms.sort_unstable();
    let quantile = |part: f64| {
        let place =
            ((waits_ms.len() as f64 * part).ceil() as usize).clamp(1, waits_ms.len().max(1)) - 1;
        waits_ms.get(place).map_or(0.0, |ms| *ms as f64 / 1000.0)
    };
    Outcome {
        tasks: world.tasks.len(),
        unfinished: world.tasks.len() - waits_ms.len(),
        gpu_hours: world.gpu_ms as f64 / 3_600_000.0,
        p50_wait_s: quantile(0.5),
        p95_wait_s: quantile(0.95),
        descents: world.descents,
        busy_kills: world.busy_kills,
    }
}

/// Traces of all kinds with ever new seeds until our rule has taken so many workers away: (taken away, busy among them, unfinished tasks).
pub fn descents(at_least: u64, seed: u64) -> (u64, u64, usize) {
    let (mut all, mut busy, mut unfinished) = (0, 0, 0);
    let mut round = seed;
    while all < at_least {
        round += 1000;
        for trace in generate(round) {
            let outcome = outcome(&trace, round, &mut Ours::new(trace.max_replicas, TARGET_S));
            all += outcome.descents;
            busy += outcome.busy_kills;
            unfinished += outcome.unfinished;
        }
    }
    (all, busy, unfinished)
}

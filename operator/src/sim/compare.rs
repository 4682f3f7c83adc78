//! Both rules on one trace, and what is promised about it.

use super::{Keda, Ours, Scaler, Trace, World, generate};

/// Of one run, or of several: then hours and waits are means, and counts are sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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

    /// In none of the two more than a twentieth worse, in one of them better. Where it is not so, docs/scaling.md tells why.
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

impl Outcome {
    fn of(runs: &[Outcome]) -> Self {
        let mean = |value: fn(&Outcome) -> f64| {
            runs.iter().map(value).sum::<f64>() / runs.len().max(1) as f64
        };
        Outcome {
            tasks: runs.first().map_or(0, |run| run.tasks),
            unfinished: runs.iter().map(|run| run.unfinished).sum(),
            gpu_hours: mean(|run| run.gpu_hours),
            p50_wait_s: mean(|run| run.p50_wait_s),
            p95_wait_s: mean(|run| run.p95_wait_s),
            descents: runs.iter().map(|run| run.descents).sum(),
            busy_kills: runs.iter().map(|run| run.busy_kills).sum(),
        }
    }
}

/// Both rules, once for each seed: it chooses how long nodes take, whom nodes take with them, and whom KEDA's rule ends.
pub fn compare(trace: &Trace, seeds: std::ops::Range<u64>) -> Comparison {
    let with = |make: &dyn Fn() -> Box<dyn Scaler>| {
        let runs: Vec<Outcome> = seeds
            .clone()
            .map(|seed| outcome(trace, seed, &mut *make()))
            .collect();
        Outcome::of(&runs)
    };
    let ours =
        |target_s| move || Box::new(Ours::new(trace.max_replicas, target_s)) as Box<dyn Scaler>;
    Comparison {
        trace: trace.name.clone(),
        about: trace.about.clone(),
        ours: with(&ours(TARGET_S)),
        patient: with(&ours(2 * TARGET_S)),
        keda: with(&|| Box::new(Keda::default())),
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

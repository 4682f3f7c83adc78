//! Recorded arrivals: what came when, how much work it was, how much was expected, and when nodes died. The files in
//! `operator/traces/` are what `operator-sim --write-traces` made once; results are compared over them, so they stay.

use std::fmt::Write;

use super::Chance;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub at_ms: i64,
    /// Time of one worker.
    pub work_ms: i64,
    /// The same as length and measured speed would have it.
    pub expected_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    pub name: String,
    pub about: String,
    /// From a pod's creation to its first task.
    pub cold_ms: (i64, i64),
    pub max_replicas: i32,
    pub arrivals: Vec<Arrival>,
    /// When a node dies under a worker.
    pub deaths_ms: Vec<i64>,
}

const FILES: &[&str] = &[
    include_str!("../../traces/poisson.csv"),
    include_str!("../../traces/bursts.csv"),
    include_str!("../../traces/long.csv"),
    include_str!("../../traces/mixed.csv"),
    include_str!("../../traces/cold.csv"),
    include_str!("../../traces/deaths.csv"),
    include_str!("../../traces/trickle.csv"),
    include_str!("../../traces/day.csv"),
];

/// The traces of the repository.
pub fn committed() -> Vec<Trace> {
    FILES.iter().filter_map(|text| Trace::read(text)).collect()
}

impl Trace {
    pub fn write(&self) -> String {
        let mut text = format!(
            "# name={}\n# about={}\n# cold_ms={}..{}\n# max_replicas={}\n",
            self.name, self.about, self.cold_ms.0, self.cold_ms.1, self.max_replicas
        );
        let deaths: Vec<String> = self.deaths_ms.iter().map(i64::to_string).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# deaths_ms={}", deaths.join(" "));
        text.push_str("at_ms,work_ms,expected_ms\n");
        for arrival in &self.arrivals {
            let _ = writeln!(
                text,
                "{},{},{}",
                arrival.at_ms, arrival.work_ms, arrival.expected_ms
            );
        }
        text
    }

    /// `None` where the text is no trace.
    pub fn read(text: &str) -> Option<Trace> {
        let field = |name: &str| {
            text.lines().find_map(|line| {
                line.strip_prefix("# ")?
                    .strip_prefix(name)?
                    .strip_prefix('=')
            })
        };
        let (low, high) = field("cold_ms")?.split_once("..")?;
        let arrivals = text
            .lines()
            .skip_while(|line| line.starts_with('#'))
            .skip(1)
            .map(|line| {
                let mut numbers = line.split(',').map(|number| number.parse().ok());
                Some(Arrival {
                    at_ms: numbers.next()??,
                    work_ms: numbers.next()??,
                    expected_ms: numbers.next()??,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Trace {
            name: field("name")?.to_owned(),
            about: field("about")?.to_owned(),
            cold_ms: (low.parse().ok()?, high.parse().ok()?),
            max_replicas: field("max_replicas")?.parse().ok()?,
            arrivals,
            deaths_ms: field("deaths_ms")?
                .split_whitespace()
                .map(|at| at.parse().ok())
                .collect::<Option<_>>()?,
        })
    }
}

const SECOND: f64 = 1000.0;
const HOUR: f64 = 3_600_000.0;

struct Maker {
    chance: Chance,
    trace: Trace,
}

impl Maker {
    fn new(name: &str, about: &str, cold_s: (i64, i64), seed: u64) -> Self {
        Maker {
            chance: Chance::new(seed),
            trace: Trace {
                name: name.to_owned(),
                about: about.to_owned(),
                cold_ms: (cold_s.0 * 1000, cold_s.1 * 1000),
                max_replicas: 8,
                arrivals: Vec::new(),
                deaths_ms: Vec::new(),
            },
        }
    }

    /// What is expected is off by up to a third, either way.
    fn task(&mut self, at_ms: f64, work_ms: f64) {
        let work_ms = work_ms.max(SECOND);
        let expected_ms = work_ms * self.chance.between(0.7, 1.35);
        self.trace.arrivals.push(Arrival {
            at_ms: at_ms as i64,
            work_ms: work_ms as i64,
            expected_ms: expected_ms as i64,
        });
    }

    /// Independent arrivals over `hours`, `mean_s` of work each, that keep `load` workers busy.
    fn poisson(mut self, hours: f64, load: impl Fn(f64) -> f64, mean_s: f64) -> Self {
        let mut at_ms = 0.0;
        loop {
            let now_load = load(at_ms / HOUR).max(0.01);
            at_ms += self.chance.exponential(mean_s * SECOND / now_load);
            if at_ms > hours * HOUR {
                return self;
            }
            let work_ms = self.chance.exponential(mean_s * SECOND);
            self.task(at_ms, work_ms);
        }
    }

    fn bursts(mut self, times: usize, every_min: f64, size: usize, work_s: (f64, f64)) -> Self {
        for burst in 0..times {
            let begin_ms =
                (burst as f64 + self.chance.between(0.0, 0.4)) * every_min * 60.0 * SECOND;
            for number in 0..size {
                let work_ms = self.chance.between(work_s.0, work_s.1) * SECOND;
                self.task(begin_ms + number as f64 * 50.0, work_ms);
            }
        }
        self
    }

    fn done(mut self) -> Trace {
        self.trace.arrivals.sort_by_key(|arrival| arrival.at_ms);
        self.trace
    }
}

/// All of them anew; other seeds make other traces of the same kinds.
pub fn generate(seed: u64) -> Vec<Trace> {
    let mut traces = Vec::new();
    let steady = Maker::new(
        "poisson",
        "independent arrivals, three workers' work, 40 s each",
        (60, 60),
        seed + 1,
    );
    traces.push(steady.poisson(6.0, |_| 3.0, 40.0).done());
    let bursts = Maker::new(
        "bursts",
        "60 recordings at once every 40 minutes",
        (90, 90),
        seed + 2,
    );
    traces.push(bursts.bursts(9, 40.0, 60, (15.0, 45.0)).done());
    let mut long = Maker::new(
        "long",
        "recordings of 8 to 40 minutes of work",
        (120, 120),
        seed + 3,
    );
    let mut at_ms = 0.0;
    for _ in 0..40 {
        at_ms += long.chance.exponential(540.0 * SECOND);
        let work_ms = long.chance.between(480.0, 2400.0) * SECOND;
        long.task(at_ms, work_ms);
    }
    traces.push(long.done());
    let mut mixed = Maker::new(
        "mixed",
        "mostly short, now and then very long; nodes of 40 to 300 s",
        (40, 300),
        seed + 4,
    );
    let mut at_ms = 0.0;
    for _ in 0..400 {
        at_ms += mixed.chance.exponential(50.0 * SECOND);
        let rare = mixed.chance.unit() < 0.06;
        let work_ms = if rare {
            mixed.chance.between(600.0, 1800.0)
        } else {
            mixed.chance.exponential(30.0)
        } * SECOND;
        mixed.task(at_ms, work_ms);
    }
    traces.push(mixed.done());
    let cold = Maker::new(
        "cold",
        "30 recordings at once every 25 minutes; nodes of 300 s",
        (300, 300),
        seed + 5,
    );
    traces.push(cold.bursts(12, 25.0, 30, (20.0, 60.0)).done());
    let mut deaths = Maker::new(
        "deaths",
        "independent arrivals; a node dies every 10 minutes",
        (40, 120),
        seed + 6,
    )
    .poisson(5.0, |_| 3.0, 60.0)
    .done();
    deaths.deaths_ms = (1..30).map(|number| number * 600_000).collect();
    traces.push(deaths);
    let trickle = Maker::new(
        "trickle",
        "one recording every 8 minutes",
        (60, 60),
        seed + 7,
    );
    traces.push(trickle.poisson(8.0, |_| 0.1, 48.0).done());
    let day = Maker::new(
        "day",
        "a day: nothing at night, five workers' work at noon",
        (60, 180),
        seed + 8,
    );
    let load = |hour: f64| 5.0 * ((hour - 6.0) / 14.0 * std::f64::consts::PI).sin().max(0.0);
    traces.push(day.poisson(24.0, load, 60.0).done());
    traces
}

//! Runs histories, one seed after the other, on as many threads as asked for; makes a failing one small and prints it whole.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proptest::strategy::ValueTree;
use tokio::runtime::{Builder, Runtime};

use crate::plan::{Plan, PlanTree, Plans};
use crate::world::{Bug, Counts, Site, Violation, World};

/// At most this long, and so many tries, to make a failing history small.
const SHRINK_TIME: Duration = Duration::from_secs(30);
/// How many steps pass between two looks at everything that is not final. All answers are compared at once; what Redis holds
/// is read this often, which is often enough to tell which call did it: a failing history is run again with a look after each.
const CHECK_EVERY: usize = 5;

pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) first: Violation,
    pub(crate) violation: Violation,
    pub(crate) steps: usize,
    pub(crate) whole: usize,
    pub(crate) story: Vec<String>,
    pub(crate) plan: Plan,
}

impl Failure {
    pub(crate) fn text(&self) -> String {
        format!(
            "\nrule broken: {}\n  {}\nbefore it was made small: {}\n  {}\nthe history of seed {}, {:?}, made small from {} steps to {}:\n  {}\nits steps: {:?}\nrepeat with QUEUE_TEST_SEED={} QUEUE_TEST_HISTORIES=1\n",
            self.violation.rule,
            self.violation.what,
            self.first.rule,
            self.first.what,
            self.seed,
            self.plan.faults,
            self.whole,
            self.steps,
            self.story.join("\n  "),
            self.plan.steps,
            self.seed,
        )
    }
}

/// One thread's servers: a plain one for most histories, a fresh one with a file for each history with restarts.
pub(crate) struct Rig {
    runtime: Runtime,
    plain: Option<Site>,
    bug: Option<Bug>,
}

impl Rig {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => panic!("no runtime: {error}"),
        };
        Self {
            runtime,
            plain: None,
            bug,
        }
    }

    /// One history; the counts come back also when it fails.
    pub(crate) fn run(
        &mut self,
        plan: &Plan,
        check_every: usize,
        failed_at: &Rc<Cell<usize>>,
        story: Option<&mut Vec<String>>,
    ) -> (Counts, Result<(), Violation>) {
        let (runtime, bug) = (&self.runtime, self.bug);
        let mut fresh;
        let site = if plan.faults.restarts {
            fresh = match runtime.block_on(Site::start(true, bug)) {
                Ok(site) => site,
                Err(violation) => return (Counts::default(), Err(violation)),
            };
            &mut fresh
        } else {
            if self.plain.is_none() {
                match runtime.block_on(Site::start(false, bug)) {
                    Ok(site) => self.plain = Some(site),
                    Err(violation) => return (Counts::default(), Err(violation)),
                }
            }
            match &mut self.plain {
                Some(site) => site,
                None => return (Counts::default(), Ok(())),
            }
        };
        runtime.block_on(async {
            let mut world = match World::begin(site, plan.faults).await {
                Ok(world) => world,
                Err(violation) => return (Counts::default(), Err(violation)),
            };
            world.story = story.as_ref().map(|_| vec![]);
            let result = world.live(plan, check_every, failed_at).await;
            if let (Some(wanted), Some(told)) = (story, world.story.take()) {
                *wanted = told;
            }
            (world.counts, result)
        })
    }

    /// The smallest history found that fails, with all that happened in it.
    pub(crate) fn shrink(&mut self, seed: u64, mut tree: PlanTree, first: Violation) -> Failure {
        let failed_at = tree.failed_at.clone();
        let mut failing = (tree.current(), first.clone());
        let whole = failing.0.steps.len();
        let deadline = Instant::now() + SHRINK_TIME;
        // With a look after each step it fails sooner; unless it takes several steps between two looks.
        let every = match self.run(&failing.0, 1, &failed_at, None).1 {
            Err(_) => 1,
            Ok(()) => CHECK_EVERY,
        };
        let mut more = tree.simplify();
        while more && Instant::now() < deadline {
            let plan = tree.current();
            more = match self.run(&plan, every, &failed_at, None).1 {
                Err(violation) => {
                    failing = (plan, violation);
                    tree.simplify()
                }
                Ok(()) => tree.complicate(),
            };
        }
        let (plan, mut violation) = failing;
        let mut story = vec![];
        match self.run(&plan, every, &failed_at, Some(&mut story)).1 {
            Err(last) => violation = last,
            Ok(()) => story
                .push("(this time it did not fail: look for what depends on real time)".to_owned()),
        }
        Failure {
            seed,
            first,
            violation,
            steps: plan.steps.len(),
            whole,
            story,
            plan,
        }
    }
}

pub(crate) struct Outcome {
    pub(crate) histories: u64,
    pub(crate) counts: Counts,
    pub(crate) failure: Option<Failure>,
    pub(crate) took: Duration,
}

/// Histories `first..first + histories` of `steps` steps each.
pub(crate) fn histories(
    first: u64,
    histories: u64,
    steps: usize,
    threads: usize,
    progress: bool,
) -> Outcome {
    let begun = Instant::now();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        let (plans, mut rig) = (Plans::new(steps), Rig::new(None));
        let (mut counts, mut done) = (Counts::default(), 0);
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= histories || stop.load(Ordering::Relaxed) {
                return (counts, done, None, begun.elapsed());
            }
            let tree = plans.of(first + n);
            let (counted, result) =
                rig.run(&tree.current(), CHECK_EVERY, &tree.failed_at.clone(), None);
            counts.add(&counted);
            done += 1;
            if let Err(violation) = result {
                stop.store(true, Ordering::Relaxed);
                let took = begun.elapsed();
                let failure = rig.shrink(first + n, tree, violation);
                return (counts, done, Some(failure), took);
            }
            if progress && n > 0 && n % 200 == 0 {
                say(&format!(
                    "{n} of {histories} histories, {:.0} s",
                    begun.elapsed().as_secs_f64()
                ));
            }
        }
    };
    let mut outcome = Outcome {
        histories: 0,
        counts: Counts::default(),
        failure: None,
        took: Duration::ZERO,
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in all {
            match thread.join() {
                Ok((counts, done, failure, took)) => {
                    outcome.took = outcome.took.max(took);
                    outcome.counts.add(&counts);
                    outcome.histories += done;
                    outcome.failure = outcome.failure.take().or(failure);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    outcome
}

/// Until the bug shows, or the histories are used up: what showed it, and after how many steps.
pub(crate) fn hunt(bug: Bug, seed: u64, histories: u64, steps: usize) -> (u64, Option<Violation>) {
    let (plans, mut rig) = (Plans::new(steps), Rig::new(Some(bug)));
    let mut counts = Counts::default();
    for n in 0..histories {
        let tree = plans.of(seed + n);
        let (counted, result) =
            rig.run(&tree.current(), CHECK_EVERY, &tree.failed_at.clone(), None);
        counts.add(&counted);
        if let Err(violation) = result {
            return (counts.steps, Some(violation));
        }
    }
    (counts.steps, None)
}

/// The first history that shows the bug, made small.
pub(crate) fn hunt_and_shrink(bug: Bug, seed: u64, steps: usize) -> Option<Failure> {
    let (plans, mut rig) = (Plans::new(steps), Rig::new(Some(bug)));
    (seed..seed + 100).find_map(|seed| {
        let tree = plans.of(seed);
        let found = rig.run(&tree.current(), CHECK_EVERY, &tree.failed_at.clone(), None);
        Some(rig.shrink(seed, tree, found.1.err()?))
    })
}

#[expect(
    clippy::print_stderr,
    reason = "what a run was, for whoever must repeat it"
)]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

impl Outcome {
    pub(crate) fn text(&self) -> String {
        let counts = &self.counts;
        let calls: Vec<String> = counts
            .calls
            .iter()
            .map(|(call, n)| format!("{call} {n}"))
            .collect();
        let seconds = self.took.as_secs_f64();
        format!(
            "{} steps in {} histories, {} tasks, {} refused or repeated calls that changed nothing, {} restarts of Redis ({} lost the end of the file), {} looks at everything; {seconds:.1} s, {:.0} steps/s\ncalls: {}",
            counts.steps,
            self.histories,
            counts.tasks,
            counts.fenced,
            counts.restarts,
            counts.losses,
            counts.checks,
            counts.steps as f64 / seconds,
            calls.join(", "),
        )
    }
}

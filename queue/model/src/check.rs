//! Runs a size to its end, and tells what was seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::model::QueueModel;
use crate::planted::Bug;
use crate::property::Name;
use crate::size::{Rules, Size};
use crate::step::Action;

/// A property that broke, and the way there.
#[derive(Debug)]
pub struct Counterexample {
    pub property: Name,
    pub actions: Vec<Action>,
    pub last: String,
}

#[derive(Debug)]
pub struct Outcome {
    /// Different states, and steps between them.
    pub unique: usize,
    pub steps: usize,
    /// Longest of the shortest ways to a state.
    pub depth: usize,
    pub took: Duration,
    /// Whether every state that was found was also visited, so that nothing was left to look at. Counted, because stateright's
    /// `is_done` says yes after every search, also after one that a broken property ended. No depth, count or time limits ours.
    pub exhausted: bool,
    pub broken: BTreeMap<Name, Counterexample>,
}

/// Looks at every state of the size, or as far as `until`.
pub fn check(size: Size, bug: Option<Bug>, until: HasDiscoveries, threads: usize) -> Outcome {
    let started = Instant::now();
    let visited = Arc::new(AtomicUsize::new(0));
    let model = QueueModel {
        rules: Rules { size, bug },
        visited: Arc::clone(&visited),
    };
    let checker = model
        .checker()
        .threads(threads)
        .finish_when(until)
        .spawn_bfs()
        .join();
    // Before the counterexamples are asked for: to find their ways they ask the model again.
    let visited = visited.load(Ordering::Relaxed);
    let unique = checker.unique_state_count();
    let broken: BTreeMap<Name, Counterexample> = checker
        .discoveries()
        .into_iter()
        .map(|(property, path)| {
            let last = format!("{:#?}", path.last_state());
            let actions = path.into_actions();
            let found = Counterexample {
                property,
                actions,
                last,
            };
            (property, found)
        })
        .collect();
    Outcome {
        unique,
        steps: checker.state_count(),
        depth: checker.max_depth(),
        took: started.elapsed(),
        exhausted: visited == unique,
        broken,
    }
}

/// Ends as soon as this property breaks.
pub fn until_broken(property: Name) -> HasDiscoveries {
    HasDiscoveries::AllOf([property].into())
}

//! Runs a size to its end, and tells what was seen.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::model::QueueModel;
use crate::planted::Bug;
use crate::property::{self, Name};
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
    /// Whether nothing was left to look at.
    pub exhausted: bool,
    pub broken: BTreeMap<Name, Counterexample>,
}

/// Looks at every state of the size, or as far as `until`.
pub fn check(size: Size, bug: Option<Bug>, until: HasDiscoveries, threads: usize) -> Outcome {
    let started = Instant::now();
    let model = QueueModel {
        rules: Rules { size, bug },
    };
    let stops_early = !matches!(until, HasDiscoveries::All);
    let checker = model
        .checker()
        .threads(threads)
        .finish_when(until)
        .spawn_bfs()
        .join();
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
        unique: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        took: started.elapsed(),
        exhausted: broken.is_empty() || (!stops_early && broken.len() < property::all().len()),
        broken,
    }
}

/// Ends as soon as this property breaks.
pub fn until_broken(property: Name) -> HasDiscoveries {
    HasDiscoveries::AllOf([property].into())
}

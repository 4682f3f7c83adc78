//! The model in the sizes that end in seconds, and every planted defect. `make model` looks at the full sizes.

use std::collections::BTreeSet;

use queue_model::check::{check, until_broken};
use queue_model::planted::{Bug, PLANTED};
use queue_model::property;
use queue_model::size::CI_SIZES;
use stateright::HasDiscoveries;

#[test]
fn every_property_holds_in_every_state() {
    for (name, size) in CI_SIZES {
        let outcome = check(*size, None, HasDiscoveries::AnyFailures, 2);
        println!(
            "{name}: {} states, depth {}, {:?}",
            outcome.unique, outcome.depth, outcome.took
        );
        assert!(outcome.broken.is_empty(), "{name}: {:#?}", outcome.broken);
        assert!(outcome.exhausted, "{name}: not all states were seen");
        assert!(
            outcome.unique > 10_000,
            "{name}: only {} states",
            outcome.unique
        );
    }
}

/// A search that could not say "not all seen" would prove nothing by saying that all was.
#[test]
fn a_search_that_a_broken_property_ended_did_not_see_all() {
    let (_, size) = CI_SIZES[0];
    // Breaks at the first claim, in a world of tens of thousands of states.
    let bug = Some(Bug::ClaimNotCounted);
    let outcome = check(size, bug, HasDiscoveries::AnyFailures, 1);
    assert!(outcome.broken.contains_key(property::W1), "{outcome:?}");
    assert!(!outcome.exhausted, "{} states", outcome.unique);
}

#[test]
fn every_planted_defect_breaks_its_property() {
    let mut unnoticed = Vec::new();
    for planted in PLANTED {
        let outcome = check(
            planted.size(),
            Some(planted.bug),
            until_broken(planted.breaks),
            1,
        );
        match outcome.broken.get(planted.breaks) {
            Some(found) => println!(
                "{:?}: {} after {} steps",
                planted.bug,
                planted.breaks,
                found.actions.len()
            ),
            None => unnoticed.push((planted.bug, planted.breaks, outcome.unique)),
        }
    }
    assert!(
        unnoticed.is_empty(),
        "planted, and not noticed: {unnoticed:#?}"
    );
}

/// A property that no defect can break says nothing.
#[test]
fn every_property_can_break() {
    let broken: BTreeSet<_> = PLANTED.iter().map(|planted| planted.breaks).collect();
    let idle: Vec<_> = property::all()
        .into_iter()
        .map(|property| property.name)
        .filter(|name| !broken.contains(name))
        .collect();
    assert!(idle.is_empty(), "no planted defect breaks {idle:?}");
}

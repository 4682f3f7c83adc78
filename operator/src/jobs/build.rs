//! What is to be said to the API about a job, if anything: a pure comparison of what is wanted with what it has.

use crate::ledger::{Item, Limits, Request};

use super::validate::Valid;

#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    Nothing,
    Put(Box<Request>),
    Suspend(bool),
}

/// `item` is what the API was last heard to have.
pub fn build(valid: &Valid, item: Option<&Item>, release: &str) -> Deed {
    match item {
        None => Deed::Put(Box::new(request(valid, release))),
        Some(item) if item.state.is_final() => Deed::Nothing,
        Some(item) if item.suspended != valid.spec.suspend => Deed::Suspend(valid.spec.suspend),
        Some(item) if another_ttl(item, valid) => Deed::Put(Box::new(request(valid, release))),
        Some(_) => Deed::Nothing,
    }
}

/// The address of the result is to hold as long as its job.
fn another_ttl(item: &Item, valid: &Valid) -> bool {
    let wanted = i64::from(valid.spec.ttl_seconds_after_finished);
    item.ttl_seconds.is_some_and(|known| known != wanted)
}

pub(super) fn request(valid: &Valid, release: &str) -> Request {
    let spec = &valid.spec;
    Request {
        source: spec.source.clone(),
        model: spec.model.clone(),
        options: spec.options.clone(),
        queue: spec.queue.clone(),
        priority: spec.priority,
        limits: Limits {
            backoff_limit: spec.backoff_limit,
            active_deadline_seconds: spec.active_deadline_seconds,
            queue_deadline_seconds: spec.queue_deadline_seconds,
            ttl_seconds_after_finished: spec.ttl_seconds_after_finished,
        },
        origin: origin(release, &valid.namespace),
        suspended: spec.suspend,
    }
}

pub fn origin(release: &str, namespace: &str) -> String {
    format!("{release}/{namespace}")
}

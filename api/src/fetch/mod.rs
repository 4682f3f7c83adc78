//! The sources that operators name, brought into the object store in the background: a few at once, of bounded size and time.
//! What is to be fetched stands in the database, so a restart loses nothing, and each row is taken by one replica for a while.
//!
//! Whoever stalls for longer than that may still finish storing its recording beside its successor's, under the same name. Then
//! the worker finds another hash than the row has and says so; that is rare enough not to have a name for each try.

mod address;
mod failure;
mod http;
mod one;

use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

pub(crate) use address::{Cidr, Policy};
pub(crate) use failure::code_of;
pub(crate) use one::{may_use, not_found};

use crate::state::{AppState, now_ms};
use http::Http;

/// How long a row is ours without a sign of life, and how often one is given.
const LEASE: Duration = Duration::from_secs(30);
const RENEW: Duration = Duration::from_secs(8);

/// What fetching needs, shared by route and loop.
pub(crate) struct Sources {
    http: Http,
    /// Rung when a row may have become due.
    wake: Notify,
}

impl Sources {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            http: Http::new(policy),
            wake: Notify::new(),
        }
    }

    pub(crate) fn policy(&self) -> &Policy {
        self.http.policy()
    }

    /// There is something to fetch.
    pub(crate) fn look(&self) {
        self.wake.notify_one();
    }
}

/// Takes what is due, as much as may run at once, until shutdown.
pub(crate) async fn run(state: &AppState) {
    let interval = Duration::from_millis(state.config.operator.fetch_interval_ms);
    let most = state.config.operator.max_fetches.max(1);
    let mut running = JoinSet::new();
    while !state.shutdown.is_cancelled() {
        let free = most - running.len();
        if free > 0 {
            let (owner, now) = (uuid::Uuid::now_v7().to_string(), now_ms());
            let until = now + ms(LEASE);
            match state.db.take_fetches(&owner, now, until, free).await {
                Ok(taken) => {
                    for fetch in taken {
                        running.spawn(one::run(state.clone(), fetch));
                    }
                }
                Err(cause) => {
                    metrics::counter!("wtt_loop_failures_total", "loop" => "fetches").increment(1);
                    tracing::warn!(loop.name = "fetches", %cause, "a loop failed; it tries again");
                }
            }
        }
        let free = running.len() < most;
        tokio::select! {
            Some(ended) = running.join_next() => {
                if let Err(cause) = ended {
                    tracing::error!(%cause, "a fetch panicked; its row is taken again when its time is over");
                }
            }
            () = state.sources.wake.notified(), if free => {}
            () = tokio::time::sleep(interval), if free => {}
            () = state.shutdown.cancelled() => {}
        }
    }
    // Each gives its row back.
    while running.join_next().await.is_some() {}
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

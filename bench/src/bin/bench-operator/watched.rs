//! What the cluster shows, by watches: how many replicas each Deployment asks for and since when, and who holds the Lease.
//! An observer beside the operator; it writes nothing.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::programs::LEASE_NAMESPACE;
use crate::stage::NAMESPACE;

/// A number, and when it was first seen.
type Replicas = HashMap<String, (i32, Instant)>;

#[derive(Debug)]
pub(crate) struct Watched {
    replicas: watch::Receiver<Replicas>,
    holder: watch::Receiver<(String, Instant)>,
}

impl Watched {
    /// Watches for as long as the runtime lives.
    pub(crate) fn start(client: &Client) -> Self {
        let (tell, replicas) = watch::channel(Replicas::new());
        let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
        tokio::spawn(async move {
            let events = watcher(api, watcher::Config::default()).default_backoff();
            let mut deployments = events.applied_objects().boxed();
            while let Some(next) = deployments.next().await {
                let at = Instant::now();
                let Ok(deployment) = next else { continue };
                let name = deployment.name_any();
                let count = deployment.spec.replicas.unwrap_or(1);
                tell.send_if_modified(|known| {
                    let new = known.get(&name).is_none_or(|(had, _)| *had != count);
                    if new {
                        known.insert(name, (count, at));
                    }
                    new
                });
            }
        });
        let (tell, holder) = watch::channel((String::new(), Instant::now()));
        let api: Api<Lease> = Api::namespaced(client.clone(), LEASE_NAMESPACE);
        tokio::spawn(async move {
            let events = watcher(api, watcher::Config::default()).default_backoff();
            let mut leases = events.applied_objects().boxed();
            while let Some(next) = leases.next().await {
                let at = Instant::now();
                let Ok(lease) = next else { continue };
                let holder = lease.spec.and_then(|spec| spec.holder_identity);
                let holder = holder.unwrap_or_default();
                tell.send_if_modified(|known| {
                    let new = known.0 != holder;
                    if new {
                        *known = (holder, at);
                    }
                    new
                });
            }
        });
        Self { replicas, holder }
    }

    pub(crate) fn replicas(&self, name: &str) -> Option<i32> {
        self.replicas.borrow().get(name).map(|(count, _)| *count)
    }

    /// Waits for a number that is wanted; when it was seen.
    pub(crate) async fn replicas_become(
        &self,
        name: &str,
        limit: Duration,
        wanted: impl Fn(i32) -> bool,
    ) -> Result<Instant> {
        let mut seen = self.replicas.clone();
        let found = seen.wait_for(|known| known.get(name).is_some_and(|(count, _)| wanted(*count)));
        match tokio::time::timeout(limit, found).await {
            Ok(known) => known?
                .get(name)
                .map(|(_, at)| *at)
                .context("it was there a moment ago"),
            Err(_) => bail!(
                "the replicas of {name} did not become what was waited for within {} s; last seen {:?}",
                limit.as_secs(),
                self.replicas(name)
            ),
        }
    }

    /// Waits until somebody else than `not` holds the Lease: who, and when that was seen.
    pub(crate) async fn leader_other_than(
        &self,
        not: &str,
        limit: Duration,
    ) -> Result<(String, Instant)> {
        let mut seen = self.holder.clone();
        let found = seen.wait_for(|(holder, _)| !holder.is_empty() && holder != not);
        match tokio::time::timeout(limit, found).await {
            Ok(known) => Ok(known?.clone()),
            Err(_) => bail!(
                "nobody took the Lease from {not} within {} s",
                limit.as_secs()
            ),
        }
    }
}

//! Who leads: a Lease, renewed every few seconds. Written with the resource version that was read, so that of two who try
//! only one succeeds; judged by this process' own clock since it saw the Lease change, so that other clocks do not matter.
//! Whoever cannot renew ends before others may take over. The number of the leadership goes with every word to the queue,
//! which refuses lower ones: a leader that slept through its end can do no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use metrics::gauge;
use tokio::time::Instant;

use super::{CallError, within};
use crate::telemetry::names;

/// 2024-01-01: a Lease that is made anew counts its leaders from the seconds since then, so that after somebody deleted it
/// the numbers still only rise.
const COUNT_FROM: u64 = 1_704_067_200;

#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long others believe in a leader that is silent.
    pub lease: Duration,
    /// How long it believes in itself.
    pub deadline: Duration,
    pub renew: Duration,
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            lease: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            renew: Duration::from_secs(4),
            retry: Duration::from_secs(1),
        }
    }
}

/// Asked before each batch of writes.
#[derive(Clone, Debug)]
pub struct Leadership {
    epoch: Arc<AtomicU64>,
    until: Arc<parking_lot::Mutex<Option<Instant>>>,
}

impl Leadership {
    fn none() -> Self {
        Leadership {
            epoch: Arc::default(),
            until: Arc::default(),
        }
    }

    /// For tests and for an operator that runs alone.
    pub fn forever(epoch: u64) -> Self {
        let leadership = Self::none();
        leadership.epoch.store(epoch, Ordering::Release);
        *leadership.until.lock() = Some(Instant::now() + Duration::from_secs(3600 * 24 * 365));
        leadership
    }

    /// The number of this leadership, while it lasts.
    pub fn epoch(&self) -> Option<u64> {
        let until = (*self.until.lock())?;
        (Instant::now() < until).then(|| self.epoch.load(Ordering::Acquire))
    }

    pub fn leads(&self) -> bool {
        self.epoch().is_some()
    }
}

pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    leadership: Leadership,
    held: Option<Lease>,
}

impl Election {
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        timing: Timing,
    ) -> Self {
        Election {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            timing,
            leadership: Leadership::none(),
            held: None,
        }
    }

    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits, without ever giving up, until this process leads.
    pub async fn win(&mut self) {
        gauge!(names::IS_LEADER).set(0.0);
        loop {
            let config = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
            let mut events = watcher(self.api.clone(), config).boxed();
            let mut seen: Option<String> = None;
            let mut free_at = Instant::now() + self.timing.lease;
            let mut known = false;
            loop {
                tokio::select! {
                    event = events.next() => match event {
                        Some(Ok(watcher::Event::Apply(lease) | watcher::Event::InitApply(lease))) => {
                            let version = lease.metadata.resource_version.clone();
                            if version != seen {
                                seen = version;
                                free_at = free_from(&lease, self.timing.lease);
                            }
                            known = true;
                        }
                        Some(Ok(watcher::Event::Delete(_))) => free_at = Instant::now(),
                        // Nobody ever held it.
                        Some(Ok(watcher::Event::InitDone)) if !known => free_at = Instant::now(),
                        Some(Ok(_)) => {}
                        Some(Err(error)) => {
                            tracing::warn!(%error, "cannot watch the lease; trying on");
                            tokio::time::sleep(self.timing.retry).await;
                        }
                        None => break,
                    },
                    () = tokio::time::sleep_until(free_at) => {
                        match self.take(seen.as_deref()).await {
                            Ok(true) => return,
                            Ok(false) => {}
                            Err(error) => tracing::warn!(%error, "cannot take the lease; trying on"),
                        }
                        free_at = Instant::now() + self.timing.retry;
                    }
                }
            }
        }
    }

    /// Takes the Lease if it still is what was seen when it ran out.
    async fn take(&mut self, seen: Option<&str>) -> Result<bool, CallError> {
        let begun = Instant::now();
        let now = MicroTime(Timestamp::now());
        let written = match within(self.api.get_opt(&self.name)).await? {
            None => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default()
                    .as_secs();
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(self.name.clone()),
                        ..ObjectMeta::default()
                    },
                    spec: Some(self.spec(
                        now.clone(),
                        now,
                        i32::try_from(since.saturating_sub(COUNT_FROM)).unwrap_or(i32::MAX),
                    )),
                };
                within(self.api.create(&PostParams::default(), &lease)).await
            }
            Some(mut lease) => {
                let spec = lease.spec.clone().unwrap_or_default();
                let free = spec.holder_identity.as_deref().unwrap_or("").is_empty();
                if !free && lease.metadata.resource_version.as_deref() != seen {
                    return Ok(false);
                }
                lease.spec = Some(self.spec(
                    now.clone(),
                    now,
                    spec.lease_transitions.unwrap_or(0).saturating_add(1),
                ));
                within(self.api.replace(&self.name, &PostParams::default(), &lease)).await
            }
        };
        match written {
            Ok(lease) => {
                let epoch = lease
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.lease_transitions)
                    .unwrap_or(0);
                self.held = Some(lease);
                self.leadership
                    .epoch
                    .store(u64::try_from(epoch).unwrap_or(0), Ordering::Release);
                *self.leadership.until.lock() = Some(begun + self.timing.deadline);
                gauge!(names::IS_LEADER).set(1.0);
                tracing::info!(identity = self.identity, epoch, "leading");
                Ok(true)
            }
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Renews until that fails for too long or somebody else has it; then the process must end.
    pub async fn hold(&mut self) -> String {
        loop {
            tokio::time::sleep(self.timing.renew).await;
            let reason = loop {
                match self.renew().await {
                    Ok(()) => break None,
                    Err(error) if error.is_conflict() => match self.again().await {
                        Ok(true) => continue,
                        Ok(false) => break Some("another process took the lease".to_owned()),
                        Err(error) => tracing::warn!(%error, "cannot read the lease"),
                    },
                    Err(error) => tracing::warn!(%error, "cannot renew the lease"),
                }
                if !self.leadership.leads() {
                    break Some("the lease could not be renewed in time".to_owned());
                }
                tokio::time::sleep(self.timing.retry).await;
            };
            if let Some(reason) = reason {
                *self.leadership.until.lock() = None;
                gauge!(names::IS_LEADER).set(0.0);
                return reason;
            }
        }
    }

    async fn renew(&mut self) -> Result<(), CallError> {
        let begun = Instant::now();
        let Some(mut lease) = self.held.clone() else {
            return Ok(());
        };
        if let Some(spec) = &mut lease.spec {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        let bound = self.timing.deadline / 2;
        let params = PostParams::default();
        let call = within(self.api.replace(&self.name, &params, &lease));
        let renewed = tokio::time::timeout(bound, call)
            .await
            .unwrap_or(Err(CallError::TooSlow))?;
        self.held = Some(renewed);
        *self.leadership.until.lock() = Some(begun + self.timing.deadline);
        Ok(())
    }

    /// After a conflict: whether it is still ours (the answer to a renewal was lost, or somebody only touched it).
    async fn again(&mut self) -> Result<bool, CallError> {
        let Some(lease) = within(self.api.get_opt(&self.name)).await? else {
            return Ok(false);
        };
        let ours = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.as_deref())
            == Some(&self.identity);
        if ours {
            self.held = Some(lease);
        }
        Ok(ours)
    }

    /// Gives the Lease back, so that another one can begin at once.
    pub async fn release(&mut self) {
        *self.leadership.until.lock() = None;
        gauge!(names::IS_LEADER).set(0.0);
        let Some(mut lease) = self.held.take() else {
            return;
        };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        match within(self.api.replace(&self.name, &PostParams::default(), &lease)).await {
            Ok(_) => tracing::info!("gave the lease back"),
            Err(error) => {
                tracing::warn!(%error, "could not give the lease back; it runs out by itself")
            }
        }
    }

    fn spec(&self, acquired: MicroTime, renewed: MicroTime, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.timing.lease.as_secs()).unwrap_or(15)),
            acquire_time: Some(acquired),
            renew_time: Some(renewed),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

/// When a Lease that was seen to change now may be taken.
fn free_from(lease: &Lease, default: Duration) -> Instant {
    let spec = lease.spec.clone().unwrap_or_default();
    if spec.holder_identity.as_deref().unwrap_or("").is_empty() {
        return Instant::now();
    }
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    Instant::now() + seconds.map_or(default, Duration::from_secs)
}

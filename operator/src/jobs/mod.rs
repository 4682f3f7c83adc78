//! `TranscriptionJob`s. One pass over a job is dereference, validate, build, apply, status; of these only dereference,
//! apply and the last write touch anything outside. A job has no finalizer: that it was deleted is seen by the watch, or by
//! the comparison with the API a minute later.

mod apply;
mod build;
mod follow;
mod known;
mod live;
mod status;
mod validate;
mod words;

use std::sync::Arc;
use std::time::Duration;

use crds::{TranscriptionJob, TranscriptionJobStatus, WorkerPool};
use k8s_openapi::jiff::Timestamp;
use kube::{Client, Resource, ResourceExt};
use metrics::{counter, histogram};
use tokio::time::Instant;

pub use build::{Deed, build, origin};
pub use known::{Known, Live, Register};
pub use status::{Notice, View, notices, only_soft, status};
pub use validate::{Valid, validate};
pub use words::{is_finished, reason, state};

use crate::cluster::{CallError, Leadership, Mirror, Notices, key_of};
use crate::eyes::Eyes;
use crate::ledger::{Item, Ledger, LedgerError};
use crate::pace::Pace;
use crate::telemetry::names;
use crate::work::{Next, Work};

/// A pass that cannot go on, by the step that it stopped at.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("asking the API: {0}")]
    Ledger(#[from] LedgerError),
    #[error("writing the status: {0}")]
    Status(#[source] CallError),
    #[error("deleting the finished job: {0}")]
    Delete(#[source] CallError),
}

impl JobError {
    fn step(&self) -> &'static str {
        match self {
            JobError::Ledger(_) => "apply",
            JobError::Status(_) => "status",
            JobError::Delete(_) => "ttl",
        }
    }
}

/// What passes over jobs need.
pub struct Jobs {
    pub client: Client,
    pub release: String,
    /// Before addresses of results that begin with a slash.
    pub public_url: String,
    /// Only this namespace, or all.
    pub namespace: Option<String>,
    pub mirror: Arc<Mirror<TranscriptionJob>>,
    pub pools: Arc<Mirror<WorkerPool>>,
    pub register: Register,
    pub work: Arc<Work<String>>,
    /// Uids of deleted jobs that are still to be cancelled.
    pub cancels: Arc<Work<String>>,
    pub ledger: Ledger,
    pub eyes: Arc<Eyes>,
    pub notices: Notices,
    pub leadership: Leadership,
    pub pace: Pace,
    /// The API has just ended something: look.
    pub ended: tokio::sync::Notify,
}

impl Jobs {
    /// One pass, with its failure counted and logged.
    pub async fn pass(self: Arc<Self>, key: String) -> Next {
        let begun = Instant::now();
        let next = match self.reconcile(&key).await {
            Ok(next) => next,
            Err(error) => {
                counter!(names::RECONCILE_ERRORS, "kind" => "job", "step" => error.step())
                    .increment(1);
                match &error {
                    // Written by somebody else, or made anew under the same name: the watch tells.
                    JobError::Status(cause) if cause.is_conflict() || cause.is_not_found() => {
                        tracing::debug!(job = key, %error, "a pass over a job was overtaken");
                    }
                    _ => {
                        tracing::warn!(job = key, %error, "a pass over a job failed; it will be tried again")
                    }
                }
                Next::Failed
            }
        };
        histogram!(names::RECONCILE_SECONDS, "kind" => "job").record(begun.elapsed().as_secs_f64());
        next
    }

    async fn reconcile(&self, key: &str) -> Result<Next, JobError> {
        let Some(job) = self.mirror.get(key) else {
            return Ok(Next::Change);
        };
        if !self.leadership.leads() || job.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Change);
        }
        // dereference (client required, but all of it was fetched before)
        let uid = job.uid().unwrap_or_default();
        let known = self.register.get(&uid);
        let base = known
            .written
            .clone()
            .or_else(|| job.status.clone())
            .unwrap_or_default();
        if is_finished(&base.conditions) {
            if job
                .status
                .as_ref()
                .is_some_and(|status| is_finished(&status.conditions))
            {
                self.register.forget(&uid);
            }
            return self.expire(&job, &base).await;
        }
        let known = self.register.begin(&uid, key, &base);
        // validate, build (no client)
        let valid = validate(&job);
        let deed = match &valid {
            Ok(valid) => build(valid, known.item.as_ref(), &self.release),
            Err(_) => Deed::Nothing,
        };
        // apply (client required)
        let applied = self.apply(&uid, deed, &known).await;
        // status (no client)
        let (refused, failure) = match (&valid, applied.failure) {
            (Err(problem), _) => (Some(problem.clone()), None),
            (_, Some(LedgerError::Refused(problem))) => (Some(problem), None),
            (_, failure) => (None, failure),
        };
        let trouble = failure.as_ref().map(ToString::to_string);
        let mut live = known.live.clone();
        let ended = |item: &Item| item.state.is_final() && item.attempt.unwrap_or(0) > 0;
        if live.worker.is_none() && applied.item.as_ref().is_some_and(ended) {
            live.worker = self.had_last(&uid).await;
        }
        let new = status(&View {
            job: &job,
            base: &base,
            item: applied.item.as_ref(),
            live: &live,
            refused: refused.as_ref(),
            trouble: trouble.as_deref(),
            has_pool: self.has_pool(applied.item.as_ref().and_then(|item| item.queue.as_deref())),
            public_url: &self.public_url,
            now: Timestamp::now(),
        });
        let wait = self.report(&job, &base, &new, known.slot).await?;
        match failure {
            Some(failure) => Err(failure.into()),
            None if is_finished(&new.conditions) => Ok(self.remaining(&job, &new)),
            None => Ok(wait.map_or(Next::Change, Next::After)),
        }
    }

    /// Writes the status if it is another one. What moves all the time waits for its turn; how long.
    async fn report(
        &self,
        job: &TranscriptionJob,
        base: &TranscriptionJobStatus,
        new: &TranscriptionJobStatus,
        slot: Option<Instant>,
    ) -> Result<Option<Duration>, JobError> {
        if base == new {
            return Ok(None);
        }
        let uid = job.uid().unwrap_or_default();
        if only_soft(base, new) {
            let slot = slot.unwrap_or_else(|| self.pace.slot());
            let wait = slot.saturating_duration_since(Instant::now());
            self.register
                .change(&uid, |known| known.slot = (!wait.is_zero()).then_some(slot));
            if !wait.is_zero() {
                return Ok(Some(wait));
            }
        }
        if !self.leadership.leads() {
            return Ok(None);
        }
        self.write_status(job, new)
            .await
            .map_err(JobError::Status)?;
        self.register
            .change(&uid, |known| known.written = Some(new.clone()));
        counter!(names::STATUS_WRITES, "kind" => "job").increment(1);
        let about = job.object_ref(&());
        for notice in notices(&base.conditions, new) {
            self.notices
                .tell(
                    &about,
                    notice.kind,
                    &notice.reason,
                    notice.action,
                    &notice.note,
                )
                .await;
        }
        tracing::info!(task.id = uid, job = key_of(job), state = ?new.state, "the job's status was written");
        Ok(None)
    }

    fn has_pool(&self, queue: Option<&str>) -> bool {
        let queue = queue.unwrap_or("default");
        self.pools.all().iter().any(|pool| pool.spec.queue == queue)
    }

    fn remaining(&self, job: &TranscriptionJob, status: &TranscriptionJobStatus) -> Next {
        let ended = status
            .completion_time
            .as_ref()
            .map_or_else(Timestamp::now, |time| time.0);
        let ttl = i64::from(job.spec.ttl_seconds_after_finished);
        let left = ended.as_second().saturating_add(ttl) - Timestamp::now().as_second();
        Next::After(Duration::from_secs(u64::try_from(left).unwrap_or(0)))
    }
}

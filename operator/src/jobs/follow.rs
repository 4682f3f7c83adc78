//! What is heard about jobs while nobody asks for them: changes from the API, deletions from the watch; and once a minute the comparison that finds whatever was missed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crds::{TranscriptionJob, WorkerPool};
use kube::ResourceExt;

use super::{Jobs, is_finished, origin};
use crate::cluster::{Change, key_of};
use crate::ledger::{Cancel, Item, LedgerError};
use crate::telemetry::Pulse;
use crate::work::Next;

const PAGE: usize = 500;
const POLL: Duration = Duration::from_secs(1);
/// With nothing unfinished there is little to hear.
const POLL_IDLE: Duration = Duration::from_secs(10);
/// The API writes a row down a moment after Redis tells that a task ended.
const AFTER_END: Duration = Duration::from_millis(60);
const AUDIT: Duration = Duration::from_secs(60);

impl Jobs {
    /// From the watch of jobs. Runs in every process, leader or not.
    pub fn told(&self, change: Change<TranscriptionJob>) {
        match change {
            Change::Applied { old, new } => {
                if let (Some(old), Some(uid)) = (&old, new.uid())
                    && old.uid().as_ref() != Some(&uid)
                {
                    self.gone(old);
                }
                let key = key_of(&*new);
                let uid = new.uid().unwrap_or_default();
                if new
                    .status
                    .as_ref()
                    .is_none_or(|status| !is_finished(&status.conditions))
                {
                    self.register.meet(&uid, &key);
                }
                // A status that changed is mostly our own word.
                let same = old.as_ref().is_some_and(|old| {
                    old.uid() == new.uid()
                        && old.metadata.generation == new.metadata.generation
                        && old.metadata.deletion_timestamp == new.metadata.deletion_timestamp
                        && (old.status == new.status
                            || self.register.get(&uid).written == new.status)
                });
                if !same {
                    self.work.now(key);
                }
            }
            Change::Deleted(job) => self.gone(&job),
            Change::Listed => self.work.retry_failed(),
        }
    }

    /// From the watch of pools: whether a job's queue has one may have changed.
    pub fn told_pool(&self, change: &Change<WorkerPool>) {
        let moved = match change {
            Change::Applied { old, new } => old
                .as_ref()
                .is_none_or(|old| old.spec.queue != new.spec.queue),
            Change::Deleted(_) => true,
            Change::Listed => false,
        };
        if moved {
            for job in self.mirror.all() {
                if job
                    .status
                    .as_ref()
                    .is_none_or(|status| !is_finished(&status.conditions))
                {
                    self.work.now(key_of(&*job));
                }
            }
        }
    }

    fn gone(&self, job: &TranscriptionJob) {
        let uid = job.uid().unwrap_or_default();
        let known = self.register.forget(&uid).unwrap_or_default();
        let finished = known.item.is_some_and(|item| item.state.is_final())
            || [known.written.as_ref(), job.status.as_ref()]
                .into_iter()
                .flatten()
                .any(|status| is_finished(&status.conditions));
        if !finished {
            self.cancels.now(uid);
        }
    }

    /// Cancels what belonged to a deleted job. The result of a finished one stays as long as the API keeps it.
    pub async fn cancel(self: Arc<Self>, uid: String) -> Next {
        if !self.leadership.leads() {
            return Next::Change;
        }
        match self.ledger.cancel(&uid, Cancel::Cancelled).await {
            Ok(_) => {
                tracing::info!(task.id = uid, "cancelled: its job was deleted");
                Next::Change
            }
            Err(LedgerError::Refused(problem)) => {
                tracing::warn!(
                    task.id = uid,
                    code = problem.code,
                    "the API would not cancel what belonged to a deleted job"
                );
                Next::Change
            }
            Err(error) => {
                tracing::warn!(task.id = uid, %error, "could not cancel what belonged to a deleted job; trying again");
                Next::Failed
            }
        }
    }

    fn scope(&self) -> String {
        match &self.namespace {
            Some(namespace) => origin(&self.release, namespace),
            None => format!("{}/", self.release),
        }
    }

    /// Follows the API's changes for ever.
    pub async fn follow_changes(&self, pulse: &Pulse) {
        let mut well = true;
        let mut after: Option<u64> = None;
        loop {
            pulse.beat("changes");
            let heard = match after {
                Some(after) => self.take_changes(after).await,
                None => self.begin().await,
            };
            match heard {
                Ok(next) => {
                    after = Some(next);
                    if !well {
                        well = true;
                        tracing::info!("the API answers again");
                        self.work.retry_failed();
                        self.cancels.retry_failed();
                    }
                }
                Err(error) if well => {
                    well = false;
                    tracing::warn!(%error, "cannot hear from the API; trying on");
                }
                Err(_) => {}
            }
            let poll = if after.is_none() || self.work_left() {
                POLL
            } else {
                POLL_IDLE
            };
            tokio::select! {
                () = tokio::time::sleep(poll) => {}
                () = self.ended.notified() => tokio::time::sleep(AFTER_END).await,
            }
        }
    }

    fn work_left(&self) -> bool {
        !self.register.is_empty()
            && self.mirror.all().iter().any(|job| {
                job.status
                    .as_ref()
                    .is_none_or(|status| !is_finished(&status.conditions))
            })
    }

    /// Where the changes end, and everything unfinished, in this order, so that nothing falls between; and what was handed in
    /// before this first answer and is over already, which is in neither.
    async fn begin(&self) -> Result<u64, LedgerError> {
        let head = self.ledger.changes(&self.scope(), 0, 0, false).await?.next;
        let active = self.active().await?;
        for item in &active {
            self.hear(item);
        }
        self.ask_again(&self.unfinished(), &ids(&active)).await?;
        Ok(head)
    }

    /// Uids of the jobs that the API has unfinished, as far as this process knows.
    fn unfinished(&self) -> HashSet<String> {
        let known = self.register.unfinished();
        known.into_iter().map(|(uid, _)| uid).collect()
    }

    /// Asks for each that is not unfinished any more.
    async fn ask_again(
        &self,
        unfinished: &HashSet<String>,
        active: &HashSet<String>,
    ) -> Result<(), LedgerError> {
        for uid in unfinished.difference(active) {
            match self.ledger.get(uid).await {
                Ok(item) => self.hear(&item),
                Err(LedgerError::Gone) => {
                    if let Some((key, ())) = self.register.change(uid, |known| known.item = None) {
                        self.work.now(key);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn active(&self) -> Result<Vec<Item>, LedgerError> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = self
                .ledger
                .changes(&self.scope(), after, PAGE, true)
                .await?;
            if page.items.is_empty() {
                return Ok(all);
            }
            let next = page
                .items
                .iter()
                .map(|item| item.seq)
                .max()
                .unwrap_or(page.next);
            all.extend(page.items);
            if next <= after {
                return Ok(all);
            }
            after = next;
        }
    }

    async fn take_changes(&self, mut after: u64) -> Result<u64, LedgerError> {
        loop {
            let page = self
                .ledger
                .changes(&self.scope(), after, PAGE, false)
                .await?;
            let empty = page.items.is_empty();
            for item in &page.items {
                self.hear(item);
            }
            after = after.max(page.next);
            if empty {
                return Ok(after);
            }
        }
    }

    fn hear(&self, item: &Item) {
        if let Some(key) = self.register.heard(item) {
            self.work.now(key);
        }
    }

    /// Compares the API's unfinished transcriptions with the jobs, for ever: what has no job twice in a row is cancelled,
    /// what has a job and is not unfinished any more is asked for again.
    pub async fn audit(&self, pulse: &Pulse) {
        let mut missed: HashSet<String> = HashSet::new();
        loop {
            pulse.beat("audit");
            // In small steps, so that the pulse goes on.
            for _ in 0..6 {
                tokio::time::sleep(AUDIT / 6).await;
                pulse.beat("audit");
            }
            if !self.mirror.synced() || !self.leadership.leads() {
                continue;
            }
            let before = self.unfinished();
            let active = match self.active().await {
                Ok(active) => active,
                Err(error) => {
                    tracing::debug!(%error, "jobs could not be compared with the API");
                    continue;
                }
            };
            let uids: HashSet<String> = self
                .mirror
                .all()
                .iter()
                .filter_map(|job| job.uid())
                .collect();
            let orphans: HashSet<String> = active
                .iter()
                .map(|item| item.id.clone())
                .filter(|uid| !uids.contains(uid))
                .collect();
            for uid in orphans.intersection(&missed) {
                self.cancels.now(uid.clone());
            }
            missed = orphans;
            if let Err(error) = self.ask_again(&before, &ids(&active)).await {
                tracing::debug!(%error, "jobs could not be compared with the API");
            }
        }
    }
}

fn ids(items: &[Item]) -> HashSet<String> {
    items.iter().map(|item| item.id.clone()).collect()
}

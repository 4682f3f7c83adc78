//! What is heard about jobs while nobody asks for them: changes from the API, progress from Redis, deletions from the
//! watch; and once a minute the comparison that finds whatever was missed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crds::{TranscriptionJob, WorkerPool};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use metrics::gauge;
use queue::{QueueName, TaskId, TaskSnapshot, TaskStatus};

use super::{Jobs, Live, is_finished, origin};
use crate::cluster::{Change, key_of};
use crate::conditions::at_ms;
use crate::eyes::Seen;
use crate::ledger::{Cancel, Item, LedgerError};
use crate::telemetry::{Pulse, names};
use crate::work::Next;

const PAGE: usize = 500;
const POLL: Duration = Duration::from_secs(1);
/// With nothing unfinished there is little to hear.
const POLL_IDLE: Duration = Duration::from_secs(10);
/// The API writes a row down a moment after Redis tells that a task ended.
const AFTER_END: Duration = Duration::from_millis(60);
const AUDIT: Duration = Duration::from_secs(60);
/// Places are looked up less often than progress.
const PLACES_EVERY: u32 = 5;
const MOST_PLACES: usize = 1000;

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
            let poll = if self.work_left() { POLL } else { POLL_IDLE };
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

    /// Where the changes end, and everything unfinished, in this order, so that nothing falls between.
    async fn begin(&self) -> Result<u64, LedgerError> {
        let head = self.ledger.changes(&self.scope(), 0, 0, false).await?.next;
        for item in self.active().await? {
            self.hear(&item);
        }
        Ok(head)
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

    /// Follows running tasks in Redis for ever: one batched question a second, for those that run.
    pub async fn follow_live(&self, pulse: &Pulse) {
        let mut tick = tokio::time::interval(POLL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut round = 0_u32;
        loop {
            tick.tick().await;
            pulse.beat("progress");
            self.count_states(round);
            let unfinished = self.register.unfinished();
            let mut queues: HashMap<QueueName, Vec<(String, Item)>> = HashMap::new();
            for (uid, item) in unfinished {
                let name = item.queue.as_deref().unwrap_or("default");
                if let Ok(name) = QueueName::parse(name) {
                    queues.entry(name).or_default().push((uid, item));
                }
            }
            for (queue, jobs) in queues {
                self.eyes
                    .want(&format!("jobs of {queue}"), Some(queue.clone()));
                if let Err(error) = self
                    .look(&queue, jobs, round.is_multiple_of(PLACES_EVERY))
                    .await
                {
                    tracing::debug!(%queue, %error, "progress could not be read");
                }
            }
            round = round.wrapping_add(1);
        }
    }

    async fn look(
        &self,
        queue: &QueueName,
        jobs: Vec<(String, Item)>,
        places: bool,
    ) -> Result<(), queue::Error> {
        let Some(Ok(seen)) = self.eyes.last(queue).map(|look| look.seen) else {
            return Ok(());
        };
        let redis = self.eyes.redis.queue().await?;
        let running: HashSet<&str> = seen
            .raw
            .in_flight
            .iter()
            .map(|task| task.id.as_str())
            .collect();
        let ids: Vec<TaskId> = jobs
            .iter()
            .filter(|(uid, _)| running.contains(uid.as_str()))
            .filter_map(|(uid, _)| TaskId::parse(uid.as_str()).ok())
            .collect();
        let snapshots: HashMap<String, TaskSnapshot> = redis
            .snapshots(&ids)
            .await?
            .into_iter()
            .flatten()
            .map(|snapshot| (snapshot.id.to_string(), snapshot))
            .collect();
        let waiting = jobs.len() > ids.len();
        let front: Option<HashMap<String, usize>> = if places && waiting {
            let front = redis.front(queue, MOST_PLACES).await?;
            Some(
                front
                    .into_iter()
                    .enumerate()
                    .map(|(place, id)| (id, place + 1))
                    .collect(),
            )
        } else {
            None
        };
        let now = Timestamp::now();
        for (uid, item) in jobs {
            let snapshot = snapshots.get(&uid);
            let place = front.as_ref().map(|front| front.get(&uid).copied());
            let changed = self.register.change(&uid, |known| {
                let live = live(&known.live, &item, snapshot, place, &seen, now);
                let changed = live != known.live;
                known.live = live;
                changed
            });
            if let Some((key, true)) = changed {
                self.work.now(key);
            }
        }
        Ok(())
    }

    fn count_states(&self, round: u32) {
        if !round.is_multiple_of(10) {
            return;
        }
        let mut counts: HashMap<String, u32> = HashMap::new();
        for job in self.mirror.all() {
            let state = job
                .status
                .as_ref()
                .and_then(|status| status.state)
                .unwrap_or(crds::State::Created);
            *counts.entry(format!("{state:?}")).or_default() += 1;
        }
        for state in [
            "Created",
            "Suspended",
            "Queued",
            "Running",
            "Succeeded",
            "Failed",
            "Cancelled",
            "Expired",
        ] {
            gauge!(names::JOBS, "state" => state)
                .set(f64::from(counts.get(state).copied().unwrap_or(0)));
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
            let before: HashSet<String> = self
                .register
                .unfinished()
                .into_iter()
                .map(|(uid, _)| uid)
                .collect();
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
            let active: HashSet<String> = active.into_iter().map(|item| item.id).collect();
            for uid in before.difference(&active) {
                match self.ledger.get(uid).await {
                    Ok(item) => self.hear(&item),
                    Err(LedgerError::Gone) => {
                        if let Some((key, ())) =
                            self.register.change(uid, |known| known.item = None)
                        {
                            self.work.now(key);
                        }
                    }
                    Err(_) => break,
                }
            }
        }
    }
}

/// What is shown of one unfinished job. `place` is `None` when places were not looked up this time.
fn live(
    was: &Live,
    item: &Item,
    snapshot: Option<&TaskSnapshot>,
    place: Option<Option<usize>>,
    seen: &Seen,
    now: Timestamp,
) -> Live {
    let Some(snapshot) = snapshot.filter(|snapshot| snapshot.status == TaskStatus::Processing)
    else {
        let position = match place {
            Some(place) => place.map(rounded),
            None => was.position,
        };
        let done_at = match place {
            Some(Some(place)) => steady(was.done_at.as_ref(), wait_ms(seen, place), now),
            Some(None) => None,
            None => was.done_at.clone(),
        };
        return Live {
            running: false,
            position,
            done_at,
            percent: None,
            ..was.clone()
        };
    };
    let percent = snapshot.progress.as_ref().map(|progress| {
        let percent = (progress.fraction() * 100.0) as i32;
        percent - percent % 5
    });
    let left_ms = seen
        .demand
        .running
        .iter()
        .find(|task| task.id == item.id)
        .map(|task| task.left_ms);
    Live {
        running: true,
        worker: snapshot.worker.clone(),
        attempt: i32::try_from(snapshot.attempt).ok(),
        started_at_ms: snapshot.started_at_ms.and_then(|ms| i64::try_from(ms).ok()),
        percent: percent.max(if was.running { was.percent } else { None }),
        position: None,
        done_at: steady(was.done_at.as_ref(), left_ms, now),
    }
}

/// Exact up to 10, then coarse, so that a long queue that moves is not a write for each of its jobs.
fn rounded(place: usize) -> i32 {
    let place = i32::try_from(place).unwrap_or(i32::MAX);
    if place <= 10 {
        return place;
    }
    [20, 50, 100, 200, 500, 1000]
        .into_iter()
        .find(|bound| place <= *bound)
        .unwrap_or(1000)
}

/// How long until the task at this place is done, by the workers that are there.
fn wait_ms(seen: &Seen, place: usize) -> Option<i64> {
    let demand = &seen.demand;
    let workers = i64::try_from(seen.raw.workers.len())
        .ok()
        .filter(|workers| *workers > 0)?;
    let each_ms = demand.queued_ms / demand.queued.max(1);
    let ahead_ms = each_ms
        .saturating_mul(i64::try_from(place).ok()?)
        .saturating_add(demand.running_ms());
    Some(ahead_ms / workers)
}

/// The estimate in whole minutes; the old one stays while the new one says about the same.
fn steady(was: Option<&Time>, left_ms: Option<i64>, now: Timestamp) -> Option<Time> {
    let left_s = left_ms? / 1000;
    let estimate_s = now.as_second().saturating_add(left_s);
    if let Some(was) = was {
        let off = (was.0.as_second() - estimate_s).abs();
        if off <= 60.max(left_s / 5) {
            return Some(was.clone());
        }
    }
    at_ms(
        estimate_s
            .saturating_add(30)
            .div_euclid(60)
            .saturating_mul(60_000),
    )
}

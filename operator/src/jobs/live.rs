//! What Redis tells of unfinished jobs: who runs, how far, and whose turn it is. One batched question a second, for those
//! that run; it is for display, and nothing here decides anything.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use metrics::gauge;
use queue::{QueueName, TaskId, TaskSnapshot, TaskStatus};

use super::{Jobs, Live};
use crate::conditions::at_ms;
use crate::eyes::Seen;
use crate::ledger::Item;
use crate::telemetry::{Pulse, names};

const POLL: Duration = Duration::from_secs(1);
/// Places are looked up less often than progress.
const PLACES_EVERY: u32 = 5;
const MOST_PLACES: usize = 1000;
/// How long a status waits for what it shows of Redis.
const PATIENCE: Duration = Duration::from_secs(2);

impl Jobs {
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

    /// The worker of a task that began and ended between two looks: Redis remembers it for a day. For display only, so whatever
    /// goes wrong is no answer.
    pub(super) async fn had_last(&self, uid: &str) -> Option<String> {
        let id = TaskId::parse(uid).ok()?;
        let ask = async {
            let redis = self.eyes.redis.queue().await?;
            redis.snapshots(&[id]).await
        };
        let answer = tokio::time::timeout(PATIENCE, ask).await.ok()?;
        answer.ok()?.into_iter().flatten().next()?.last_worker
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

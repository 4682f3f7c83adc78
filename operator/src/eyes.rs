//! One look at each queue a second, and at once when a task comes; everybody here reads what was seen last. A look that
//! fails is kept as a failure: who decides must know that nothing is known.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use metrics::{gauge, histogram};
use parking_lot::Mutex;
use queue::{Event, Interest, Observation, Queue, QueueName};
use tokio::sync::{Notify, OnceCell};
use tokio::time::{Instant, MissedTickBehavior};

use crate::scale::{Demand, Factors};
use crate::telemetry::{Pulse, names};

pub const TICK: Duration = Duration::from_secs(1);
/// A look that takes longer has failed.
const BOUND: Duration = Duration::from_secs(1);
/// Hints come in swarms; one look serves them all.
const GATHER: Duration = Duration::from_millis(20);
/// Where they never end, looks for their sake are not closer than this, or Redis would do little else.
const APART: Duration = Duration::from_millis(50);
/// Questions at once: one that hangs must not make the others old, and all at once would stand in the way of what is done.
const AT_ONCE: usize = 4;

/// The last look at one queue.
#[derive(Clone, Debug)]
pub struct Look {
    pub at: Instant,
    /// The failure as text, because everybody reads it.
    pub seen: Result<Arc<Seen>, Arc<str>>,
}

#[derive(Debug)]
pub struct Seen {
    pub raw: Observation,
    pub demand: Demand,
}

/// The queue, connected when it is first there: the operator starts and holds still without Redis.
#[derive(Debug)]
pub struct Redis {
    config: queue::QueueConfig,
    queue: OnceCell<Queue>,
}

impl Redis {
    pub fn new(config: queue::QueueConfig) -> Self {
        Redis {
            config,
            queue: OnceCell::new(),
        }
    }

    pub async fn queue(&self) -> Result<&Queue, queue::Error> {
        self.queue
            .get_or_try_init(|| Queue::connect(&self.config))
            .await
    }
}

#[derive(Debug)]
pub struct Eyes {
    pub redis: Arc<Redis>,
    factors: Factors,
    looks: Mutex<HashMap<QueueName, Look>>,
    /// Whose queues are wanted, by who wants them.
    wanted: Mutex<HashMap<String, QueueName>>,
    hint: Notify,
}

impl Eyes {
    pub fn new(redis: Arc<Redis>, factors: Factors) -> Self {
        Eyes {
            redis,
            factors,
            looks: Mutex::default(),
            wanted: Mutex::default(),
            hint: Notify::new(),
        }
    }

    /// From now on this queue is looked at, for `who`, and no other one for `who`.
    pub fn want(&self, who: &str, queue: Option<QueueName>) {
        let mut wanted = self.wanted.lock();
        let new = match queue {
            Some(queue) => wanted.insert(who.to_owned(), queue.clone()) != Some(queue),
            None => {
                wanted.remove(who);
                false
            }
        };
        drop(wanted);
        if new {
            self.hint.notify_one();
        }
    }

    pub fn last(&self, queue: &QueueName) -> Option<Look> {
        self.looks.lock().get(queue).cloned()
    }

    /// Looks for ever; `told` runs after each round.
    pub async fn watch(&self, pulse: &Pulse, mut told: impl FnMut()) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hinted = Instant::now();
        loop {
            tokio::select! {
                due = tick.tick() => {
                    let late = Instant::now().saturating_duration_since(due);
                    histogram!(names::TICK_LATENESS_SECONDS).record(late.as_secs_f64());
                }
                () = self.hint.notified() => {
                    tokio::time::sleep_until((Instant::now() + GATHER).max(hinted + APART)).await;
                    hinted = Instant::now();
                }
            }
            self.look().await;
            pulse.beat("eyes");
            told();
        }
    }

    async fn look(&self) {
        let queues: BTreeSet<QueueName> = self.wanted.lock().values().cloned().collect();
        self.looks.lock().retain(|queue, _| queues.contains(queue));
        let looks: Vec<_> = queues.iter().map(|queue| self.look_at(queue)).collect();
        let looked: Vec<bool> = stream::iter(looks)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let all_well = looked.into_iter().all(|well| well);
        if all_well {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            gauge!(names::LAST_TICK).set(now.as_secs_f64());
        }
    }

    /// One look at one queue; whether it saw it.
    async fn look_at(&self, queue: &QueueName) -> bool {
        let at = Instant::now();
        let seen = match tokio::time::timeout(BOUND, self.observe(queue)).await {
            Ok(Ok(raw)) => {
                let demand = Demand::read(&raw, &self.factors);
                show(queue, &raw, &demand);
                Ok(Arc::new(Seen { raw, demand }))
            }
            Ok(Err(error)) => Err(Arc::from(error.to_string())),
            Err(_) => Err(Arc::from("Redis did not answer within a second")),
        };
        let well = seen.is_ok();
        gauge!(names::QUEUE_READABLE, "queue" => queue.to_string()).set(f64::from(u8::from(well)));
        self.looks.lock().insert(queue.clone(), Look { at, seen });
        well
    }

    async fn observe(&self, queue: &QueueName) -> Result<Observation, queue::Error> {
        self.redis.queue().await?.observe(queue).await
    }

    /// Passes hints on for ever: a task came, or one ended.
    pub async fn listen(&self, mut ended: impl FnMut()) {
        let queue = loop {
            match self.redis.queue().await {
                Ok(queue) => break queue,
                Err(error) => {
                    tracing::debug!(%error, "no hints without Redis yet");
                    tokio::time::sleep(TICK).await;
                }
            }
        };
        let mut events = queue.events(Interest::Everything);
        loop {
            match events.next().await {
                Event::New { .. } | Event::Connected => self.hint.notify_one(),
                Event::Completed { .. } | Event::Failed { .. } => ended(),
                _ => {}
            }
        }
    }
}

fn show(queue: &QueueName, raw: &Observation, demand: &Demand) {
    let name = || queue.to_string();
    gauge!(names::QUEUE_DEPTH, "queue" => name()).set(demand.queued as f64);
    gauge!(names::QUEUE_IN_FLIGHT, "queue" => name()).set(demand.running_tasks as f64);
    gauge!(names::QUEUE_WORK_SECONDS, "queue" => name()).set(demand.queued_ms as f64 / 1000.0);
    gauge!(names::QUEUE_OLDEST_WAIT_SECONDS, "queue" => name())
        .set(demand.oldest_wait_ms as f64 / 1000.0);
    for (model, sums) in &raw.rtf {
        if let Some(factor) = sums.factor() {
            gauge!(names::REALTIME_FACTOR, "queue" => name(), "model" => model.clone()).set(factor);
        }
    }
}

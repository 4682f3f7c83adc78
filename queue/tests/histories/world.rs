//! One history as it happens: the queue under test, its server and clock, the workers and subscribers, and the model that
//! says what must come out. Starts and restarts Redis; what the steps do is in `workers.rs`,
//! `faults.rs`, `owners.rs`, `operators.rs` and `fate.rs`.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use queue::testing::{RedisServer, plant};
use queue::{OutboxEntry, Queue, QueueConfig, TaskId, Token};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

use crate::model::{Model, Task};
use crate::plan::Plan;
use crate::step::{Faults, Step};
use crate::view::SCRIPT;

pub(crate) const START_MS: u64 = 1_800_000_000_000;
const ZOMBIES: usize = 40;
/// Picks from here on take any task.
const SURELY: u8 = 208;
const PATIENCE: Duration = Duration::from_secs(60);

/// A rule that does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) rule: &'static str,
    pub(crate) what: String,
}

pub(crate) type Holds = Result<(), Violation>;

macro_rules! ensure {
    ($holds:expr, $rule:expr, $($what:tt)*) => {
        if !$holds {
            return Err($crate::world::Violation { rule: $rule, what: format!($($what)*) });
        }
    };
}
pub(crate) use ensure;

impl From<queue::Error> for Violation {
    fn from(error: queue::Error) -> Self {
        let what = format!("{error:?}");
        Violation {
            rule: "error",
            what,
        }
    }
}

impl From<redis::RedisError> for Violation {
    fn from(error: redis::RedisError) -> Self {
        let what = format!("{error:?}");
        Violation {
            rule: "error",
            what,
        }
    }
}

/// A bug for the scripts: file, snippet, what it becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bug {
    pub(crate) file: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

/// A server and the connections to it, used for one history after the other.
pub(crate) struct Site {
    pub(crate) server: RedisServer,
    pub(crate) queue: Queue,
    pub(crate) redis: MultiplexedConnection,
    clock: Arc<AtomicU64>,
    bug: Option<Bug>,
}

impl Site {
    /// With a file, what was written survives a kill: it goes to the system at once. What a power cut loses is taken off by hand.
    pub(crate) async fn start(aof: bool, bug: Option<Bug>) -> Result<Self, Violation> {
        let server = match aof {
            true => RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "no"]),
            false => RedisServer::start(),
        };
        let clock = Arc::new(AtomicU64::new(START_MS));
        let (queue, redis) = connect(&server, &clock, bug).await?;
        Ok(Self {
            server,
            queue,
            redis,
            clock,
            bug,
        })
    }

    pub(crate) async fn connect_again(&mut self) -> Holds {
        (self.queue, self.redis) = connect(&self.server, &self.clock, self.bug).await?;
        Ok(())
    }
}

async fn connect(
    server: &RedisServer,
    clock: &Arc<AtomicU64>,
    bug: Option<Bug>,
) -> Result<(Queue, MultiplexedConnection), Violation> {
    // A busy machine is no fault of the queue.
    let patient = QueueConfig {
        response_timeout: PATIENCE,
        ..QueueConfig::new(server.url())
    };
    let queue = Queue::connect(&patient).await?.with_clock(clock.clone());
    let queue = match bug {
        Some(bug) => plant(&queue, bug.file, bug.from, bug.to),
        None => queue,
    };
    let client = redis::Client::open(server.url())?;
    let patient = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    let redis = client
        .get_multiplexed_async_connection_with_config(&patient)
        .await?;
    Ok((queue, redis))
}

/// A claim as a worker holds it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) n: usize,
    pub(crate) id: TaskId,
    pub(crate) token: Token,
}

#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) pod: String,
    pub(crate) slots: u32,
    pub(crate) held: Vec<Held>,
}

/// What happened, for the report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) steps: u64,
    pub(crate) tasks: u64,
    pub(crate) fenced: u64,
    pub(crate) checks: u64,
    pub(crate) restarts: u64,
    pub(crate) losses: u64,
    pub(crate) calls: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Counts) {
        self.steps += other.steps;
        self.tasks += other.tasks;
        self.fenced += other.fenced;
        self.checks += other.checks;
        self.restarts += other.restarts;
        self.losses += other.losses;
        for (call, n) in &other.calls {
            *self.calls.entry(call).or_default() += n;
        }
    }
}

pub(crate) struct World<'a> {
    pub(crate) site: &'a mut Site,
    pub(crate) faults: Faults,
    pub(crate) model: Model,
    pub(crate) workers: Vec<Worker>,
    pub(crate) boots: u32,
    pub(crate) zombies: Vec<Held>,
    /// Of each life, the numbers of its final records that the database was given.
    pub(crate) database: BTreeMap<(usize, u64), BTreeSet<u64>>,
    /// What each subscriber has read and not yet stored.
    pub(crate) read: [Vec<OutboxEntry>; 2],
    /// Read before data was lost: its numbers may have come again.
    pub(crate) outdated: [bool; 2],
    /// Such numbers were acknowledged: a record may be missing until the reconciler has looked.
    pub(crate) unsure: bool,
    /// Part of the data was lost in a restart: a life may have two records, of which the database keeps the first.
    pub(crate) lossy: bool,
    /// Tasks that a call was about since the last look at all of them.
    pub(crate) touched: BTreeSet<usize>,
    pub(crate) counts: Counts,
    /// Told only when a failed history is printed.
    pub(crate) story: Option<Vec<String>>,
    nonces: u64,
}

macro_rules! tell {
    ($world:expr, $($what:tt)*) => {
        if let Some(story) = &mut $world.story {
            story.push(format!($($what)*));
        }
    };
}
pub(crate) use tell;

impl<'a> World<'a> {
    pub(crate) async fn begin(site: &'a mut Site, faults: Faults) -> Result<Self, Violation> {
        redis::cmd("FLUSHALL").exec_async(&mut site.redis).await?;
        let mut world = World {
            site,
            faults,
            model: Model {
                copies: faults.copies,
                now: START_MS,
                ..Model::default()
            },
            workers: vec![],
            boots: 0,
            zombies: vec![],
            database: BTreeMap::new(),
            read: [vec![], vec![]],
            outdated: [false; 2],
            unsure: false,
            lossy: false,
            touched: BTreeSet::new(),
            counts: Counts::default(),
            story: None,
            nonces: 0,
        };
        world.set_clock(START_MS);
        for _ in 0..4 {
            world.boot();
        }
        Ok(world)
    }

    /// A whole history; `failed_at` is always the step that was begun last.
    pub(crate) async fn live(
        &mut self,
        plan: &Plan,
        check_every: usize,
        failed_at: &Rc<Cell<usize>>,
    ) -> Holds {
        for (at, step) in plan.steps.iter().enumerate() {
            failed_at.set(at);
            self.counts.steps += 1;
            self.step(*step).await?;
            if (at + 1) % check_every == 0 {
                self.check(false).await?;
            }
        }
        failed_at.set(plan.steps.len());
        self.check(true).await?;
        self.ending().await
    }

    async fn step(&mut self, step: Step) -> Holds {
        match step {
            Step::Enqueue { .. } | Step::EnqueueAgain { .. } => self.enqueue_step(step).await,
            Step::Claim {
                worker,
                queues,
                reply,
            } => self.claim_step(worker, queues, reply).await,
            Step::EndOne {
                worker,
                held,
                end,
                reply,
            } => self.end_step(worker, held, end, reply).await,
            Step::Progress { worker, held } => self.progress_step(worker, held).await,
            Step::Beat { worker, obeys } => self.beat_step(worker, obeys).await,
            Step::Sleep { worker, ms, end } => self.sleep_step(worker, ms, end).await,
            Step::Zombie { claim, late } => self.zombie_step(claim, late).await,
            Step::Crash { worker, told } => self.crash_step(worker, told).await,
            Step::Pass { ms, reap } => {
                self.advance(ms);
                match reap {
                    true => self.reap(100, 0).await,
                    false => Ok(()),
                }
            }
            Step::Jump { ms } => {
                self.set_clock(self.model.now.saturating_add_signed(ms));
                tell!(self, "the clock jumps by {ms} ms");
                Ok(())
            }
            Step::Reap { batch, backoff_ms } => self.reap(batch, backoff_ms).await,
            Step::Cancel { task, kind, reply } => self.cancel_step(task, kind, reply).await,
            Step::Park { task, reply } => self.park_step(task, true, reply).await,
            Step::Unpark { task, reply } => self.park_step(task, false, reply).await,
            Step::Replay { task, raise, reply } => self.replay_step(task, raise, reply).await,
            Step::Forget { task } => self.forget_step(task).await,
            Step::Drain {
                worker,
                pod,
                on,
                epoch,
            } => self.drain_step(worker, pod, on, epoch).await,
            Step::Hold { on } => self.hold(on).await,
            Step::OldMove => self.old_move().await,
            Step::OldPush { task } => self.old_push(task).await,
            Step::Read { subscriber, most } => self.read_outbox(subscriber, most).await,
            Step::Store { subscriber, ack } => self.store(subscriber, ack).await,
            Step::Observe { queue } => self.observe(queue).await,
            Step::Fsck => self.fsck().await,
            Step::FlushScripts => self.flush_scripts().await,
            Step::Restart { fate } => self.restart(fate).await,
        }
    }

    pub(crate) fn set_clock(&mut self, now: u64) {
        self.model.now = now;
        self.site.clock.store(now, Ordering::SeqCst);
    }

    pub(crate) fn advance(&mut self, ms: u64) {
        self.set_clock(self.model.now + ms);
        tell!(self, "{ms} ms pass");
    }

    pub(crate) fn called(&mut self, call: &'static str) {
        *self.counts.calls.entry(call).or_default() += 1;
    }

    /// Reproducible, unlike the ones that workers draw.
    pub(crate) fn nonce(&mut self) -> String {
        self.nonces += 1;
        format!("nonce-{:010}", self.nonces)
    }

    pub(crate) fn boot(&mut self) {
        self.boots += 1;
        self.workers.push(Worker {
            name: format!("w{}", self.boots),
            pod: format!("p{}", self.boots % 3),
            slots: 1 + self.boots % 3,
            held: vec![],
        });
    }

    pub(crate) fn any_task(&self, pick: u8) -> Option<usize> {
        (pick as usize).checked_rem(self.model.tasks.len())
    }

    /// Mostly one of those that the step is about, sometimes any.
    pub(crate) fn one_of(&self, pick: u8, about: impl Fn(&Task) -> bool) -> Option<usize> {
        let tasks = &self.model.tasks;
        let wanted: Vec<usize> = (0..tasks.len()).filter(|n| about(&tasks[*n])).collect();
        match (pick as usize).checked_rem(wanted.len()) {
            Some(at) if pick < SURELY => Some(wanted[at]),
            _ => self.any_task(pick),
        }
    }

    pub(crate) fn any_worker(&self, pick: u8) -> usize {
        pick as usize % self.workers.len()
    }

    pub(crate) fn is_zombie(&mut self, claim: Held) {
        if self.zombies.len() == ZOMBIES {
            self.zombies.remove(0);
        }
        self.zombies.push(claim);
    }

    pub(crate) fn id(&self, n: usize) -> TaskId {
        match TaskId::parse(self.model.tasks[n].name.as_str()) {
            Ok(id) => id,
            Err(error) => panic!("the history's own name: {error}"),
        }
    }

    pub(crate) fn task_of(&self, id: &str) -> Option<usize> {
        let n: usize = id.strip_prefix('t')?.parse().ok()?;
        (n < self.model.tasks.len()).then_some(n)
    }

    /// Everything about these tasks, as text.
    pub(crate) async fn look(&mut self, tasks: &[usize]) -> Result<String, Violation> {
        let mut call = SCRIPT.prepare_invoke();
        for n in tasks {
            call.arg(&self.model.tasks[*n].name);
        }
        Ok(call.invoke_async(&mut self.site.redis).await?)
    }

    pub(crate) async fn look_at_all(&mut self) -> Result<String, Violation> {
        let all: Vec<usize> = (0..self.model.tasks.len()).collect();
        self.look(&all).await
    }
}

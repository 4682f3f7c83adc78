//! The simulated cluster: tasks arrive, pods start, work, are deleted and die. It moves in steps of a second; within a step
//! work is exact. It knows nothing of how the number of workers is chosen.

use std::collections::VecDeque;

use super::{Chance, Trace};

pub(super) const STEP_MS: i64 = 1000;
/// From SIGTERM to SIGKILL.
const GRACE_MS: i64 = 30_000;

#[derive(Clone, Debug)]
pub struct Task {
    pub arrived_ms: i64,
    pub work_ms: i64,
    pub expected_ms: i64,
    pub left_ms: i64,
    pub finished_ms: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct Pod {
    pub number: u64,
    pub created_ms: i64,
    pub ready_ms: i64,
    pub task: Option<usize>,
    pub task_since_ms: i64,
    pub idle_since_ms: i64,
    /// Gets no task any more.
    pub flagged: bool,
    /// The lowest deletion cost.
    pub condemned: bool,
    /// Deleted; the end of its grace.
    pub leaving_ms: Option<i64>,
}

/// Whoever chooses the number of workers.
pub trait Scaler {
    /// After each step. May set `world.replicas` and flags of pods.
    fn act(&mut self, world: &mut World);
    /// How soon the tasks of a dead node are queued again.
    fn notices_death_after_ms(&self) -> i64;
}

#[derive(Debug)]
pub struct World {
    pub now_ms: i64,
    /// What the Deployment asks for.
    pub replicas: i32,
    pub tasks: Vec<Task>,
    pub queue: VecDeque<usize>,
    pub pods: Vec<Pod>,
    pub max_replicas: i32,
    /// How long finished starts took.
    pub starts_ms: Vec<i64>,
    cold_ms: (i64, i64),
    chance: Chance,
    arrivals: VecDeque<usize>,
    deaths_ms: VecDeque<i64>,
    /// (when it is noticed, task)
    lost: Vec<(i64, usize)>,
    pods_made: u64,
    pub gpu_ms: i64,
    /// Pods deleted because the number was lowered.
    pub descents: u64,
    /// Those of them that had a task.
    pub busy_kills: u64,
}

impl World {
    pub fn new(trace: &Trace, seed: u64) -> Self {
        let tasks: Vec<Task> = trace
            .arrivals
            .iter()
            .map(|arrival| Task {
                arrived_ms: arrival.at_ms,
                work_ms: arrival.work_ms,
                expected_ms: arrival.expected_ms,
                left_ms: arrival.work_ms,
                finished_ms: None,
            })
            .collect();
        World {
            now_ms: 0,
            replicas: 0,
            arrivals: (0..tasks.len()).collect(),
            tasks,
            queue: VecDeque::new(),
            pods: Vec::new(),
            max_replicas: trace.max_replicas,
            starts_ms: Vec::new(),
            cold_ms: trace.cold_ms,
            chance: Chance::new(seed),
            deaths_ms: trace.deaths_ms.iter().copied().collect(),
            lost: Vec::new(),
            pods_made: 0,
            gpu_ms: 0,
            descents: 0,
            busy_kills: 0,
        }
    }

    /// Until all is done and all workers are gone.
    pub fn run(&mut self, scaler: &mut dyn Scaler) {
        let patience_ms = self.tasks.last().map_or(0, |task| task.arrived_ms) + 48 * 3_600_000;
        while self.now_ms < patience_ms {
            self.step(scaler.notices_death_after_ms());
            scaler.act(self);
            let over = self.arrivals.is_empty()
                && self.tasks.iter().all(|task| task.finished_ms.is_some());
            if over && self.pods.is_empty() {
                return;
            }
        }
    }

    pub fn ready(&self, pod: &Pod) -> bool {
        pod.ready_ms <= self.now_ms
    }

    pub fn live(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| pod.leaving_ms.is_none())
    }

    fn step(&mut self, notice_ms: i64) {
        self.arrive();
        self.die(notice_ms);
        self.replica_set();
        let mut pods = std::mem::take(&mut self.pods);
        for pod in &mut pods {
            self.work(pod);
        }
        self.now_ms += STEP_MS;
        self.gpu_ms += STEP_MS * pods.len() as i64;
        for pod in &pods {
            if pod.ready_ms > self.now_ms - STEP_MS && pod.ready_ms <= self.now_ms {
                self.starts_ms.push(pod.ready_ms - pod.created_ms);
            }
        }
        pods.retain(|pod| self.stays(pod));
        self.pods = pods;
    }

    fn arrive(&mut self) {
        while let Some(next) = self.arrivals.front().copied() {
            if self.tasks[next].arrived_ms > self.now_ms {
                break;
            }
            self.arrivals.pop_front();
            self.queue.push_back(next);
        }
        let now_ms = self.now_ms;
        let (due, later) = self
            .lost
            .drain(..)
            .partition(|(when_ms, _)| *when_ms <= now_ms);
        self.lost = later;
        let due: Vec<(i64, usize)> = due;
        for (_, task) in due {
            self.tasks[task].left_ms = self.tasks[task].work_ms;
            self.queue.push_front(task);
        }
    }

    /// A node goes, whoever chose the numbers.
    fn die(&mut self, notice_ms: i64) {
        while self
            .deaths_ms
            .front()
            .is_some_and(|when_ms| *when_ms <= self.now_ms)
        {
            self.deaths_ms.pop_front();
            if !self.pods.is_empty() {
                let pod = self.pods.remove(self.chance.below(self.pods.len()));
                if let Some(task) = pod.task {
                    self.lost.push((self.now_ms + notice_ms, task));
                }
            }
        }
    }

    /// Makes and deletes pods as a ReplicaSet does: what is not ready goes first, then the lowest cost, then by chance.
    fn replica_set(&mut self) {
        let live = self.live().count() as i32;
        for _ in live..self.replicas {
            let cold_ms =
                self.chance
                    .between(self.cold_ms.0 as f64, self.cold_ms.1 as f64) as i64;
            self.pods_made += 1;
            self.pods.push(Pod {
                number: self.pods_made,
                created_ms: self.now_ms,
                ready_ms: self.now_ms + cold_ms,
                task: None,
                task_since_ms: 0,
                idle_since_ms: self.now_ms + cold_ms,
                flagged: false,
                condemned: false,
                leaving_ms: None,
            });
        }
        for _ in self.replicas..live {
            let now_ms = self.now_ms;
            let mut order: Vec<(bool, bool, u64, usize)> = Vec::new();
            for (place, pod) in self.pods.iter().enumerate() {
                if pod.leaving_ms.is_none() {
                    let draw = (self.chance.unit() * 1e9) as u64;
                    order.push((pod.ready_ms <= now_ms, !pod.condemned, draw, place));
                }
            }
            let Some((.., place)) = order.into_iter().min() else {
                return;
            };
            let pod = &mut self.pods[place];
            pod.leaving_ms = Some(now_ms + if pod.task.is_some() { GRACE_MS } else { 0 });
            self.descents += 1;
            self.busy_kills += u64::from(pod.task.is_some());
        }
    }

    fn work(&mut self, pod: &mut Pod) {
        let mut time_ms = self.now_ms + STEP_MS - pod.ready_ms.max(self.now_ms);
        while time_ms > 0 {
            let begin_ms = self.now_ms + STEP_MS - time_ms;
            if pod.task.is_none() {
                if pod.flagged || pod.leaving_ms.is_some() {
                    return;
                }
                pod.task = self.queue.pop_front();
                pod.task_since_ms = begin_ms;
            }
            let Some(number) = pod.task else { return };
            let task = &mut self.tasks[number];
            let done_ms = task.left_ms.min(time_ms);
            task.left_ms -= done_ms;
            time_ms -= done_ms;
            if task.left_ms == 0 {
                task.finished_ms = Some(begin_ms + done_ms);
                pod.task = None;
                pod.idle_since_ms = begin_ms + done_ms;
            }
        }
    }

    /// Whether the pod is still there; what it held when it is not goes back to the front.
    fn stays(&mut self, pod: &Pod) -> bool {
        let Some(end_ms) = pod.leaving_ms else {
            return true;
        };
        match pod.task {
            None => false,
            Some(task) if end_ms <= self.now_ms => {
                self.tasks[task].left_ms = self.tasks[task].work_ms;
                self.queue.push_front(task);
                false
            }
            Some(_) => true,
        }
    }
}

//! Our scaler in the simulated world: the operator's own functions, called once a second with what it would see.

use crate::scale::{
    Decision, Demand, Fleet, Ground, History, Mode, Observation, Pod, Running, Spec, decide, plan,
};

use super::world::STEP_MS;
use super::{Scaler, World};

/// Before any start was seen.
const COLD_START_MS: i64 = 60_000;

#[derive(Debug)]
pub struct Ours {
    spec: Spec,
    history: History,
    /// Number as of the last step: a fall is seen one step later.
    pub last: Option<Decision>,
}

impl Ours {
    /// The defaults of a pool, but for the time in which work is to be done.
    pub fn new(max_replicas: i32, target_s: i64) -> Self {
        Ours {
            spec: Spec {
                mode: Mode::Auto,
                min: 0,
                max: max_replicas,
                target_ms: target_s * 1000,
                zero_delay_ms: 300_000,
                down_window_ms: 60_000,
            },
            history: History::default(),
            last: None,
        }
    }
}

impl Scaler for Ours {
    fn act(&mut self, world: &mut World) {
        let seen = observe(world);
        let decision = decide(&seen, &self.spec, &self.history, world.now_ms);
        self.history
            .note(&decision, self.spec.down_window_ms, world.now_ms);
        let pods: Vec<Pod> = world.pods.iter().map(|pod| view(world, pod)).collect();
        let step = plan(
            &pods,
            Ground {
                replicas: world.replicas,
                desired: decision.desired,
                known: true,
                settled: world.live().count() as i32 == world.replicas,
                rollout: false,
            },
        );
        for pod in &mut world.pods {
            let name = pod.number.to_string();
            if step.drain.contains(&name) {
                pod.flagged = true;
            }
            if step.undrain.contains(&name) {
                pod.flagged = false;
            }
            if step.condemn.contains(&name) {
                pod.condemned = true;
            }
            if step.pardon.contains(&name) {
                pod.condemned = false;
            }
        }
        world.replicas = step.replicas;
        self.last = Some(decision);
    }

    /// The operator sees the pod go and expires its worker.
    fn notices_death_after_ms(&self) -> i64 {
        2 * STEP_MS
    }
}

fn observe(world: &World) -> Observation {
    let running = world
        .pods
        .iter()
        .filter_map(|pod| {
            let task = &world.tasks[pod.task?];
            Some(Running {
                id: String::new(),
                worker: pod.number.to_string(),
                left_ms: left_ms(world, pod, task.expected_ms),
            })
        })
        .collect::<Vec<_>>();
    let mut starts: Vec<i64> = world.starts_ms.iter().rev().take(20).copied().collect();
    starts.sort_unstable();
    Observation {
        demand: Some(Demand {
            held: false,
            queued: world.queue.len() as i64,
            queued_ms: world
                .queue
                .iter()
                .map(|task| world.tasks[*task].expected_ms)
                .sum(),
            running_tasks: running.len() as i64,
            running,
            oldest_wait_ms: 0,
        }),
        fleet: Fleet {
            replicas: world.replicas,
            ready: world.live().filter(|pod| world.ready(pod)).count() as i32,
            starting_ms: world
                .live()
                .filter(|pod| !world.ready(pod))
                .map(|pod| world.now_ms - pod.created_ms)
                .collect(),
            rollout: false,
            cold_start_ms: starts
                .get(starts.len() / 2)
                .copied()
                .unwrap_or(COLD_START_MS),
        },
    }
}

/// By what was expected and how long it has run; the truth is not known to a scaler.
fn left_ms(world: &World, pod: &super::world::Pod, expected_ms: i64) -> i64 {
    (expected_ms - (world.now_ms - pod.task_since_ms))
        .max(expected_ms / 10)
        .max(1000)
}

fn view(world: &World, pod: &super::world::Pod) -> Pod {
    Pod {
        uid: pod.number.to_string(),
        name: pod.number.to_string(),
        ready: world.ready(pod),
        leaving: pod.leaving_ms.is_some(),
        flagged: pod.flagged,
        condemned: pod.condemned,
        fresh: false,
        protected: true,
        tasks: usize::from(pod.task.is_some()),
        left_ms: pod
            .task
            .map_or(0, |task| left_ms(world, pod, world.tasks[task].expected_ms)),
        idle_ms: 0,
    }
}

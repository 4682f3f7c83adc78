//! What owners of tasks do, and what each answer must be.

use queue::*;

use crate::model::{CANCELS, Place, Task};
use crate::step::{Reply, Step};
use crate::workers::queue_name;
use crate::world::{Holds, World, ensure, tell};

const MODELS: [&str; 2] = ["bp", "mt3"];
const KEY_TTL_MS: u64 = 3_600_000;

fn calls(reply: Reply) -> usize {
    match reply {
        Reply::Heard | Reply::Lost => 1,
        Reply::Repeated => 2,
    }
}

impl World<'_> {
    pub(crate) async fn enqueue_step(&mut self, step: Step) -> Holds {
        match step {
            Step::Enqueue {
                queue,
                priority,
                model,
                audio_ms,
                delay_ms,
                max_retries,
                max_depth,
                key,
                reply,
            } => {
                let n = self.model.tasks.len();
                self.model.tasks.push(Task {
                    name: format!("t{n}"),
                    queue: queue as usize,
                    priority: [Priority::High, Priority::Normal, Priority::Low][priority as usize],
                    model: MODELS[model as usize].to_owned(),
                    audio_ms,
                    max_retries,
                    place: Place::Gone,
                    turn: 0,
                    life: 1,
                    attempt: 0,
                    retries: 0,
                    crashes: 0,
                    solo_crashes: 0,
                    releases: 0,
                    parked: false,
                    cancel: None,
                    token: None,
                    last_failed: None,
                    last_released: None,
                    completed: false,
                    kind: String::new(),
                    finished_at: 0,
                    key: None,
                    row_life: None,
                });
                let key = key.map(|key| format!("key{key}"));
                for _ in 0..calls(reply) {
                    self.enqueue(n, 1, delay_ms, max_depth, key.clone()).await?;
                }
                self.counts.tasks += 1;
                Ok(())
            }
            Step::EnqueueAgain { task } => {
                let Some(n) = self.any_task(task) else {
                    return Ok(());
                };
                let life = self.model.tasks[n].life + 1;
                self.enqueue(n, life, 0, 0, None).await
            }
            _ => Ok(()),
        }
    }

    /// One ENQUEUE. Of a task that is gone nothing is known any more, so its life must be a later one.
    pub(crate) async fn enqueue(
        &mut self,
        n: usize,
        life: u64,
        delay_ms: u64,
        max_depth: u64,
        key: Option<String>,
    ) -> Holds {
        self.called("enqueue");
        self.touched.insert(n);
        let id = self.id(n);
        let task = &self.model.tasks[n];
        let new = NewTask {
            queue: queue_name(task.queue),
            priority: task.priority,
            life,
            delay_ms,
            max_retries: task.max_retries,
            max_depth,
            idempotency: key.clone().map(|key| (key, KEY_TTL_MS)),
            ..NewTask::new(
                id.clone(),
                task.model.clone(),
                TaskPayload::default(),
                task.audio_ms,
            )
        };
        let first = key.as_ref().and_then(|key| self.model.keys.get(key));
        let depth = self.model.depth(task.queue) as u64;
        let expected = match first {
            Some(first) => Enqueued::Known {
                id: self.id(*first),
            },
            None if task.place != Place::Gone => Enqueued::Known { id: id.clone() },
            None if max_depth > 0 && depth >= max_depth => Enqueued::Full { depth },
            None => Enqueued::New,
        };
        let answer = self.site.queue.enqueue(&new).await?;
        tell!(
            self,
            "enqueue {id} life {life} delay {delay_ms} key {key:?}: {answer:?}"
        );
        let known = |answer: &Enqueued| matches!(answer, Enqueued::Known { .. });
        let right = match self.faults.copies {
            // How full the lists are is vague.
            true => known(&answer) == known(&expected),
            false => answer == expected,
        };
        ensure!(right, "enqueue", "{id}: {answer:?} instead of {expected:?}");
        if answer == Enqueued::New {
            self.model.begin(n, life, delay_ms, key);
        }
        Ok(())
    }

    pub(crate) async fn cancel_step(&mut self, task: u8, kind: u8, reply: Reply) -> Holds {
        let Some(n) = self.one_of(task, Task::is_open) else {
            return Ok(());
        };
        for _ in 0..calls(reply) {
            self.cancel(n, kind as usize).await?;
        }
        Ok(())
    }

    pub(crate) async fn cancel(&mut self, n: usize, kind: usize) -> Holds {
        self.called("cancel");
        self.touched.insert(n);
        let id = self.id(n);
        let expected = self.model.cancel(n, kind);
        let word = [
            CancelKind::Cancelled,
            CancelKind::Deadline,
            CancelKind::QueueDeadline,
        ][kind];
        let answer = self.site.queue.cancel(&id, word, "enough").await?;
        tell!(self, "cancel {id} ({}): {answer:?}", CANCELS[kind]);
        ensure!(
            answer == expected,
            "cancel",
            "{id}: {answer:?} instead of {expected:?}"
        );
        Ok(())
    }

    pub(crate) async fn park_step(&mut self, task: u8, on: bool, reply: Reply) -> Holds {
        let Some(n) = self.one_of(task, |task| task.is_open() && (on || task.parked)) else {
            return Ok(());
        };
        for _ in 0..calls(reply) {
            self.park(n, on).await?;
        }
        Ok(())
    }

    pub(crate) async fn park(&mut self, n: usize, on: bool) -> Holds {
        self.called(if on { "park" } else { "unpark" });
        self.touched.insert(n);
        let id = self.id(n);
        let (expected, answer) = match on {
            true => (self.model.park(n), self.site.queue.park(&id).await?),
            false => (self.model.unpark(n), self.site.queue.unpark(&id).await?),
        };
        tell!(self, "park {id} {on}: {answer:?}");
        ensure!(
            answer == expected,
            "park",
            "{id}: park {on}: {answer:?} instead of {expected:?}"
        );
        Ok(())
    }

    pub(crate) async fn replay_step(&mut self, task: u8, raise: bool, reply: Reply) -> Holds {
        let Some(n) = self.one_of(task, |task| task.place == Place::Final && !task.completed)
        else {
            return Ok(());
        };
        let task = &self.model.tasks[n];
        // Only a failed row is retried; whoever calls with an old life has not heard the answer.
        let raise = raise && task.place == Place::Final && !task.completed;
        let life = task.life + u64::from(raise);
        for _ in 0..calls(reply) {
            self.replay(n, life).await?;
        }
        Ok(())
    }

    /// The row first, then REPLAY; and ENQUEUE where Redis has forgotten the task.
    pub(crate) async fn replay(&mut self, n: usize, life: u64) -> Holds {
        self.called("replay");
        self.touched.insert(n);
        let id = self.id(n);
        let (expected, changes) = self.model.replay(n, life);
        if changes {
            self.model.tasks[n].row_life = Some(life);
        }
        let answer = self.site.queue.replay(&id, life).await?;
        tell!(self, "replay {id} life {life}: {answer:?}");
        ensure!(
            answer == expected,
            "replay",
            "{id} life {life}: {answer:?} instead of {expected:?}"
        );
        if answer == Replayed::Unknown {
            let later = self.model.tasks[n].life + 1;
            self.enqueue(n, later, 0, 0, None).await?;
        }
        Ok(())
    }

    pub(crate) async fn forget_step(&mut self, task: u8) -> Holds {
        match self.one_of(task, |task| task.place == Place::Final) {
            Some(n) => {
                if matches!(self.model.tasks[n].place, Place::Final | Place::Gone) {
                    self.model.tasks[n].row_life = None;
                }
                self.forget(n).await
            }
            None => Ok(()),
        }
    }

    pub(crate) async fn forget(&mut self, n: usize) -> Holds {
        self.called("forget");
        self.touched.insert(n);
        let id = self.id(n);
        let expected = self.model.forget(n);
        let answer = self.site.queue.forget(&id).await?;
        tell!(self, "forget {id}: {answer}");
        ensure!(
            answer == expected,
            "forget",
            "{id}: {answer} instead of {expected}"
        );
        Ok(())
    }
}

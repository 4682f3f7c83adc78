//! What workers do, and what each answer must be.

use queue::*;

use crate::model::QUEUES;
use crate::model_calls::{Ended, Expected};
use crate::step::{End, Reply};
use crate::view::View;
use crate::world::{Held, Holds, Violation, World, ensure, tell};

/// How long a worker's hash stays without a beat: longer than any history.
const WORKER_TTL_MS: u64 = 3_600_000;

pub(crate) fn worker_id(name: &str) -> WorkerId {
    match WorkerId::parse(name) {
        Ok(id) => id,
        Err(error) => panic!("the history's own name: {error}"),
    }
}

pub(crate) fn queue_name(queue: usize) -> QueueName {
    match QueueName::parse(QUEUES[queue]) {
        Ok(name) => name,
        Err(error) => panic!("the history's own name: {error}"),
    }
}

impl World<'_> {
    pub(crate) async fn claim_step(&mut self, worker: u8, queues: u8, reply: Reply) -> Holds {
        let w = self.any_worker(worker);
        if self.workers[w].held.len() as u32 >= self.workers[w].slots {
            return Ok(());
        }
        let queues: &[usize] = match queues {
            0 => &[0, 1],
            1 => &[1, 0],
            2 => &[0],
            _ => &[1],
        };
        let worker = &self.workers[w];
        let asked = ClaimRequest {
            worker: worker_id(&worker.name),
            queues: queues.iter().map(|queue| queue_name(*queue)).collect(),
            nonce: String::new(),
            held: worker.held.len() as u32,
            slots: worker.slots,
        };
        let nonce = self.nonce();
        let asked = ClaimRequest { nonce, ..asked };
        let Some(claim) = self.claim(&asked).await? else {
            return Ok(());
        };
        if reply == Reply::Repeated {
            let again = self.claim(&asked).await?;
            let same = again.is_some_and(|again| again.token == claim.token);
            ensure!(same, "S5", "the repeated claim of {} is another", claim.id);
        }
        match reply {
            Reply::Lost => self.is_zombie(claim), // nobody renews it, but the answer may yet arrive
            _ => self.workers[w].held.push(claim),
        }
        Ok(())
    }

    /// One CLAIM, its answer compared with what the model allows.
    pub(crate) async fn claim(&mut self, asked: &ClaimRequest) -> Result<Option<Held>, Violation> {
        self.called("claim");
        let expected = self.model.claim(asked);
        let answer = self.site.queue.claim(asked).await?;
        let who = &asked.worker;
        let ClaimAnswer::Claimed(claim) = answer else {
            tell!(self, "{who} claims: {answer:?}");
            let right = match (&answer, &expected) {
                (ClaimAnswer::Paused, Expected::Paused) => true,
                (ClaimAnswer::Again, Expected::Spent) => true,
                (ClaimAnswer::Draining, Expected::Draining) => true,
                (ClaimAnswer::Nothing { next_due_ms }, Expected::Nothing) => {
                    *next_due_ms == self.model.next_due() || self.faults.copies
                }
                (ClaimAnswer::Nothing { .. } | ClaimAnswer::Again, Expected::Anything) => true,
                _ => false,
            };
            ensure!(
                right,
                "claim",
                "{who} claims: {answer:?} instead of {expected:?}"
            );
            return Ok(None);
        };
        let id = &claim.id;
        tell!(
            self,
            "{who} (holds {}) claims: {id}, attempt {}, alone {}",
            asked.held,
            claim.attempt,
            claim.alone
        );
        let Some(n) = self.task_of(id.as_str()) else {
            return Err(Violation {
                rule: "claim",
                what: format!("an alien id: {id}"),
            });
        };
        self.touched.insert(n);
        let task = &mut self.model.tasks[n];
        let again = expected == Expected::Again(n);
        ensure!(
            claim.replayed == again,
            "claim",
            "{who} claims {id}: replayed {} instead of {expected:?}",
            claim.replayed
        );
        if !again {
            let twice = task.run().map(|run| &run.worker);
            ensure!(
                twice.is_none(),
                "claimed twice",
                "{id} is given to {who}, but runs on {twice:?}"
            );
            ensure!(
                task.waits() && !task.parked,
                "claim",
                "{id} cannot be claimed: {task:?}"
            );
            let allowed = match &expected {
                Expected::OneOf(list) => list.contains(&n),
                Expected::Anything => true,
                _ => false,
            };
            ensure!(
                allowed,
                "claim",
                "{who} claims {id} instead of {expected:?}"
            );
            ensure!(
                claim.attempt > task.attempt,
                "S6",
                "{id}: attempt {} after {}",
                claim.attempt,
                task.attempt
            );
            if self.faults.copies {
                task.crashes = claim.crashes; // strays that the model cannot see
            }
            // A second copy may have stayed in the list `:alone` while a replay forgave the crashes: then it runs alone for nothing.
            let alone = task.crashes > 0 || (self.faults.copies && claim.alone);
            self.model.claimed(n, asked, &claim.token, alone);
        }
        let task = &self.model.tasks[n];
        let (alone, limit) = task
            .run()
            .map_or((false, 0), |run| (run.alone, run.hard_until));
        let known = (
            task.attempt,
            task.life,
            task.retries,
            task.crashes,
            task.audio_ms,
            task.token.as_ref(),
        );
        let told = (
            claim.attempt,
            claim.life,
            claim.retries,
            claim.crashes,
            claim.audio_ms,
            Some(&claim.token),
        );
        ensure!(
            told == known,
            "claim",
            "{id}: told {told:?} instead of {known:?}"
        );
        ensure!(
            claim.alone == alone,
            "alone",
            "{id}: told alone {} instead of {alone}",
            claim.alone
        );
        let left = limit.saturating_sub(self.model.now);
        ensure!(
            claim.hard_limit_ms == left,
            "claim",
            "{id}: limit {} instead of {left}",
            claim.hard_limit_ms
        );
        Ok(Some(Held {
            n,
            id: claim.id,
            token: claim.token,
        }))
    }

    pub(crate) async fn end_step(&mut self, worker: u8, held: u8, end: End, reply: Reply) -> Holds {
        let w = self.any_worker(worker);
        let Some(at) = (held as usize).checked_rem(self.workers[w].held.len()) else {
            return Ok(());
        };
        let claim = self.workers[w].held.swap_remove(at);
        self.end(&claim, end).await?;
        if reply == Reply::Repeated {
            self.end(&claim, end).await?;
        }
        self.is_zombie(claim);
        Ok(())
    }

    /// Any of the three ends. A call that is refused, or that only repeats, must leave everything as it is.
    pub(crate) async fn end(&mut self, claim: &Held, end: End) -> Holds {
        let (id, token) = (&claim.id, &claim.token);
        let (expected, changes) = self.model.end(claim.n, token, end);
        let before = match changes {
            true => None,
            false => Some(self.look_at_all().await?),
        };
        self.touched.insert(claim.n);
        let queue = &self.site.queue;
        let (call, answer) = match end {
            End::Complete => {
                let completion = Completion {
                    id: id.clone(),
                    token: token.clone(),
                    result: ResultPointer::default(),
                    busy_ms: 6_000,
                    ttl_ms: 86_400_000,
                };
                (
                    "complete",
                    Ended::Complete(queue.complete(&completion).await?),
                )
            }
            End::Fail {
                retryable,
                pause_ms,
            } => {
                let failure = Failure {
                    id: id.clone(),
                    token: token.clone(),
                    error: TaskError {
                        code: "disk_full".into(),
                        kind: "storage".into(),
                        message: String::new(),
                    },
                    retryable,
                    backoff_ms: pause_ms,
                };
                ("fail", Ended::Fail(queue.fail(&failure).await?))
            }
            End::Release => ("release", Ended::Release(queue.release(id, token).await?)),
        };
        self.called(call);
        tell!(self, "{id} by {}: {end:?}: {answer:?}", token.as_str());
        ensure!(
            answer == expected,
            "S5",
            "{id} by {}: {answer:?} instead of {expected:?}",
            token.as_str()
        );
        if let Some(before) = before {
            self.counts.fenced += 1;
            self.unchanged(&before, "a refused or repeated end").await?;
        }
        Ok(())
    }

    pub(crate) async fn unchanged(&mut self, before: &str, by: &str) -> Holds {
        let after = self.look_at_all().await?;
        // Redis may turn the fields of a hash around, so the text alone says little.
        if before != after && View::of(before) != View::of(&after) {
            let mut lines = before.split('\n').zip(after.split('\n'));
            let changed = lines.find(|(old, new)| old != new);
            ensure!(false, "S5", "{by} changed something: {changed:?}");
        }
        Ok(())
    }

    pub(crate) async fn progress_step(&mut self, worker: u8, held: u8) -> Holds {
        let w = self.any_worker(worker);
        match (held as usize).checked_rem(self.workers[w].held.len()) {
            Some(at) => {
                let claim = self.workers[w].held[at].clone();
                self.progress(&claim).await
            }
            None => Ok(()),
        }
    }

    pub(crate) async fn progress(&mut self, claim: &Held) -> Holds {
        self.called("progress");
        let owns = self.model.tasks[claim.n].owned_by(&claim.token);
        let progress = Progress::default();
        let stored = self
            .site
            .queue
            .progress(&claim.id, &claim.token, &progress)
            .await?;
        tell!(
            self,
            "{} by {}: progress: {stored}",
            claim.id,
            claim.token.as_str()
        );
        self.counts.fenced += u64::from(!stored);
        ensure!(
            stored == owns,
            "S5",
            "{}: progress of {} stored {stored} instead of {owns}",
            claim.id,
            claim.token.as_str()
        );
        Ok(())
    }

    pub(crate) async fn beat_step(&mut self, worker: u8, obeys: bool) -> Holds {
        let w = self.any_worker(worker);
        let (name, pod) = (self.workers[w].name.clone(), self.workers[w].pod.clone());
        let held = std::mem::take(&mut self.workers[w].held);
        let states = self.beat(&name, &pod, &held).await?;
        for (claim, state) in held.into_iter().zip(states) {
            let end = match state {
                LeaseState::Kept => None,
                LeaseState::Lost => {
                    self.is_zombie(claim);
                    continue;
                }
                LeaseState::CancelRequested | LeaseState::LimitPassed => {
                    obeys.then_some(End::Fail {
                        retryable: true,
                        pause_ms: 0,
                    })
                }
            };
            match end {
                Some(end) => {
                    self.end(&claim, end).await?;
                    self.is_zombie(claim);
                }
                None => self.workers[w].held.push(claim),
            }
        }
        Ok(())
    }

    pub(crate) async fn beat(
        &mut self,
        name: &str,
        pod: &str,
        held: &[Held],
    ) -> Result<Vec<LeaseState>, Violation> {
        self.called("heartbeat");
        let expected: Vec<LeaseState> = held
            .iter()
            .map(|claim| self.model.beat(claim.n, &claim.token))
            .collect();
        self.touched.extend(held.iter().map(|claim| claim.n));
        let beat = Beat {
            worker: worker_id(name),
            state: WorkerState::Busy,
            about: WorkerAbout {
                pod_uid: pod.to_owned(),
                slots: 1,
                ..WorkerAbout::default()
            },
            held: held
                .iter()
                .map(|claim| (claim.id.clone(), claim.token.clone()))
                .collect(),
            ttl_ms: WORKER_TTL_MS,
        };
        let answer = self.site.queue.heartbeat(&beat).await?;
        self.model.seen.entry(name.to_owned()).or_default().pod = Some(pod.to_owned());
        tell!(self, "{name} beats for {:?}: {answer:?}", beat.held);
        ensure!(
            answer.leases == expected,
            "S5",
            "{name} beats for {:?}: {:?} instead of {expected:?}",
            beat.held,
            answer.leases
        );
        let flags = &self.model.flags;
        let drains = flags.contains(name) || flags.contains(&format!("pod:{pod}"));
        ensure!(
            answer.draining == drains,
            "drain",
            "{name} is told draining {} instead of {drains}",
            answer.draining
        );
        let lost = expected.iter().filter(|state| **state == LeaseState::Lost);
        self.counts.fenced += lost.count() as u64;
        Ok(answer.leases)
    }
}

//! What workers do, in time and too late, and what each answer must be.

use queue::*;

use crate::model::{Place, QUEUES};
use crate::model_calls::{Ended, Expected};
use crate::step::{End, Epoch, Late, Reply, Told};
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
            self.model.claimed(n, asked, &claim.token);
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

    async fn progress(&mut self, claim: &Held) -> Holds {
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

    async fn beat(
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

    /// Stopped for a while; the others live on.
    pub(crate) async fn sleep_step(&mut self, worker: u8, ms: u64, end: End) -> Holds {
        let w = self.any_worker(worker);
        tell!(self, "{} is stopped", self.workers[w].name);
        let mut left = ms;
        while left > 0 {
            let pass = left.min(5_000);
            left -= pass;
            self.advance(pass);
            for other in 0..self.workers.len() {
                if other != w && !self.workers[other].held.is_empty() {
                    self.beat_step(other as u8, true).await?;
                }
            }
            self.reap(100, 0).await?;
        }
        tell!(self, "{} goes on", self.workers[w].name);
        for claim in std::mem::take(&mut self.workers[w].held) {
            self.end(&claim, end).await?;
            self.is_zombie(claim);
        }
        Ok(())
    }

    pub(crate) async fn zombie_step(&mut self, claim: u8, late: Late) -> Holds {
        let Some(at) = (claim as usize).checked_rem(self.zombies.len()) else {
            return Ok(());
        };
        let claim = self.zombies[at].clone();
        match late {
            Late::End(end) => self.end(&claim, end).await,
            Late::Progress => self.progress(&claim).await,
            Late::Beat => {
                let owns = self.model.tasks[claim.n].owned_by(&claim.token);
                let before = self.look_at_all().await?;
                self.beat("zombie", "", &[claim]).await?;
                match owns {
                    true => Ok(()),
                    false => self.unchanged(&before, "a stranger's heartbeat").await,
                }
            }
            Late::Verify => {
                self.called("verify");
                let expected = self.model.verify(claim.n, &claim.token);
                let verdict = self.site.queue.verify(&claim.id, &claim.token).await?;
                ensure!(
                    verdict == expected,
                    "S5",
                    "{} by {}: {verdict:?} instead of {expected:?}",
                    claim.id,
                    claim.token.as_str()
                );
                Ok(())
            }
        }
    }

    pub(crate) async fn crash_step(&mut self, worker: u8, told: Told) -> Holds {
        let w = self.any_worker(worker);
        let dead = self.workers.swap_remove(w);
        tell!(self, "{} dies, holding {}", dead.name, dead.held.len());
        for claim in dead.held {
            self.is_zombie(claim); // or so it is believed
        }
        self.boot();
        match told {
            Told::Nobody => Ok(()),
            Told::Parent => self.expire_worker(&dead.name, None).await,
            Told::Leader(epoch) => {
                let epoch = self.epoch(epoch);
                self.expire_worker(&dead.name, epoch).await
            }
        }
    }

    pub(crate) fn epoch(&self, epoch: Epoch) -> Option<u64> {
        match epoch {
            Epoch::None => None,
            Epoch::Known => Some(self.model.epoch),
            Epoch::Higher => Some(self.model.epoch + 1),
            Epoch::Lower => Some(self.model.epoch.saturating_sub(1)),
        }
    }

    async fn expire_worker(&mut self, name: &str, epoch: Option<u64>) -> Holds {
        self.called("expire_worker");
        self.touch_running();
        let expected = if self.model.heard(epoch) {
            self.model.expire_worker(name);
            self.model.reap(100, 0)
        } else {
            ReapReport {
                stale_epoch: true,
                ..ReapReport::default()
            }
        };
        let report = self
            .site
            .queue
            .expire_worker(&worker_id(name), epoch, &ReapOptions::default())
            .await?;
        tell!(self, "{name} is reported dead, epoch {epoch:?}: {report:?}");
        self.compare_reports(&report, &expected)
    }

    pub(crate) async fn reap(&mut self, batch: u32, backoff_ms: u64) -> Holds {
        self.called("reap");
        self.touch_running();
        // Copies may fill a batch with ids that the model does not see there.
        let batch = if self.faults.copies { 1_000 } else { batch };
        let expected = self.model.reap(batch, backoff_ms);
        let options = ReapOptions {
            batch,
            crash_backoff_ms: backoff_ms,
            ..ReapOptions::default()
        };
        let report = self.site.queue.reap(&options).await?;
        tell!(self, "reap, pause {backoff_ms}: {report:?}");
        self.compare_reports(&report, &expected)
    }

    fn compare_reports(&self, report: &ReapReport, expected: &ReapReport) -> Holds {
        let same = match self.faults.copies {
            true => {
                (
                    report.poisoned,
                    report.purged,
                    report.amnesty,
                    report.stale_epoch,
                ) == (
                    expected.poisoned,
                    expected.purged,
                    expected.amnesty,
                    expected.stale_epoch,
                )
            }
            false => report == expected,
        };
        ensure!(same, "reap", "{report:?} instead of {expected:?}");
        Ok(())
    }

    /// Time may change all that is not final.
    pub(crate) fn touch_running(&mut self) {
        for (n, task) in self.model.tasks.iter().enumerate() {
            if !matches!(task.place, Place::Gone | Place::Final) || task.is_dead_letter() {
                self.touched.insert(n);
            }
        }
    }
}

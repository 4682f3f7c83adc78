//! The steps of a history: what workers, owners, reapers and old clients do, and what each answer must be.

use queue::*;
use rand::Rng;
use rand::seq::IndexedRandom;

use super::{CANCELS, History, Known, Worker};
use crate::support::*;

impl History {
    pub(super) fn boot(&mut self) {
        self.boots += 1;
        let slots = self.rng.random_range(1..=3);
        self.workers.push(Worker {
            name: format!("w{}", self.boots),
            slots,
            held: vec![],
        });
    }

    fn any_id(&mut self) -> Option<TaskId> {
        let names: Vec<&String> = self.known.keys().collect();
        names.choose(&mut self.rng).map(|name| id(name))
    }

    fn owner(&mut self, id: &TaskId) -> &mut Option<(Token, bool)> {
        &mut self.known.get_mut(id.as_str()).unwrap().owner
    }

    fn owns(&self, claim: &Claim) -> bool {
        self.known[claim.id.as_str()]
            .owner
            .as_ref()
            .is_some_and(|(token, _)| *token == claim.token)
    }

    pub(super) async fn step(&mut self) {
        let w = self.rng.random_range(0..self.workers.len());
        match self.rng.random_range(0..100) {
            0..=17 => self.enqueue().await,
            18..=42 => self.claim(w).await,
            43..=52 => self.end_one(w).await,
            53..=60 => self.beat(w).await,
            61..=68 => self.zombie().await,
            69..=73 => self.crash(w).await,
            74..=82 => {
                let ms = self.rng.random_range(1..9_000);
                self.b.advance(ms);
                if self.rng.random_bool(0.85) {
                    self.reap().await;
                }
            }
            83..=94 => self.owner_acts().await,
            95..=97 => self.old_client().await,
            _ => self.read_outbox().await,
        }
    }

    async fn enqueue(&mut self) {
        let again = self.rng.random_bool(0.1);
        let name = if again && !self.known.is_empty() {
            self.any_id().unwrap().to_string()
        } else {
            format!("t{}", self.known.len())
        };
        let new = NewTask {
            queue: self.queues.choose(&mut self.rng).unwrap().clone(),
            priority: *[Priority::High, Priority::Normal, Priority::Low]
                .choose(&mut self.rng)
                .unwrap(),
            model: ["bp", "mt3"].choose(&mut self.rng).unwrap().to_string(),
            audio_ms: self.rng.random_range(100_000..200_000),
            delay_ms: if self.rng.random_bool(0.2) {
                self.rng.random_range(1..20_000)
            } else {
                0
            },
            max_retries: self.rng.random_range(0..3),
            ..task(&name)
        };
        let answer = self.b.queue.enqueue(&new).await.unwrap();
        match self.known.get(&name) {
            Some(_) => assert_eq!(answer, Enqueued::Known { id: id(&name) }),
            None => {
                assert_eq!(answer, Enqueued::New);
                self.known.insert(
                    name,
                    Known {
                        life: 1,
                        ..Known::default()
                    },
                );
            }
        }
    }

    async fn claim(&mut self, w: usize) {
        let worker = &self.workers[w];
        if worker.held.len() as u32 >= worker.slots {
            return;
        }
        let mut queues = self.queues.to_vec();
        if self.rng.random_bool(0.3) {
            queues.truncate(1);
        }
        let asked = ClaimRequest {
            queues,
            held: worker.held.len() as u32,
            slots: worker.slots,
            ..request(&worker.name)
        };
        let answer = self.b.queue.claim(&asked).await.unwrap();
        let ClaimAnswer::Claimed(claim) = answer else {
            return;
        };
        let lives_alone = worker.held.iter().any(|held| held.alone && self.owns(held));
        let busy = worker.held.iter().any(|held| self.owns(held));
        assert!(!lives_alone, "{} beside a task that runs alone", claim.id);
        assert!(!(claim.alone && busy), "{} should run alone", claim.id);
        assert_eq!(claim.alone, claim.crashes > 0);
        let solo = claim.alone || worker.slots == 1;
        let known = self.known.get_mut(claim.id.as_str()).unwrap();
        assert!(known.owner.is_none(), "{} is claimed twice", claim.id);
        assert!(claim.attempt > known.attempt, "S6");
        known.attempt = claim.attempt;
        known.owner = Some((claim.token.clone(), solo));
        assert_eq!(claim.life, known.life);
        if self.rng.random_bool(0.3) {
            let ClaimAnswer::Claimed(again) = self.b.queue.claim(&asked).await.unwrap() else {
                panic!("the claim is gone")
            };
            assert_eq!(
                (again.id, again.token.clone(), again.replayed),
                (claim.id.clone(), claim.token.clone(), true)
            );
        }
        match self.rng.random_bool(0.05) {
            true => self.zombies.push(*claim), // the reply was lost, and the worker gave up
            false => self.workers[w].held.push(*claim),
        }
    }

    async fn end_one(&mut self, w: usize) {
        if self.workers[w].held.is_empty() {
            return;
        }
        let n = self.rng.random_range(0..self.workers[w].held.len());
        let claim = self.workers[w].held.swap_remove(n);
        self.end(&claim).await;
    }

    /// Any of the three ends, twice; true to what the test knows about the owner.
    async fn end(&mut self, claim: &Claim) {
        let owns = self.owns(claim);
        let before = if owns {
            None
        } else {
            Some(self.b.dump().await)
        };
        let q = &self.b.queue;
        let twice = self.rng.random_bool(0.4);
        match self.rng.random_range(0..3) {
            0 => {
                let answer = q.complete(&completion(claim)).await.unwrap();
                assert_eq!(answer == Completed::Done, owns, "S5 {claim:?} {answer:?}");
                if owns && twice {
                    assert_eq!(
                        q.complete(&completion(claim)).await.unwrap(),
                        Completed::Already
                    );
                }
            }
            1 => {
                let failure = failure(
                    claim,
                    self.rng.random_bool(0.7),
                    self.rng.random_range(0..9_000),
                );
                let answer = q.fail(&failure).await.unwrap();
                assert_eq!(
                    matches!(answer, FailAnswer::Final | FailAnswer::Retrying),
                    owns,
                    "S5 {claim:?} {answer:?}"
                );
                if owns && twice {
                    assert_eq!(q.fail(&failure).await.unwrap(), FailAnswer::Already);
                }
            }
            _ => {
                let answer = q.release(&claim.id, &claim.token).await.unwrap();
                // A repeat after a cancelled end says so again; that it changed nothing is seen below.
                let accepted = matches!(answer, Released::Returned | Released::WasCancelled);
                let repeated = answer == Released::WasCancelled;
                assert!(
                    accepted == owns || (repeated && !owns),
                    "S5 {claim:?} {answer:?}"
                );
                if owns && twice {
                    let again = q.release(&claim.id, &claim.token).await.unwrap();
                    assert!(matches!(again, Released::Already | Released::WasCancelled));
                }
            }
        }
        match before {
            None => {
                *self.owner(&claim.id) = None;
                self.zombies.push(claim.clone());
            }
            Some(before) => assert_eq!(
                self.b.dump().await,
                before,
                "S5: a stranger changed something"
            ),
        }
    }

    async fn beat(&mut self, w: usize) {
        let held = std::mem::take(&mut self.workers[w].held);
        let pairs: Vec<_> = held.iter().map(|claim| (&claim.id, &claim.token)).collect();
        let answer = self
            .b
            .queue
            .heartbeat(&beat(&self.workers[w].name, &pairs))
            .await
            .unwrap();
        for (claim, state) in held.into_iter().zip(answer.leases) {
            assert_eq!(
                state == LeaseState::Lost,
                !self.owns(&claim),
                "S5 {claim:?} {state:?}"
            );
            match state {
                LeaseState::Lost => self.zombies.push(claim),
                LeaseState::CancelRequested if self.rng.random_bool(0.7) => {
                    let answer = self.b.queue.fail(&failure(&claim, true, 0)).await.unwrap();
                    assert_eq!(answer, FailAnswer::Final);
                    *self.owner(&claim.id) = None;
                    self.zombies.push(claim);
                }
                _ => self.workers[w].held.push(claim),
            }
        }
    }

    async fn zombie(&mut self) {
        let Some(claim) = self.zombies.choose(&mut self.rng).cloned() else {
            return;
        };
        match self.rng.random_range(0..4) {
            // A paused worker whose lease still stands may well finish: only strangers are refused.
            0 => self.end(&claim).await,
            1 => {
                let owns = self.owns(&claim);
                let stored = self
                    .b
                    .queue
                    .progress(&claim.id, &claim.token, &Progress::default())
                    .await
                    .unwrap();
                assert_eq!(stored, owns);
            }
            2 => {
                let verdict = self.b.queue.verify(&claim.id, &claim.token).await.unwrap();
                assert_eq!(verdict == Verdict::Live, self.owns(&claim));
            }
            _ => {
                let lease = self.b.lease_end(claim.id.as_str()).await;
                let answer = self
                    .b
                    .queue
                    .heartbeat(&beat("zombie", &[(&claim.id, &claim.token)]))
                    .await
                    .unwrap();
                if !self.owns(&claim) {
                    assert_eq!(answer.leases, [LeaseState::Lost]);
                    assert_eq!(
                        self.b.lease_end(claim.id.as_str()).await,
                        lease,
                        "S5: a stranger renewed"
                    );
                }
            }
        }
    }

    async fn crash(&mut self, w: usize) {
        let dead = self.workers.swap_remove(w);
        self.zombies.extend(dead.held);
        self.boot();
        if self.rng.random_bool(0.5) {
            self.b
                .queue
                .expire_worker(&worker(&dead.name), None, &ReapOptions::default())
                .await
                .unwrap();
            self.after_reap().await;
        }
    }

    pub(super) async fn reap(&mut self) {
        self.b.reap().await;
        self.after_reap().await;
    }

    /// Who lost a task, and whether alone.
    async fn after_reap(&mut self) {
        let ids: Vec<TaskId> = self.known.keys().map(|name| id(name)).collect();
        for snapshot in self
            .b
            .queue
            .snapshots(&ids)
            .await
            .unwrap()
            .into_iter()
            .flatten()
        {
            let known = self.known.get_mut(snapshot.id.as_str()).unwrap();
            if snapshot.status != TaskStatus::Processing
                && let Some((_, solo)) = known.owner.take()
                && !CANCELS.contains(&snapshot.error_kind.as_deref().unwrap_or_default())
            {
                known.solo_crashes += u32::from(solo);
            }
        }
    }

    async fn owner_acts(&mut self) {
        let Some(id) = self.any_id() else { return };
        let q = &self.b.queue;
        match self.rng.random_range(0..10) {
            0 | 1 => {
                let kind = *[
                    CancelKind::Cancelled,
                    CancelKind::Deadline,
                    CancelKind::QueueDeadline,
                ]
                .choose(&mut self.rng)
                .unwrap();
                q.cancel(&id, kind, "enough").await.unwrap();
            }
            2 | 3 => drop(q.park(&id).await.unwrap()),
            4 | 5 => drop(q.unpark(&id).await.unwrap()),
            6 | 7 => {
                let life = self.known[id.as_str()].life + 1;
                if q.replay(&id, life).await.unwrap() == Replayed::Queued {
                    assert_eq!(q.replay(&id, life).await.unwrap(), Replayed::Queued);
                    let known = self.known.get_mut(id.as_str()).unwrap();
                    (known.life, known.solo_crashes) = (life, 0);
                }
            }
            _ => {
                let name = &self.workers.choose(&mut self.rng).unwrap().name;
                let target = DrainTarget::Worker(worker(name));
                match self.rng.random_bool(0.4) {
                    true => q.drain(&target, None).await.unwrap(),
                    false => q.undrain(&target, None).await.unwrap(),
                };
            }
        }
    }

    /// A client of the seed's era.
    async fn old_client(&mut self) {
        if self.copies && self.rng.random_bool(0.5) {
            if let Some(id) = self.any_id() {
                self.b
                    .cmd::<i64>(&["LPUSH", "task:queue", id.as_str()])
                    .await;
            }
        } else {
            self.b
                .cmd::<Option<String>>(&["RPOPLPUSH", "task:queue", "task:processing"])
                .await;
        }
    }

    pub(super) async fn read_outbox(&mut self) {
        let most = self.rng.random_range(1..20);
        let entries = self.b.queue.results(most).await.unwrap();
        for entry in &entries {
            assert!(entry.number > self.last_number, "S8");
            self.last_number = entry.number;
            let records = self
                .known
                .get_mut(entry.id.as_str())
                .unwrap()
                .records
                .entry(entry.life)
                .or_default();
            *records += 1;
            assert_eq!(*records, 1, "S3: {} life {}", entry.id, entry.life);
        }
        assert_eq!(
            self.b
                .queue
                .ack_results(self.last_number, 1000)
                .await
                .unwrap(),
            entries.len()
        );
    }
}

//! Random histories: workers crash, pause and come back, replies are lost, owners cancel, park and replay, old clients move
//! ids by hand. After each few steps the invariants hold; then faults end, and every task ends.
//!
//! `QUEUE_TEST_SEED=N` repeats a run, `QUEUE_TEST_HISTORIES=N` makes it longer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use queue::*;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::*;

const STEPS: usize = 200;
const CANCELS: [&str; 3] = ["cancelled", "deadline", "queue_deadline"];

struct Worker {
    name: String,
    slots: u32,
    held: Vec<Claim>,
}

/// What the test knows without asking Redis.
#[derive(Default)]
struct Known {
    life: u64,
    attempt: u32,
    /// Of the last claim, until it was lost or handed back.
    owner: Option<(Token, bool)>,
    solo_crashes: u32,
    records: BTreeMap<u64, u32>,
}

struct History {
    b: Bench,
    rng: StdRng,
    queues: [QueueName; 2],
    known: BTreeMap<String, Known>,
    workers: Vec<Worker>,
    zombies: Vec<Claim>,
    boots: u32,
    last_number: u64,
    /// Second copies of an id make the sums of the scaler vague; most histories have none.
    copies: bool,
}

struct Seed(u64);

impl Drop for Seed {
    #[expect(clippy::print_stderr, reason = "the seed of a failed run")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat with QUEUE_TEST_SEED={}", self.0);
        }
    }
}

async fn histories(salt: u64) {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let first = number("QUEUE_TEST_SEED").unwrap_or_else(|| rand::random::<u32>().into());
    let b = bench().await;
    for n in 0..number("QUEUE_TEST_HISTORIES").unwrap_or(50) {
        let seed = Seed(first + n);
        let _: String = b.cmd(&["FLUSHALL"]).await;
        b.clock.store(START_MS, std::sync::atomic::Ordering::SeqCst);
        let mut rng = StdRng::seed_from_u64(seed.0.wrapping_mul(2).wrapping_add(salt));
        let copies = rng.random_bool(0.2);
        let queues = [QueueName::default(), QueueName::parse("gpu").unwrap()];
        let mut h = History {
            b: b.clone(),
            rng,
            queues,
            known: BTreeMap::new(),
            workers: vec![],
            zombies: vec![],
            boots: 0,
            last_number: 0,
            copies,
        };
        for _ in 0..4 {
            h.boot();
        }
        for step in 0..STEPS {
            h.step().await;
            if step % 4 == 0 {
                h.check().await;
            }
        }
        h.drain().await;
    }
}

#[tokio::test]
async fn random_histories_even() {
    histories(0).await;
}

#[tokio::test]
async fn random_histories_odd() {
    histories(1).await;
}

impl History {
    fn boot(&mut self) {
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

    async fn step(&mut self) {
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

    async fn reap(&mut self) {
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

    async fn read_outbox(&mut self) {
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

    async fn check(&mut self) {
        let b = &self.b;
        let mut places: HashMap<String, Vec<String>> = HashMap::new();
        for base in ["task:queue", "task:queue:gpu"] {
            for suffix in ["", ":high", ":low", ":alone"] {
                for name in b.list(&format!("{base}{suffix}")).await {
                    places
                        .entry(name)
                        .or_default()
                        .push(format!("ready{suffix}"));
                }
            }
        }
        let processing: BTreeSet<String> = b.list("task:processing").await.into_iter().collect();
        let leases: BTreeSet<String> = b.cmd(&["ZRANGE", "task:processing:time", "0", "-1"]).await;
        let delayed: BTreeSet<String> = b.cmd(&["ZRANGE", "task:delayed", "0", "-1"]).await;
        let parked: BTreeSet<String> = b.cmd(&["SMEMBERS", "task:parked"]).await;
        let dead: BTreeSet<String> = b.list("task:failed").await.into_iter().collect();
        let waiting = b.queue.results(100_000).await.unwrap();
        let (mut work, mut inflight) = (
            BTreeMap::<String, u64>::new(),
            BTreeMap::<String, u64>::new(),
        );
        let mut should_be_dead = BTreeSet::new();
        for (name, known) in &self.known {
            let h = b.hash(&format!("task:{name}")).await;
            let ready = places.get(name).map_or(&[][..], Vec::as_slice);
            let status = h["status"].as_str();
            let about = || {
                format!(
                    "{name} {h:?} {ready:?} processing {} lease {}",
                    processing.contains(name),
                    leases.contains(name)
                )
            };
            assert_eq!(h["attempt"], known.attempt.to_string(), "S6 {}", about());
            assert_eq!(h["life"], known.life.to_string());
            assert_eq!(
                h["solo_crashes"],
                known.solo_crashes.to_string(),
                "{}",
                about()
            );
            let records = waiting
                .iter()
                .filter(|entry| entry.id.as_str() == name && entry.life == known.life)
                .count() as u32
                + known.records.get(&known.life).copied().unwrap_or(0);
            let is_final = matches!(status, "completed" | "failed");
            assert_eq!(records, u32::from(is_final), "S3 {}", about());
            assert_eq!(status == "processing", known.owner.is_some(), "{}", about());
            let strayed = !self.copies && status == "pending" && processing.contains(name);
            match status {
                "pending" => {
                    let homes = usize::from(!ready.is_empty())
                        + usize::from(delayed.contains(name))
                        + usize::from(parked.contains(name))
                        + usize::from(processing.contains(name));
                    assert!(homes >= 1, "S1 {}", about());
                    if !self.copies {
                        assert_eq!((homes, ready.len() <= 1), (1, true), "{}", about());
                        assert_eq!(
                            parked.contains(name),
                            h.contains_key("parked"),
                            "{}",
                            about()
                        );
                        assert!(
                            ready.is_empty() || (ready == ["ready:alone"]) == (h["crashes"] != "0"),
                            "{}",
                            about()
                        );
                    }
                }
                "processing" => assert!(
                    processing.contains(name) && leases.contains(name),
                    "S2 {}",
                    about()
                ),
                _ if !self.copies => assert!(
                    !processing.contains(name) && !leases.contains(name),
                    "S4 {}",
                    about()
                ),
                _ => {}
            }
            if status == "failed" && !CANCELS.contains(&h["error_kind"].as_str()) {
                should_be_dead.insert(name.clone());
            }
            if h.get("error_kind").is_some_and(|kind| kind == "poison") && status == "failed" {
                assert_eq!(known.solo_crashes, 3, "innocent: {}", about());
            }
            if status == "processing" || (strayed && leases.contains(name)) {
                *inflight.entry(h["queue"].clone()).or_default() += 1;
            } else if !ready.is_empty() || strayed {
                *work
                    .entry(format!("{}/{}", h["queue"], h["model"]))
                    .or_default() += h["audio_ms"].parse::<u64>().unwrap();
            }
        }
        assert_eq!(dead, should_be_dead, "S7");
        if !self.copies {
            let read = |sums: BTreeMap<String, String>| -> BTreeMap<String, u64> {
                sums.into_iter()
                    .map(|(field, sum)| (field, sum.parse().unwrap()))
                    .collect()
            };
            assert_eq!(read(b.hash("task:work").await), work);
            assert_eq!(read(b.hash("task:inflight").await), inflight);
        }
    }

    /// No new faults, honest workers: every task ends (L1).
    async fn drain(&mut self) {
        for name in self.known.keys() {
            self.b.queue.unpark(&id(name)).await.unwrap();
        }
        self.workers.clear();
        let mut rounds = 0;
        loop {
            self.b.advance(2_000);
            self.reap().await;
            let honest = format!("honest-{}", rounds % 2);
            let mut held = Vec::new();
            while held.len() < 2 {
                let asked = ClaimRequest {
                    queues: self.queues.to_vec(),
                    held: held.len() as u32,
                    slots: 2,
                    ..request(&honest)
                };
                match self.b.queue.claim(&asked).await.unwrap() {
                    ClaimAnswer::Claimed(claim) => held.push(claim),
                    ClaimAnswer::Again => {}
                    _ => break,
                }
            }
            for claim in held {
                let known = self.known.get_mut(claim.id.as_str()).unwrap();
                assert!(known.owner.is_none(), "{} is claimed twice", claim.id);
                known.attempt = claim.attempt;
                assert_eq!(
                    self.b.queue.complete(&completion(&claim)).await.unwrap(),
                    Completed::Done
                );
            }
            let ids: Vec<TaskId> = self.known.keys().map(|name| id(name)).collect();
            let all = self.b.queue.snapshots(&ids).await.unwrap();
            let open: Vec<_> = all
                .iter()
                .flatten()
                .filter(|t| matches!(t.status, TaskStatus::Pending | TaskStatus::Processing))
                .collect();
            if open.is_empty() {
                break;
            }
            rounds += 1;
            assert!(rounds < 400, "L1: never ends: {open:?}");
        }
        self.b.advance_reaping(24_000).await;
        self.check().await;
        while !self.b.queue.results(1).await.unwrap().is_empty() {
            self.read_outbox().await;
        }
        for key in [
            "task:processing",
            "task:processing:time",
            "task:delayed",
            "task:parked",
            "task:work",
            "task:inflight",
        ] {
            assert_eq!(self.b.cmd::<u64>(&["EXISTS", key]).await, 0, "{key}");
        }
        let report = self.b.queue.fsck().await.unwrap();
        assert_eq!(
            report,
            FsckReport {
                tasks: self.known.len() as u64,
                ..FsckReport::default()
            }
        );
    }
}

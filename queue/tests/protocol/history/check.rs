//! The invariants of a history, looked up in Redis against what the test knows; and its end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use queue::*;

use super::{CANCELS, History};
use crate::support::*;

impl History {
    pub(super) async fn check(&mut self) {
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
    pub(super) async fn drain(&mut self) {
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

//! Looks for tasks that fell between the keys, and puts them back. Expected to find nothing.

use std::collections::HashSet;

use redis::AsyncCommands;

use crate::{Error, Queue, ReapOptions, TaskId, script};

/// More waiting tasks than this are not recounted in one script.
const RECOUNT_LIMIT: usize = 20_000;
const SCAN_STEP: usize = 500;

/// Everything but `tasks` is expected to be 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// Hashes seen.
    pub tasks: u64,
    /// Pending and in no list, not delayed, not parked: pushed again.
    pub lost: u64,
    /// Ids in a list, in delayed or in parked without a hash: dropped.
    pub ghosts: u64,
    /// Processing and not in the list, or without a lease: adopted.
    pub unleased: u64,
    /// `task:work` minus the recomputed sums, summed over absolute differences, in ms.
    pub work_drift_ms: u64,
    /// The same for `task:inflight`.
    pub inflight_drift: u64,
}

impl Queue {
    pub async fn fsck(&self) -> Result<FsckReport, Error> {
        let keys = &self.keys;
        let queues = self.queue_names().await?;
        let mut report = FsckReport::default();

        let (placed, listed) = self.placed_ids().await?;
        let mut suspects: HashSet<String> = HashSet::new();
        let mut hashes: HashSet<String> = HashSet::new();
        let pattern = keys.glob("task:");
        let start = format!("{}task:", keys.prefix);
        let mut cursor = 0_u64;
        loop {
            let (next, found): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(SCAN_STEP)
                .query_async(&mut self.manager())
                .await?;
            let ids: Vec<TaskId> = found
                .iter()
                .filter_map(|key| TaskId::parse(key.strip_prefix(&start)?).ok())
                .filter(|id| hashes.insert(id.to_string()))
                .collect();
            for (id, snapshot) in ids.iter().zip(self.snapshots(&ids).await?) {
                let expected = snapshot.is_some_and(|task| match task.status {
                    crate::TaskStatus::Pending => !placed.contains(id.as_str()),
                    crate::TaskStatus::Processing => !listed.contains(id.as_str()),
                    _ => false,
                });
                if expected {
                    suspects.insert(id.to_string());
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        report.tasks = hashes.len() as u64;
        suspects.extend(placed.iter().filter(|id| !hashes.contains(*id)).cloned());

        let names = queues.iter().map(|queue| queue.to_string());
        for id in suspects {
            let mut args = vec![
                id.clone(),
                ReapOptions::default().adopt_grace_ms.to_string(),
            ];
            args.extend(names.clone());
            match self
                .run(&script::HEAL, &[format!("{start}{id}")], args)
                .await?
                .text()
                .as_str()
            {
                "lost" => report.lost += 1,
                "ghost" => report.ghosts += 1,
                "unleased" => report.unleased += 1,
                _ => {}
            }
        }

        let mut args = vec![RECOUNT_LIMIT.to_string()];
        args.extend(names);
        let drifts = self
            .run(&script::RECOUNT, &[keys.work(), keys.inflight()], args)
            .await?
            .list()?;
        if let [work, inflight] = drifts.as_slice() {
            report.work_drift_ms = work.unsigned()?;
            report.inflight_drift = inflight.unsigned()?;
        }
        Ok(report)
    }

    /// All ids that are anywhere, and those that are in processing with a lease.
    async fn placed_ids(&self) -> Result<(HashSet<String>, HashSet<String>), Error> {
        let keys = &self.keys;
        let mut manager = self.manager();
        let processing: HashSet<String> = manager.lrange(keys.processing(), 0, -1).await?;
        let leased: HashSet<String> = manager.zrange(keys.leases(), 0, -1).await?;
        let listed = processing.intersection(&leased).cloned().collect();
        let mut placed: HashSet<String> = processing.union(&leased).cloned().collect();
        placed.extend(
            manager
                .zrange::<_, Vec<String>>(keys.delayed(), 0, -1)
                .await?,
        );
        placed.extend(manager.smembers::<_, Vec<String>>(keys.parked()).await?);
        placed.extend(
            manager
                .lrange::<_, Vec<String>>(keys.dead_letters(), 0, -1)
                .await?,
        );
        for queue in self.queue_names().await? {
            for list in keys.lists(&queue) {
                placed.extend(manager.lrange::<_, Vec<String>>(list, 0, -1).await?);
            }
        }
        Ok((placed, listed))
    }
}

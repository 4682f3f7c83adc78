//! What happens to tasks without anybody asking: expired leases, due delays, old dead letters. Anyone may run it at any rate.

use crate::script::Answer;
use crate::{Error, Queue, WorkerId, script};

#[derive(Clone, Debug)]
pub struct ReapOptions {
    /// At most this many of each kind in one run.
    pub batch: u32,
    /// Lease for ids that a seed-era worker moved without one.
    pub adopt_grace_ms: u64,
    /// Poison at this many crashes of the task alone.
    pub max_crashes: u32,
    /// Pause after a crash; 0 = none, at most 30 s.
    pub crash_backoff_ms: u64,
    pub final_ttl_ms: u64,
    pub dead_letter_ttl_ms: u64,
    /// Skip when another reaper ran this recently; 0 = never skip. Only saves work.
    pub lock_ms: u64,
}

impl Default for ReapOptions {
    fn default() -> Self {
        Self {
            batch: 100,
            adopt_grace_ms: 10_000,
            max_crashes: 3,
            crash_backoff_ms: 0,
            final_ttl_ms: 24 * 3600 * 1000,
            dead_letter_ttl_ms: 7 * 24 * 3600 * 1000,
            lock_ms: 0,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReapReport {
    pub expired: u64,
    pub poisoned: u64,
    pub adopted: u64,
    pub promoted: u64,
    pub ghosts: u64,
    pub purged: u64,
    /// Nobody had reaped for longer than a lease: all leases were renewed once instead.
    pub amnesty: bool,
    pub next_due_ms: Option<u64>,
    /// EXPIRE_WORKER alone: a newer leader has spoken, nothing was done.
    pub stale_epoch: bool,
}

impl ReapOptions {
    fn args(&self) -> Vec<String> {
        [
            u64::from(self.batch),
            self.adopt_grace_ms,
            u64::from(self.max_crashes.max(1)),
            self.crash_backoff_ms,
            self.final_ttl_ms.max(1),
            self.dead_letter_ttl_ms,
        ]
        .iter()
        .map(u64::to_string)
        .collect()
    }
}

impl Queue {
    pub async fn reap(&self, options: &ReapOptions) -> Result<ReapReport, Error> {
        let mut args = vec![options.lock_ms.to_string()];
        args.extend(options.args());
        read_report(
            self.run(&script::REAP, &[self.keys.reap_lock()], args)
                .await?,
        )
    }

    /// Ends the leases of a worker that is known to be dead, and reaps. `epoch`: None = a parent or the worker itself.
    /// A stale epoch does nothing and reports `stale_epoch`.
    pub async fn expire_worker(
        &self,
        worker: &WorkerId,
        epoch: Option<u64>,
        reap: &ReapOptions,
    ) -> Result<ReapReport, Error> {
        let keys = &self.keys;
        let names = [
            keys.processing(),
            keys.leases(),
            keys.worker(worker),
            keys.worker_index(),
        ];
        let mut args = vec![
            worker.to_string(),
            epoch.map(|epoch| epoch.to_string()).unwrap_or_default(),
        ];
        args.extend(reap.args());
        read_report(self.run(&script::EXPIRE_WORKER, &names, args).await?)
    }
}

fn read_report(answer: Answer) -> Result<ReapReport, Error> {
    let fields = answer.list()?;
    match fields.as_slice() {
        [] => Ok(ReapReport {
            stale_epoch: true,
            ..ReapReport::default()
        }),
        [
            expired,
            poisoned,
            adopted,
            promoted,
            ghosts,
            purged,
            amnesty,
            due,
        ] => Ok(ReapReport {
            expired: expired.unsigned()?,
            poisoned: poisoned.unsigned()?,
            adopted: adopted.unsigned()?,
            promoted: promoted.unsigned()?,
            ghosts: ghosts.unsigned()?,
            purged: purged.unsigned()?,
            amnesty: amnesty.number()? == 1,
            next_due_ms: due.optional()?,
            stale_epoch: false,
        }),
        _ => Err(Error::Protocol {
            script: "reap",
            answer: format!("{} fields instead of 8", fields.len()),
        }),
    }
}

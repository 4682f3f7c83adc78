//! Workers that stop, die, or go on when they should not; and the reapers that find out.

use queue::*;

use crate::step::{End, Epoch, Late, Told};
use crate::workers::worker_id;
use crate::world::{Holds, World, ensure, tell};

impl World<'_> {
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
            if task.is_open() || task.is_dead_letter() {
                self.touched.insert(n);
            }
        }
    }
}

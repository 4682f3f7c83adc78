//! The blows, one function each: it reads who holds what, strikes, and notes both down. A worker is stopped for the moment of the
//! reading, so that nothing moves between the two. When which blow falls is `storm`'s business.

use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use rustix::process::{Signal, kill_process};
use tokio::time::sleep;

use crate::ledger::{Blow, Fault, Outage, Victim, now};
use crate::processes::workers::Worker;
use crate::resp::once;
use crate::rig::Rig;
use crate::watch;

/// For what a worker had already sent when it was stopped.
const SETTLE: Duration = Duration::from_millis(20);
/// Past a lease of 15 s and the reaper's 2 s.
const FREEZE: Duration = Duration::from_secs(20);
const DOWN: Duration = Duration::from_secs(1);
const POSTGRES_DOWN: Duration = Duration::from_secs(30);
/// How long to look for a worker that holds something.
const SEARCH: Duration = Duration::from_secs(5);

type Held = Vec<(String, u64)>;

impl Rig {
    fn note_fault(&self, blow: Blow, victim: Option<&Worker>, held: Held) {
        let victim = victim.map(|worker| Victim {
            worker: worker.id.clone(),
            is_supervised: worker.is_supervised,
        });
        let at = now();
        let mut ledger = self.ledger.borrow_mut();
        if let Some(victim) = &victim {
            ledger.ends_now(&victim.worker, at);
        }
        ledger.faults.push(Fault {
            at,
            blow,
            victim,
            held,
        });
    }

    fn note_outage(&self, from: u64) {
        self.ledger
            .borrow_mut()
            .outages
            .push(Outage { from, to: now() });
    }

    /// Kills any worker, whatever it does.
    pub(crate) async fn kill_worker(&self, random: &mut StdRng) -> anyhow::Result<()> {
        // Nobody takes Redis away meanwhile.
        let _redis = self.redis.lock().await;
        let healthy = self.workers.borrow().healthy();
        if healthy.is_empty() {
            return Ok(());
        }
        let worker = healthy[random.random_range(0..healthy.len())].clone();
        self.strike(&worker, Blow::Kill).await
    }

    /// Stops a worker, reads what it holds, and strikes.
    async fn strike(&self, worker: &Worker, blow: Blow) -> anyhow::Result<()> {
        let held = self.hold_still(worker).await?;
        self.deliver(worker, blow, held)
    }

    async fn hold_still(&self, worker: &Worker) -> anyhow::Result<Held> {
        kill_process(worker.pid, Signal::STOP)?;
        sleep(SETTLE).await;
        let mut held = watch::held(self.redis_port).await?;
        Ok(held.remove(&worker.id).unwrap_or_default())
    }

    fn deliver(&self, worker: &Worker, blow: Blow, held: Held) -> anyhow::Result<()> {
        self.workers.borrow_mut().doom(&worker.id);
        self.note_fault(blow, Some(worker), held);
        match blow {
            Blow::Freeze => {}
            Blow::Term => {
                kill_process(worker.pid, Signal::TERM)?;
                kill_process(worker.pid, Signal::CONT)?;
            }
            _ => kill_process(worker.pid, Signal::KILL)?,
        }
        Ok(())
    }

    /// Strikes a worker of the wanted kind in the middle of a task; none when no such worker holds one for long.
    async fn strike_busy(
        &self,
        random: &mut StdRng,
        blow: Blow,
        is_wanted: impl Fn(&Worker) -> bool,
    ) -> anyhow::Result<Option<Worker>> {
        let end = Instant::now() + SEARCH;
        while Instant::now() < end {
            let busy = watch::held(self.redis_port).await?;
            let mut found = self.workers.borrow().healthy();
            found.retain(|worker| busy.contains_key(&worker.id) && is_wanted(worker));
            if found.is_empty() {
                sleep(Duration::from_millis(10)).await;
                continue;
            }
            let worker = found.swap_remove(random.random_range(0..found.len()));
            let held = self.hold_still(&worker).await?;
            if held.is_empty() {
                // It was done in the last moment.
                kill_process(worker.pid, Signal::CONT)?;
                continue;
            }
            self.deliver(&worker, blow, held)?;
            return Ok(Some(worker));
        }
        Ok(None)
    }

    /// Kills a worker in the middle of a task: a supervised one, or a bare one.
    pub(crate) async fn kill_busy_worker(
        &self,
        random: &mut StdRng,
        is_supervised: bool,
    ) -> anyhow::Result<()> {
        let _redis = self.redis.lock().await;
        let wanted = |worker: &Worker| worker.is_supervised == is_supervised;
        self.strike_busy(random, Blow::Kill, wanted).await.map(drop)
    }

    pub(crate) async fn terminate_worker(&self, random: &mut StdRng) -> anyhow::Result<()> {
        let _redis = self.redis.lock().await;
        self.strike_busy(random, Blow::Term, |_| true)
            .await
            .map(drop)
    }

    /// Stops a worker until its lease is gone and its task with another, then lets it go on with what it believes to hold.
    pub(crate) async fn freeze_worker(&self, random: &mut StdRng) -> anyhow::Result<()> {
        let frozen = {
            let _redis = self.redis.lock().await;
            self.strike_busy(random, Blow::Freeze, |_| true).await?
        };
        if let Some(frozen) = frozen {
            sleep(FREEZE).await;
            kill_process(frozen.pid, Signal::CONT)?;
            self.workers.borrow_mut().forgive(&frozen.id);
        }
        Ok(())
    }

    /// `CLIENT PAUSE`: Redis is there and says nothing. Past a lease every worker gives up what it holds.
    pub(crate) async fn pause_redis(&self, length: Duration) -> anyhow::Result<()> {
        let redis = self.redis.lock().await;
        let held = match length > Duration::from_secs(12) {
            true => all(watch::held(redis.port).await?),
            false => Held::new(),
        };
        let from = now();
        self.note_fault(Blow::RedisPaused, None, held);
        once(
            redis.port,
            &["CLIENT", "PAUSE", &length.as_millis().to_string(), "ALL"],
        )
        .await?;
        sleep(length).await;
        self.note_outage(from);
        Ok(())
    }

    pub(crate) async fn flush_scripts(&self) -> anyhow::Result<()> {
        let redis = self.redis.lock().await;
        self.note_fault(Blow::ScriptsFlushed, None, Held::new());
        once(redis.port, &["SCRIPT", "FLUSH"]).await?;
        Ok(())
    }

    /// Ends Redis and starts it again on its append-only file. With SIGKILL a worker dies at the same moment, so that whoever sees
    /// that death cannot tell anybody yet.
    pub(crate) async fn restart_redis(
        &self,
        random: &mut StdRng,
        signal: Signal,
    ) -> anyhow::Result<()> {
        let mut redis = self.redis.lock().await;
        let is_killed = signal == Signal::KILL;
        if is_killed {
            self.strike_busy(random, Blow::Kill, |_| true).await?;
        }
        let mut held = all(watch::held(redis.port).await?);
        {
            // What the dead worker held is counted with its own fault.
            let ledger = self.ledger.borrow();
            let counted: Vec<_> = ledger.faults.iter().flat_map(|fault| &fault.held).collect();
            held.retain(|task| !counted.contains(&task));
        }
        let (from, blow) = match is_killed {
            true => (now(), Blow::RedisKilled),
            false => (now(), Blow::RedisStopped),
        };
        self.note_fault(blow, None, held);
        redis.stop(signal).await?;
        sleep(DOWN).await;
        redis.start_again().await?;
        self.note_outage(from);
        Ok(())
    }

    pub(crate) async fn restart_api(&self, signal: Signal) -> anyhow::Result<()> {
        let mut api = self.api.lock().await;
        self.api_is_ours.set(true);
        let blow = match signal == Signal::KILL {
            true => Blow::ApiKilled,
            false => Blow::ApiStopped,
        };
        self.note_fault(blow, None, Held::new());
        api.stop(signal).await?;
        sleep(DOWN).await;
        api.start_again().await?;
        self.api_is_ours.set(false);
        Ok(())
    }

    pub(crate) async fn stop_postgres(&self) -> anyhow::Result<()> {
        let Some(postgres) = &self.postgres else {
            return Ok(());
        };
        let mut postgres = postgres.lock().await;
        self.note_fault(Blow::PostgresStopped, None, Held::new());
        postgres.stop().await?;
        sleep(POSTGRES_DOWN).await;
        postgres.start_again().await
    }
}

fn all(held: std::collections::BTreeMap<String, Held>) -> Held {
    held.into_values().flatten().collect()
}

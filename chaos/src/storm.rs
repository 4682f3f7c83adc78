//! When which blow falls. A random worker is killed every 3 s, whatever it does; the other blows come in an order of the seed, each when its share of the
//! tasks is done, so that all of them fall while there is work. The API dies for the first time in the middle of the uploads.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;
use tokio::time::sleep;

use crate::client::is_final;
use crate::ledger::Blow;
use crate::melody::Recording;
use crate::rig::Rig;

const KILL_EVERY: Duration = Duration::from_secs(3);
/// After the last blow everything must be final within this.
const CALM: Duration = Duration::from_secs(60);
/// A blow falls without its share of the tasks when nothing moves for so long.
const IMPATIENCE: Duration = Duration::from_secs(45);
/// A run that takes longer is broken.
const LONGEST: Duration = Duration::from_secs(1800);

#[derive(Clone, Copy, Debug)]
enum Step {
    Kill { is_supervised: bool },
    Terminate,
    Freeze,
    Pause(Duration),
    Flush,
    Redis(Signal),
    Api(Signal),
    Postgres,
}

/// The blows of one run, but for the kills.
#[derive(Debug)]
pub(crate) struct Plan(Vec<Step>);

impl Plan {
    /// All of them, some more than once.
    pub(crate) fn long(random: &mut StdRng) -> Self {
        let mut steps = vec![Step::Terminate; 6];
        steps.extend(
            [Step::Kill {
                is_supervised: true,
            }; 3],
        );
        steps.extend(
            [Step::Kill {
                is_supervised: false,
            }; 3],
        );
        steps.extend([
            Step::Freeze,
            Step::Freeze,
            Step::Pause(Duration::from_secs(5)),
            Step::Pause(Duration::from_secs(20)),
            Step::Flush,
            Step::Redis(Signal::KILL),
            Step::Redis(Signal::TERM),
            Step::Api(Signal::TERM),
            Step::Postgres,
        ]);
        steps.shuffle(random);
        Plan(steps)
    }

    /// One of each that fits into a minute; the freeze, which takes longest, comes first.
    pub(crate) fn short(random: &mut StdRng) -> Self {
        let mut steps = vec![
            Step::Kill {
                is_supervised: true,
            },
            Step::Kill {
                is_supervised: false,
            },
            Step::Terminate,
            Step::Terminate,
            Step::Pause(Duration::from_secs(2)),
            Step::Flush,
            Step::Redis(Signal::KILL),
        ];
        steps.shuffle(random);
        steps.insert(0, Step::Freeze);
        Plan(steps)
    }

    /// Which blows must be found in the ledger afterwards.
    pub(crate) fn blows(&self) -> Vec<Blow> {
        let mut blows = vec![Blow::Kill, Blow::ApiKilled];
        blows.extend(self.0.iter().map(|step| match step {
            Step::Kill { .. } => Blow::Kill,
            Step::Terminate => Blow::Term,
            Step::Freeze => Blow::Freeze,
            Step::Pause(_) => Blow::RedisPaused,
            Step::Flush => Blow::ScriptsFlushed,
            Step::Redis(Signal::KILL) => Blow::RedisKilled,
            Step::Redis(_) => Blow::RedisStopped,
            Step::Api(Signal::KILL) => Blow::ApiKilled,
            Step::Api(_) => Blow::ApiStopped,
            Step::Postgres => Blow::PostgresStopped,
        }));
        blows.sort_unstable();
        blows.dedup();
        blows
    }
}

/// Uploads everything at once, lets the blows fall, and waits until everything is final or has had its time.
pub(crate) async fn rage(
    rig: &Rc<Rig>,
    recordings: &[Recording],
    tasks: usize,
    plan: &Plan,
    random: &mut StdRng,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let over = Cell::new(false);
    let mut killer_random = StdRng::from_rng(random);
    let tell = |what: &str| {
        let ledger = rig.ledger.borrow();
        println!(
            "chaos: {:>4} s, {:>3} of {tasks} uploaded, {:>3} done, {:>3} faults; now {what}",
            begun.elapsed().as_secs(),
            rig.tasks.borrow().len(),
            ledger.ended().len(),
            ledger.faults.len()
        );
    };
    let uploads = async {
        let refused = rig.upload(recordings, tasks).await;
        match refused.into_iter().next() {
            Some(error) => Err(error.context("an upload was given up")),
            None => Ok(()),
        }
    };
    let killer = async {
        while !over.get() {
            rig.kill_worker(&mut killer_random).await?;
            sleep(KILL_EVERY).await;
        }
        anyhow::Ok(())
    };
    let planned = async {
        while rig.tasks.borrow().len() < tasks / 2 && begun.elapsed() < LONGEST {
            sleep(Duration::from_millis(5)).await;
        }
        tell("API SIGKILL in the middle of the uploads");
        rig.restart_api(Signal::KILL).await?;
        let mut freezes = Vec::new();
        for (index, step) in plan.0.iter().enumerate() {
            wait_for_share(rig, tasks * index / (plan.0.len() + 1)).await;
            tell(&format!("{step:?}"));
            match step {
                Step::Kill { is_supervised } => {
                    rig.kill_busy_worker(random, *is_supervised).await?
                }
                Step::Terminate => rig.terminate_worker(random).await?,
                Step::Freeze => {
                    let (rig, mut random) =
                        (Rc::clone(rig), StdRng::seed_from_u64(random.random()));
                    // It lasts longer than a lease: the next blows fall meanwhile.
                    freezes.push(tokio::task::spawn_local(async move {
                        rig.freeze_worker(&mut random).await
                    }));
                }
                Step::Pause(length) => rig.pause_redis(*length).await?,
                Step::Flush => rig.flush_scripts().await?,
                Step::Redis(signal) => rig.restart_redis(random, *signal).await?,
                Step::Api(signal) => rig.restart_api(*signal).await?,
                Step::Postgres => rig.stop_postgres().await?,
            }
        }
        // The kills go on until hardly anything is left to be hit.
        wait_for_share(rig, tasks * 19 / 20).await;
        for freeze in freezes {
            freeze.await??;
        }
        over.set(true);
        tell("calm");
        anyhow::Ok(())
    };
    let work = async { tokio::try_join!(uploads, killer, planned) };
    tokio::time::timeout(LONGEST, work).await??;
    calm(rig).await;
    Ok(())
}

/// Waits until so many tasks have ended, or nothing has ended for long.
async fn wait_for_share(rig: &Rig, share: usize) {
    let (mut seen, mut moved) = (0, Instant::now());
    while seen < share && moved.elapsed() < IMPATIENCE {
        let ended = rig.ledger.borrow().ended().len();
        if ended > seen {
            (seen, moved) = (ended, Instant::now());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Asks the API until every task is final; what is not in time is stuck.
pub(crate) async fn calm(rig: &Rig) {
    let end = Instant::now() + CALM;
    let mut open: Vec<String> = rig
        .tasks
        .borrow()
        .iter()
        .map(|(id, _)| id.clone())
        .collect();
    while !open.is_empty() && Instant::now() < end {
        let mut still = Vec::new();
        for id in open {
            let state = rig.client.state(&id).await.unwrap_or_default().0;
            if !is_final(&state) {
                still.push(id);
            }
        }
        open = still;
        sleep(Duration::from_millis(200)).await;
    }
    rig.ledger.borrow_mut().stuck = open;
}

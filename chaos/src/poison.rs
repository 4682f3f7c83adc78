//! One song among good ones takes down every worker that touches it. Nothing in the product knows of this: whoever claims that
//! song gets SIGABRT from here, with the neighbours that it runs beside it.

use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use tokio::time::sleep;

use crate::client::is_final;
use crate::ledger::What;
use crate::melody::Recording;
use crate::rig::Rig;
use crate::verdict::{Line, exactly};

const PATIENCE: Duration = Duration::from_secs(240);

/// How often the song may take a worker down: once beside others, then as often alone as makes it poison.
pub(crate) const MAX_CRASHES: u32 = 3;

/// Uploads `good` songs and one deadly one; returns what became of them.
pub(crate) async fn run(
    rig: &Rc<Rig>,
    recordings: &[Recording],
    good: usize,
) -> anyhow::Result<Vec<Line>> {
    let refused = rig.upload(recordings, good / 2).await;
    let deadly = rig.client.upload(&recordings[0]).await?.id;
    let avenger = tokio::task::spawn_local(avenge(Rc::clone(rig), deadly.clone()));
    let more = rig.upload(recordings, good - good / 2).await;
    if let Some(error) = refused.into_iter().chain(more).next() {
        return Err(error.context("an upload was given up"));
    }
    let end = Instant::now() + PATIENCE;
    let mut open: Vec<String> = rig
        .tasks
        .borrow()
        .iter()
        .map(|(id, _)| id.clone())
        .collect();
    open.push(deadly.clone());
    while !open.is_empty() && Instant::now() < end {
        let mut still = Vec::new();
        for id in open {
            if !is_final(&rig.client.state(&id).await.unwrap_or_default().0) {
                still.push(id);
            }
        }
        open = still;
        sleep(Duration::from_millis(200)).await;
    }
    avenger.abort();
    // It holds the rig until it has ended.
    let _ = avenger.await;
    let (state, code) = rig.client.state(&deadly).await?;
    rig.take_stock(recordings).await?;
    let ledger = rig.ledger.borrow();
    let aborts = runs(&ledger.events, &deadly);
    let endings = ledger.endings.values();
    let succeeded = endings
        .clone()
        .filter(|ending| ending.state == "succeeded" && ending.is_right);
    let again: u64 = endings
        .map(|ending| ending.attempts.saturating_sub(1))
        .sum();
    let most = u64::from(MAX_CRASHES) + 1;
    Ok(vec![
        exactly(
            "poison: good songs that succeeded",
            succeeded.count() as u64,
            good as u64,
        ),
        Line {
            what: "poison: the deadly song".to_owned(),
            seen: format!("{state}, {code}"),
            limit: "failed, poison".to_owned(),
            holds: (state.as_str(), code.as_str()) == ("failed", "poison"),
        },
        Line {
            what: "poison: workers it took down".to_owned(),
            seen: aborts.to_string(),
            limit: format!("{MAX_CRASHES} to {most}"),
            holds: (u64::from(MAX_CRASHES)..=most).contains(&aborts),
        },
        Line {
            what: "poison: runs of good songs beyond the first".to_owned(),
            seen: again.to_string(),
            // It is beside others only once.
            limit: format!("<= {}", rig.slots - 1),
            holds: again <= u64::from(rig.slots - 1),
        },
        exactly(
            "poison: processes that died by themselves",
            ledger.surprises.len() as u64,
            0,
        ),
        exactly("poison: what fsck had to mend", ledger.leftovers.fsck, 0),
    ])
}

fn runs(events: &[crate::ledger::Event], task: &str) -> u64 {
    let claims = events.iter().filter(|event| event.task == task);
    claims
        .filter(|event| matches!(event.what, What::Claimed { .. }))
        .count() as u64
}

/// Aborts each worker that claims the song, as soon as that is known.
async fn avenge(rig: Rc<Rig>, deadly: String) {
    let mut seen = 0;
    loop {
        let holder = {
            let ledger = rig.ledger.borrow();
            let found = ledger.events[seen..]
                .iter()
                .find_map(|event| match &event.what {
                    What::Claimed { worker, .. } if event.task == deadly => Some(worker.clone()),
                    _ => None,
                });
            seen = ledger.events.len();
            found
        };
        if let Some(holder) = holder {
            let worker = rig.workers.borrow().alive().remove(&holder);
            if let Some(worker) = worker {
                rig.workers.borrow_mut().doom(&holder);
                // It can only fail because the process has ended.
                let _ = kill_process(worker.pid, Signal::ABORT);
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
}

//! How soon the Deployment asks for a worker after a task was enqueued for a pool that has none: with hints, and with
//! channels taken away from everybody, so that the tick alone finds it. Seen by a watch beside the operator, from before the
//! call of ENQUEUE.

use std::time::Duration;

use anyhow::{Context, Result};
use bench::numbers::{largest, percentile};
use bench::server::{allow_channels, forbid_channels};
use tokio::time::Instant;

use crate::rig::Rig;
use crate::stage;

const POOLS: usize = 24;
const LIMIT: Duration = Duration::from_secs(30);
const TASK_MS: u64 = 200;

pub(crate) async fn run(rig: &mut Rig, samples: usize) -> Result<()> {
    let pools = stage::pools(&rig.client, "late", POOLS, stage::scaling(3, 2)).await?;
    for pool in &pools {
        rig.watched
            .replicas_become(pool, LIMIT, |count| count == 0)
            .await?;
    }
    let hinted = measure(rig, &pools, samples).await?;
    forbid_channels(&rig.redis.socket())?;
    let ticked = measure(rig, &pools, samples).await?;
    allow_channels(&rig.redis.socket())?;
    for (what, ms, aim_ms) in [
        ("task to Deployment patched, by hint", &hinted, 100.0),
        ("task to Deployment patched, by tick alone", &ticked, 1500.0),
    ] {
        let p95 = percentile(ms, 95.0);
        rig.verdict.aim(
            what,
            format!("{} tasks for pools without a worker", ms.len()),
            format!(
                "p50 {:.0} ms, p95 {p95:.0} ms, most {:.0} ms",
                percentile(ms, 50.0),
                largest(ms)
            ),
            &format!("p95 <= {aim_ms} ms"),
            p95 <= aim_ms,
        );
    }
    Ok(())
}

async fn measure(rig: &mut Rig, pools: &[String], samples: usize) -> Result<Vec<f64>> {
    let mut found = Vec::with_capacity(samples);
    for round in 0..samples {
        let pool = &pools[round % pools.len()];
        rig.watched
            .replicas_become(pool, LIMIT, |count| count == 0)
            .await
            .context("the pool of an earlier sample")?;
        // Not in step with the operator's second.
        tokio::time::sleep(Duration::from_millis(rand::random_range(50..650))).await;
        let begun = Instant::now();
        rig.enqueue(pool, TASK_MS).await?;
        let seen = rig
            .watched
            .replicas_become(pool, LIMIT, |count| count > 0)
            .await?;
        found.push((seen - begun).as_secs_f64() * 1000.0);
    }
    Ok(found)
}

//! How long nobody leads: the leader is killed, or told to end, at a random moment, while another one stands by. Seen in the
//! Lease by a watch, and in the first Deployment that the new leader changes.

use std::time::Duration;

use anyhow::{Result, ensure};
use bench::numbers::{largest, median};
use tokio::time::Instant;

use crate::programs::Operator;
use crate::rig::Rig;
use crate::stage;

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Killed,
    Told,
}

/// The one that leads at the end, and the one that stands by.
pub(crate) async fn run(
    rig: &mut Rig,
    leader: Operator,
    rounds: usize,
) -> Result<(Operator, Operator)> {
    let pools = stage::pools(&rig.client, "turn", 2 * rounds, stage::scaling(2, 2)).await?;
    for pool in &pools {
        rig.watched
            .replicas_become(pool, LIMIT, |count| count == 0)
            .await?;
    }
    let standby = rig.operator("b").await?;
    let mut pair = (leader, standby);
    let mut number = 0;
    for (how, what, aim_seconds) in [
        (How::Killed, "takeover after SIGKILL", 17.0),
        (How::Told, "takeover after SIGTERM", 2.0),
    ] {
        let (mut led, mut acted) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            number += 1;
            let pool = &pools[number - 1];
            let (next, took) = round(rig, pair, how, number, pool).await?;
            pair = next;
            led.push(took.0);
            acted.push(took.1);
        }
        let most = largest(&led);
        rig.verdict.aim(
            what,
            format!(
                "{rounds} rounds; the first Deployment was changed after {:.2} s at most",
                largest(&acted)
            ),
            format!("median {:.2} s, most {most:.2} s", median(&led)),
            &format!("<= {aim_seconds} s"),
            most <= aim_seconds,
        );
    }
    Ok(pair)
}

/// Seconds until another one held the Lease, and until it had scaled a pool whose task came as the old one ended.
async fn round(
    rig: &mut Rig,
    (mut leader, standby): (Operator, Operator),
    how: How,
    number: usize,
    pool: &str,
) -> Result<((Operator, Operator), (f64, f64))> {
    // Anywhere between two renewals.
    tokio::time::sleep(Duration::from_millis(rand::random_range(500..4500))).await;
    let began = Instant::now();
    match how {
        How::Killed => leader.program.kill(),
        How::Told => leader.program.terminate()?,
    }
    rig.enqueue(pool, 100).await?;
    let old = leader.identity.clone();
    let (holder, at) = rig.watched.leader_other_than(&old, LIMIT).await?;
    ensure!(
        holder == standby.identity,
        "{holder} leads, whom nobody started"
    );
    let acted = rig
        .watched
        .replicas_become(pool, LIMIT, |count| count > 0)
        .await?;
    if how == How::Told {
        ensure!(
            leader.program.ended(LIMIT).await?,
            "the operator did not end well when told to"
        );
    }
    drop(leader);
    let fresh = rig.operator(&format!("b{number}")).await?;
    let seconds = |at: Instant| (at - began).as_secs_f64();
    Ok(((standby, fresh), (seconds(at), seconds(acted))))
}

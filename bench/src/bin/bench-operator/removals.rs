//! Workers taken away while others beside them work: bursts of uneven tasks drive pools up and down, the real ReplicaSet
//! controller picks the pods that go, and each one that went is held against what its worker did at that moment. At the end
//! the same counting is tried on a Deployment that nobody drains, where it has to find busy workers.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use queue::Queue;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::programs::Operator;
use crate::rig::{Rig, task};
use crate::stage::{self, NAMESPACE};
use crate::workers::{Record, now_ms};

const POOLS: usize = 12;
const LIMIT: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What became of the pods that the ReplicaSet controller deleted in a span of time.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    removed: usize,
    /// Their worker had a task, by its own record.
    busy: usize,
    /// Another worker of the same pool had one, so that a wrong choice was possible.
    beside_busy: usize,
}

pub(crate) async fn run(rig: &mut Rig, operator: &Operator, wanted: usize) -> Result<()> {
    let pools = stage::pools(&rig.client, "down", POOLS, stage::scaling(10, 1)).await?;
    for pool in &pools {
        rig.watched
            .replicas_become(pool, Duration::from_secs(30), |count| count == 0)
            .await?;
    }
    // Those of earlier parts are no workers of these pools, and would be counted.
    let end = Instant::now() + Duration::from_secs(60);
    while rig.workers.alive() > 0 && Instant::now() < end {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let before = rig.metrics(operator).await?;
    let (began_ms, began) = (now_ms(), Instant::now());
    let stop = CancellationToken::new();
    let mut loads: JoinSet<Result<u64>> = JoinSet::new();
    for pool in &pools {
        loads.spawn(load(rig.queue.clone(), pool.clone(), stop.clone()));
    }
    let finished_before = rig
        .workers
        .finished
        .load(std::sync::atomic::Ordering::Relaxed);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        rig.audit.catch_up()?;
        rig.resident_mib(operator)
            .context("void: the operator ended meanwhile; its log says why")?;
        let removed = rig.audit.deleted_pods(began_ms, now_ms()).len();
        if removed >= wanted || began.elapsed() > LIMIT {
            break;
        }
    }
    stop.cancel();
    let mut enqueued = 0;
    while let Some(load) = loads.join_next().await {
        enqueued += load??;
    }
    let finished = || {
        let now = rig
            .workers
            .finished
            .load(std::sync::atomic::Ordering::Relaxed);
        now - finished_before
    };
    let end = Instant::now() + Duration::from_secs(90);
    while (finished() < enqueued || rig.workers.alive() > 0) && Instant::now() < end {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let finished = finished();
    let seconds = began.elapsed().as_secs_f64();
    rig.audit.catch_up()?;
    rig.workers.check()?;
    let tally = tally(rig, began_ms, now_ms());
    let caught = rig.workers.caught_busy();
    let repeated = rig
        .workers
        .repeated
        .load(std::sync::atomic::Ordering::Relaxed);
    let after = rig.metrics(operator).await?;
    let grew = |name: &str| (after.sum(name, &[]) - before.sum(name, &[])) as u64;
    ensure!(
        tally.removed >= wanted,
        "void: {} workers were removed within {seconds:.0} s, not the {wanted} that were asked for",
        tally.removed
    );
    rig.verdict.must(
        "busy workers killed by scale-down",
        format!(
            "{} pods removed by the ReplicaSet controller in {seconds:.0} s",
            tally.removed
        ),
        format!(
            "{} by records, {} by Redis, {} by the operator",
            tally.busy,
            caught.len(),
            grew("wtt_busy_kills_total")
        ),
        "0",
        tally.busy == 0 && caught.is_empty() && grew("wtt_busy_kills_total") == 0,
    );
    rig.verdict.must(
        "tasks begun twice or lost",
        format!("{enqueued} tasks"),
        format!(
            "{repeated} twice, {} lost",
            enqueued.saturating_sub(finished)
        ),
        "0",
        repeated == 0 && finished == enqueued,
    );
    rig.verdict.tell(
        "removed beside a busy worker of its pool",
        format!(
            "of {}; {} went in the place of a chosen one",
            tally.removed,
            grew("wtt_unchosen_deletions_total")
        ),
        tally.beside_busy.to_string(),
    );
    ensure!(
        tally.beside_busy * 5 >= tally.removed,
        "void: hardly a worker was removed beside a busy one ({} of {}), so little was tried",
        tally.beside_busy,
        tally.removed
    );
    undrained(rig).await
}

/// Bursts at random moments, also into a pool that is just going down.
async fn load(queue: Queue, pool: String, stop: CancellationToken) -> Result<u64> {
    let mut made = 0;
    while !stop.is_cancelled() {
        for _ in 0..rand::random_range(4..16) {
            made += 1;
            // Many short ones, a few that hold their worker for long.
            let audio_ms = 200 + (-rand::random_range(0.02_f64..1.0).ln() * 1500.0) as u64;
            queue
                .enqueue(&task(&format!("{pool}-{made}"), &pool, audio_ms)?)
                .await?;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(rand::random_range(1500..9000))) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(made)
}

fn tally(rig: &Rig, from_ms: i64, to_ms: i64) -> Tally {
    let records = rig.workers.records();
    let mut tally = Tally::default();
    for pod in rig.audit.deleted_pods(from_ms, to_ms) {
        tally.removed += 1;
        let record = records.get(&pod.name);
        // The request as it came and as it was answered: busy at either is busy.
        let busy =
            |record: &Record| record.was_busy(pod.received_ms) || record.was_busy(pod.answered_ms);
        tally.busy += usize::from(record.is_some_and(busy));
        tally.beside_busy += usize::from(beside(&records, &pod.name, pod.received_ms));
    }
    tally
}

fn beside(records: &HashMap<String, Record>, name: &str, at_ms: i64) -> bool {
    let Some(queue) = records.get(name).map(|record| &record.queue) else {
        return false;
    };
    records
        .iter()
        .any(|(other, record)| other != name && record.queue == *queue && record.was_busy(at_ms))
}

/// All workers of a plain Deployment are busy when it is made smaller.
async fn undrained(rig: &mut Rig) -> Result<()> {
    const NAME: &str = "undrained";
    const HAVE: i32 = 6;
    const LEFT: i32 = 2;
    for _ in 0..HAVE {
        rig.enqueue(NAME, 60_000).await?;
    }
    stage::deployment(&rig.client, NAME, HAVE).await?;
    let end = Instant::now() + Duration::from_secs(40);
    while rig.workers.busy_in(NAME) < HAVE as usize {
        if Instant::now() > end {
            bail!("the workers of a plain Deployment did not begin to work");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let caught_before = rig.workers.caught_busy().len();
    let began_ms = now_ms();
    let api: Api<Deployment> = Api::namespaced(rig.client.clone(), NAMESPACE);
    let scale = |replicas: i32| {
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        let api = api.clone();
        async move { api.patch(NAME, &PatchParams::default(), &patch).await }
    };
    scale(LEFT).await?;
    let went = (HAVE - LEFT) as usize;
    let end = Instant::now() + Duration::from_secs(40);
    while rig.workers.caught_busy().len() - caught_before < went && Instant::now() < end {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    rig.audit.catch_up()?;
    let tally = tally(rig, began_ms, now_ms());
    let caught = rig.workers.caught_busy().len() - caught_before;
    rig.verdict.must(
        "the same counting where nobody drains",
        format!("{} pods of a plain Deployment", tally.removed),
        format!("{} by records, {caught} by Redis", tally.busy),
        &format!("{went} found"),
        tally.busy == went && caught == went,
    );
    scale(0).await?;
    Ok(())
}

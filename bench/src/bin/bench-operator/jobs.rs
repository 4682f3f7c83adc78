//! Many TranscriptionJobs: what the operator's memory holds of them, how many passes a second of its processor does, and
//! that looking at all of them again writes nothing.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use crds::TranscriptionJob;
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::PostParams;
use kube::{Api, Client};
use queue::{ClaimAnswer, ClaimRequest, Completed, Queue, QueueName, WorkerId};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::metrics::written;
use crate::programs::Operator;
use crate::rig::{Rig, words};
use crate::stage::{self, NAMESPACE, OPERATOR_USER};
use crate::workers::{complete, now_ms};

const AT_ONCE: usize = 16;
const LIMIT: Duration = Duration::from_secs(420);
/// Numbers that move all the time are written up to 15 s late; after that a quiet operator is a settled one.
const SETTLED: Duration = Duration::from_secs(17);

/// Makes them, waits until all wait in the queue, and lets some run to their end.
pub(crate) async fn fill(
    rig: &mut Rig,
    leader: &Operator,
    jobs: usize,
    to_end: usize,
) -> Result<()> {
    let recording = upload(rig).await?;
    let before = rig.metrics(leader).await?;
    let cpu_before = rig.cpu_seconds(leader)?;
    let began = Instant::now();
    create(&rig.client, &recording, jobs).await?;
    let made = began.elapsed().as_secs_f64();
    states(rig, leader, "Queued", jobs).await?;
    // The uploaded recording itself waits, too.
    finish(&rig.queue, to_end + 1).await?;
    states(rig, leader, "Succeeded", to_end).await?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = rig.cpu_seconds(leader)? - cpu_before;
    let after = rig.metrics(leader).await?;
    let passes = after.passes("job") - before.passes("job");
    let rate = passes / cpu;
    rig.verdict.aim(
        "passes over jobs a processor second",
        format!(
            "{passes:.0} passes, {cpu:.1} s of processor; {jobs} jobs made in {made:.0} s, {to_end} run to their end, all in {seconds:.0} s"
        ),
        format!("{rate:.0}"),
        ">= 100",
        rate >= 100.0,
    );
    let writes = written(&before, &after);
    rig.verdict.tell(
        "writes a job",
        words(&writes),
        format!("{:.2}", writes.values().sum::<u64>() as f64 / jobs as f64),
    );
    rig.quiet(leader, SETTLED, LIMIT).await?;
    let resident = rig.resident_mib(leader)?;
    rig.verdict.aim(
        &format!("memory of the leader, {jobs} jobs"),
        format!("{} unfinished", jobs - to_end),
        format!("{resident:.0} MiB"),
        "<= 150 MiB",
        resident <= 150.0,
    );
    Ok(())
}

/// A second pass over everything: the leader ends, and the one that stood by looks at all jobs and pools anew.
pub(crate) async fn second_pass(
    rig: &mut Rig,
    (leader, standby): (Operator, Operator),
    jobs: usize,
) -> Result<Operator> {
    let before = rig.metrics(&standby).await?;
    let began_ms = now_ms();
    let old = leader.identity.clone();
    leader.program.terminate()?;
    rig.watched
        .leader_other_than(&old, Duration::from_secs(30))
        .await?;
    drop(leader);
    let end = Instant::now() + LIMIT;
    loop {
        let passes = rig.metrics(&standby).await?.passes("job") - before.passes("job");
        if passes >= jobs as f64 {
            break;
        }
        if Instant::now() > end {
            bail!("the new leader looked at {passes:.0} of {jobs} jobs only");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    rig.quiet(&standby, SETTLED, LIMIT).await?;
    let touched = stage::touch(&rig.client).await?;
    let seen = rig.metrics(&standby).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = rig.metrics(&standby).await?;
    ensure!(
        after.passes("pool") > seen.passes("pool"),
        "void: nothing was looked at again after a change"
    );
    rig.audit.catch_up()?;
    let by_audit = rig.audit.writes(OPERATOR_USER, began_ms, now_ms());
    let by_client = written(&before, &after);
    let looked = after.passes("job") - before.passes("job");
    let pools = after.passes("pool") - before.passes("pool");
    rig.verdict.must(
        "writes of a second pass",
        format!(
            "{looked:.0} passes over {jobs} jobs by a new leader, {pools:.0} over pools, {touched} objects touched"
        ),
        format!(
            "client: {}; audit log: {}",
            words(&by_client),
            words(&by_audit)
        ),
        "none but the Lease",
        by_client.is_empty() && by_audit.is_empty(),
    );
    let resident = rig.resident_mib(&standby)?;
    rig.verdict.aim(
        &format!("memory of the next leader, {jobs} jobs"),
        String::new(),
        format!("{resident:.0} MiB"),
        "<= 150 MiB",
        resident <= 150.0,
    );
    Ok(standby)
}

/// Nothing happens for a while.
pub(crate) async fn idle(rig: &mut Rig, leader: &Operator, span: Duration) -> Result<()> {
    rig.quiet(leader, SETTLED, LIMIT).await?;
    let before = rig.metrics(leader).await?;
    let (began_ms, cpu_before) = (now_ms(), rig.cpu_seconds(leader)?);
    tokio::time::sleep(span).await;
    let after = rig.metrics(leader).await?;
    let cpu = rig.cpu_seconds(leader)? - cpu_before;
    rig.audit.catch_up()?;
    let by_audit = rig.audit.writes(OPERATOR_USER, began_ms, now_ms());
    let by_client = written(&before, &after);
    rig.verdict.must(
        &format!("writes in {} s of doing nothing", span.as_secs()),
        format!(
            "{:.0} passes over pools, {} renewals of the Lease",
            after.passes("pool") - before.passes("pool"),
            after.renewals() - before.renewals()
        ),
        format!(
            "client: {}; audit log: {}",
            words(&by_client),
            words(&by_audit)
        ),
        "none but the Lease",
        by_client.is_empty() && by_audit.is_empty(),
    );
    rig.verdict.tell(
        "processor while idle",
        format!("{} s", span.as_secs()),
        format!("{:.1} %", 100.0 * cpu / span.as_secs_f64()),
    );
    Ok(())
}

/// Half a second of silence through the API, as a person would; every job names it as its source.
async fn upload(rig: &Rig) -> Result<String> {
    const RATE: u32 = 8_000;
    let bytes = RATE; // half a second of 16 bits
    let mut wav: Vec<u8> = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    wav.extend(1_u16.to_le_bytes());
    wav.extend(1_u16.to_le_bytes());
    wav.extend(RATE.to_le_bytes());
    wav.extend((2 * RATE).to_le_bytes());
    wav.extend(2_u16.to_le_bytes());
    wav.extend(16_u16.to_le_bytes());
    wav.extend(b"data");
    wav.extend(bytes.to_le_bytes());
    wav.resize(wav.len() + bytes as usize, 0);
    let part = Part::bytes(wav)
        .file_name("silence.wav")
        .mime_str("audio/wav")?;
    let answer = rig
        .ground
        .http
        .post(format!("{}/api/v1/transcriptions", rig.api.url))
        .multipart(Form::new().part("audio", part))
        .send()
        .await?;
    let text = answer.text().await?;
    let body: Value = serde_json::from_str(&text).context("the API's answer")?;
    let id = body["id"].as_str();
    Ok(id.with_context(|| format!("no id in {text}"))?.to_owned())
}

async fn create(client: &Client, recording: &str, jobs: usize) -> Result<()> {
    let api: Api<TranscriptionJob> = Api::namespaced(client.clone(), NAMESPACE);
    stream::iter(0..jobs)
        .map(|number| {
            let api = api.clone();
            async move {
                let job: TranscriptionJob = serde_json::from_value(json!({
                    "apiVersion": "whatsthetab.dev/v1alpha1", "kind": "TranscriptionJob",
                    "metadata": { "name": format!("take-{number}") },
                    "spec": { "source": { "transcription": recording }, "priority": 0, "suspend": false, "backoffLimit": 2,
                              "queueDeadlineSeconds": 86_400, "ttlSecondsAfterFinished": 86_400 },
                }))?;
                api.create(&PostParams::default(), &job).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}

/// Waits until so many jobs show this state, as the operator counts them.
async fn states(rig: &Rig, operator: &Operator, state: &str, wanted: usize) -> Result<()> {
    let end = Instant::now() + LIMIT;
    loop {
        let metrics = rig.metrics(operator).await?;
        let count = metrics.sum("wtt_jobs", &[("state", state)]);
        if count >= wanted as f64 {
            return Ok(());
        }
        if Instant::now() > end {
            let all: Vec<String> = ["Created", "Queued", "Running", "Succeeded", "Failed"]
                .iter()
                .map(|state| format!("{} {state}", metrics.sum("wtt_jobs", &[("state", *state)])))
                .collect();
            bail!("{count} of {wanted} jobs got {state}: {}", all.join(", "));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// So many tasks of the default queue run to their end, a few at a time.
async fn finish(queue: &Queue, tasks: usize) -> Result<()> {
    stream::iter(0..tasks)
        .map(|number| async move {
            let request = ClaimRequest {
                worker: WorkerId::parse(format!("played-{}", number % AT_ONCE))?,
                queues: vec![QueueName::default()],
                nonce: ClaimRequest::nonce(),
                held: 0,
                slots: 1,
            };
            let ClaimAnswer::Claimed(claim) = queue.claim(&request).await? else {
                bail!("fewer tasks wait than there are jobs");
            };
            tokio::time::sleep(Duration::from_millis(claim.audio_ms)).await;
            match complete(queue, &claim).await? {
                Completed::Done => Ok(()),
                other => bail!("a task could not be completed: {other:?}"),
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}

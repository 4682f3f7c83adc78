//! `make bench-fair`: one long recording and many short ones in one worker, as it runs. It takes minutes, so `make test` leaves it out.
//!
//! `MODEL`, `SHORT` (how many, of `SHORT_SECONDS` each), `LONG_SECONDS` and `SLOTS` say what is measured.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use queue::{TaskId, TaskPayload, TaskSnapshot, TaskStatus};
use sha2::{Digest, Sha256};

use crate::recordings::{Process, wtt_worker};
use crate::sounds::wav;
use crate::stage::Stage;

const RATE: u32 = 16_000;
const LEASE: Duration = Duration::from_secs(15);
/// For everything together; a busy machine may take long.
const PATIENCE: Duration = Duration::from_secs(3600);
/// What the short ones may lose to the long one.
const MOST: f64 = 2.0;

fn setting<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name)
        .ok()
        .filter(|text| !text.is_empty())
        .map_or(otherwise, |text| match text.parse() {
            Ok(value) => value,
            Err(_) => panic!("{name}={text} cannot be read"),
        })
}

/// A melody: another pitch each half second.
fn melody(seconds: u32, seed: u32) -> Vec<u8> {
    let mut data = Vec::with_capacity((seconds * RATE * 2) as usize);
    let mut phase = 0.0f64;
    for n in 0..seconds * RATE {
        let step = n / (RATE / 2) + seed;
        let pitch = 48 + (step * 7) % 36;
        phase += 440.0 * 2f64.powf((f64::from(pitch) - 69.0) / 12.0) / f64::from(RATE);
        let fade = 1.0 - f64::from(n % (RATE / 2)) / f64::from(RATE / 2);
        let sample = (phase * std::f64::consts::TAU).sin() * fade * 12_000.0;
        data.extend((sample as i16).to_le_bytes());
    }
    wav(RATE, 1, 16, 1, &data)
}

async fn submit(stage: &Stage, id: &str, model: &str, seconds: u32) -> TaskId {
    let seed = id.bytes().map(u32::from).sum();
    let bytes = melody(seconds, seed);
    let payload = TaskPayload {
        filename: "song.wav".into(),
        bytes: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(&bytes)),
        model: model.into(),
        max_seconds: 2 * u64::from(seconds),
        ..TaskPayload::default()
    };
    stage.api.upload(id, bytes);
    stage.enqueue(id, LEASE, payload).await
}

/// What each task showed of itself: its steps, in order, each once.
type Steps = BTreeMap<String, Vec<(String, u64)>>;

/// Looks at the tasks until those of `awaited` are done.
async fn follow(
    stage: &Stage,
    ids: &[TaskId],
    awaited: &[TaskId],
    steps: &mut Steps,
) -> Vec<TaskSnapshot> {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = stage.queue.snapshots(ids).await.unwrap();
        let found: Vec<TaskSnapshot> = found.into_iter().flatten().collect();
        for task in &found {
            assert_ne!(task.status, TaskStatus::Failed, "{task:?}");
            if let Some(progress) = &task.progress {
                let seen = steps.entry(task.id.to_string()).or_default();
                let step = (progress.stage.clone(), progress.current);
                if seen.last() != Some(&step) {
                    seen.push(step);
                }
            }
        }
        let done: Vec<TaskSnapshot> = found
            .into_iter()
            .filter(|task| awaited.contains(&task.id) && task.status == TaskStatus::Completed)
            .collect();
        if done.len() == awaited.len() {
            return done;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// From the upload to the notes, by Redis' clock.
fn p95_seconds(tasks: &[TaskSnapshot]) -> f64 {
    let mut waits: Vec<u64> = tasks
        .iter()
        .map(|task| task.finished_at_ms.unwrap() - task.created_at_ms)
        .collect();
    waits.sort_unstable();
    waits[(waits.len() * 95).div_ceil(100) - 1] as f64 / 1000.0
}

/// The most memory that a process ever had, and its CPU time.
fn peak_mib_and_cpu(pid: u32) -> (u64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    (kib / 1024, ticks / 100.0)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make bench-fair"]
async fn fairness_of_one_worker() {
    let model: String = setting("MODEL", "basic-pitch".to_owned());
    let (count, seconds) = (setting("SHORT", 50), setting("SHORT_SECONDS", 20));
    let long_seconds = setting("LONG_SECONDS", 3600);
    let slots = setting("SLOTS", count + 1);
    eprintln!(
        "{count} recordings of {seconds} s and one of {long_seconds} s, {model}, {slots} slots of one worker"
    );
    let stage = Stage::set().await;
    let mut worker = wtt_worker(&stage, slots);
    let worker = Process(worker.stdin(Stdio::piped()).spawn().unwrap());
    let pid = worker.0.id();
    // The network is loaded by the first.
    let first = [submit(&stage, "first", &model, 2).await];
    follow(&stage, &first, &first, &mut Steps::new()).await;

    let short = |round: &'static str| {
        let (stage, model) = (&stage, model.as_str());
        async move {
            let mut ids = Vec::new();
            for n in 0..count {
                ids.push(submit(stage, &format!("{round}-{n}"), model, seconds).await);
            }
            ids
        }
    };
    let ids = short("without").await;
    let mut steps = Steps::new();
    let without = p95_seconds(&follow(&stage, &ids, &ids, &mut steps).await);
    let (mib, cpu) = peak_mib_and_cpu(pid);
    eprintln!("without the long one: p95 {without:.2} s, peak {mib} MiB, CPU {cpu:.1} s");

    let long = submit(&stage, "long", &model, long_seconds).await;
    stage
        .until(&long, "runs", |task| task.progress.is_some())
        .await;
    let ids = short("with").await;
    let mut all = ids.clone();
    all.push(long.clone());
    let mut steps = Steps::new();
    let with = p95_seconds(&follow(&stage, &all, &ids, &mut steps).await);
    let (mib, cpu_with) = peak_mib_and_cpu(pid);
    let ratio = with / without;
    eprintln!(
        "with the long one:    p95 {with:.2} s, peak {mib} MiB, CPU {:.1} s: {ratio:.2} times",
        cpu_with - cpu
    );
    let still_runs = stage.snapshot(&long).await.status == TaskStatus::Processing;
    let moved = |id: &TaskId| steps.get(id.as_str()).map_or(0, Vec::len);
    let fewest = ids.iter().map(moved).min().unwrap_or(0);
    eprintln!(
        "steps seen meanwhile: {} of the long one (still running: {still_runs}), at least {fewest} of each short one",
        moved(&long)
    );
    assert!(
        still_runs,
        "the long one was over too soon to say anything; make it longer"
    );
    assert!(moved(&long) >= 3 && fewest >= 1, "{steps:?}");
    assert!(
        ratio <= MOST,
        "the long one costs the short ones {ratio:.2} times"
    );

    let last = follow(
        &stage,
        std::slice::from_ref(&long),
        std::slice::from_ref(&long),
        &mut steps,
    )
    .await;
    // Told and held to no limit: what is promised is an hour by itself (`make bench-basic-pitch` holds it), and this worker has held
    // fifty others beside it.
    let (mib, _) = peak_mib_and_cpu(pid);
    eprintln!("the long one: {:.1} s, peak {mib} MiB", p95_seconds(&last));
    let seen = &steps[long.as_str()];
    let falls = seen
        .windows(2)
        .any(|pair| pair[0].0 == pair[1].0 && pair[0].1 > pair[1].1);
    assert!(!falls, "progress went backwards: {seen:?}");
}

//! No room: in the object store, in the database, in Redis. What comes in is refused with a code and a time to come back, and
//! leaves nothing; what runs goes on, and ends as soon as there is room.

use std::path::{Path, PathBuf};
use std::process::Command;

use queue::testing::Tmpfs;
use queue::{Beat, LeaseState, WorkerAbout, WorkerState};
use serde_json::{Value, json};

use crate::common::{FakeWorker, Ground, Kind, TestApp, file, wait_for, wav};

const DISK: usize = 8 << 20;

#[expect(
    clippy::print_stdout,
    reason = "whoever reads the tests should see what was skipped"
)]
fn disk() -> Option<Tmpfs> {
    let disk = Tmpfs::mount(DISK);
    if disk.is_none() {
        println!("skipped: no tmpfs can be mounted here (it takes root)");
    }
    disk
}

/// An upload with a key. Status, code and `Retry-After`.
pub(crate) async fn upload(app: &TestApp, recording: &[u8], key: &str) -> (u16, String, bool) {
    let form = reqwest::multipart::Form::new().part("audio", file(recording, "take.wav"));
    let response = app
        .http
        .post(app.url("/api/v1/transcriptions"))
        .header("idempotency-key", key)
        .multipart(form)
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    let later = response.headers().contains_key("retry-after");
    let body: Value = response.json().await.unwrap_or_default();
    let code = body["code"].as_str().unwrap_or_default().to_owned();
    (status, code, later)
}

/// Whole objects and pieces of them.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => files.extend(files_below(&path)),
            path => files.push(path),
        }
    }
    files
}

/// Waits until exactly so many files lie there: refused ones go a moment after the answer.
pub(crate) async fn only(folder: &Path, count: usize) {
    wait_for(
        &format!("{count} files in {}", folder.display()),
        async || (files_below(folder).len() == count).then_some(()),
    )
    .await;
}

pub(crate) async fn rows(app: &TestApp) -> usize {
    app.state.db.list(None, None, 100).await.unwrap().rows.len()
}

/// The worker's heartbeat keeps its lease.
pub(crate) async fn keeps(worker: &FakeWorker, claim: &queue::Claim) {
    let beat = Beat {
        worker: queue::WorkerId::parse("w1").unwrap(),
        state: WorkerState::Busy,
        about: WorkerAbout::default(),
        held: vec![(claim.id.clone(), claim.token.clone())],
        ttl_ms: 30_000,
    };
    let answer = worker.queue.heartbeat(&beat).await.unwrap();
    assert_eq!(answer.leases, [LeaseState::Kept]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_refuses_uploads_and_results_and_leaves_no_half_of_either() {
    let Some(disk) = disk() else { return };
    let ground = Ground::new(Kind::Sqlite);
    let store = disk.path().join("objects");
    let url = format!("--objects-url=file://{}", store.display());
    let app = ground.serve(&[&url]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    let waiting = app.create(&wav(1.0, 440.0)).await;

    // Small: found at the end of the upload. Large: while it streams, in pieces.
    let (small, large) = (wav(12.0, 440.0), wav(700.0, 440.0));
    disk.fill_but(64 * 1024);
    let refused = (507, "storage_full".to_owned(), true);
    assert_eq!(upload(&app, &small, "small").await, refused);
    disk.free();
    disk.fill_but(6 << 20);
    let before = room(&disk);
    assert_eq!(upload(&app, &large, "large").await, refused);
    // Pieces go a moment after the answer.
    wait_for("the room of the refused upload", async || {
        (room(&disk) >= before).then_some(())
    })
    .await;
    disk.fill();
    assert_eq!(upload(&app, &small, "small").await, refused);
    only(&store, 2).await;
    assert_eq!(rows(&app).await, 2, "a row of a refused upload");

    // What runs goes on; its result waits, whole or not at all.
    keeps(&worker, &claim).await;
    worker.progress(&claim, 1, 2).await;
    assert_eq!(worker.audio(&claim).await, wav(1.0, 440.0));
    for _ in 0..2 {
        let (status, body) = worker.hand_in(&claim, 60).await;
        assert_eq!((status, &body["code"]), (507, &json!("storage_full")));
    }
    only(&store, 2).await;
    assert_eq!(app.job(&id).await["state"], "running");
    assert_eq!(
        app.get("/readyz").await.0,
        200,
        "what is stored can be read"
    );

    disk.free();
    let (status, body) = worker.hand_in(&claim, 60).await;
    assert_eq!((status, &body["outcome"]), (200, &json!("stored")));
    app.reach(&id, "succeeded").await;
    assert_eq!(worker.work(|_| 61).await.id.as_str(), waiting);
    app.reach(&waiting, "succeeded").await;
    assert_eq!(
        upload(&app, &small, "small").await.0,
        202,
        "the key was given back"
    );
    only(&store, 2 * 3 + 1).await;
    app.stop().await;
}

/// One of the two files fits, the other does not.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_result_is_none() {
    let Some(disk) = disk() else { return };
    let ground = Ground::new(Kind::Sqlite);
    let store = disk.path().join("objects");
    let url = format!("--objects-url=file://{}", store.display());
    let app = ground.serve(&[&url]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    // The MIDI file takes one block.
    disk.fill_but(4096);
    let (status, _) = worker.hand_in(&claim, 60).await;
    assert_eq!(status, 507);
    // The recording and the MIDI file, which nobody can see.
    only(&store, 2).await;
    assert_eq!(app.job(&id).await["state"], "running");
    let (status, problem) = app
        .get(&format!("/api/v1/transcriptions/{id}/files/midi"))
        .await;
    assert_eq!((status, &problem["code"]), (409, &json!("not_ready")));
    disk.free();
    assert_eq!(worker.hand_in(&claim, 60).await.0, 200);
    app.reach(&id, "succeeded").await;
    only(&store, 3).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_database_refuses_and_the_outbox_waits() {
    let Some(disk) = disk() else { return };
    let mut ground = Ground::new(Kind::Sqlite);
    let elsewhere = std::mem::replace(
        &mut ground.folder,
        tempfile::tempdir_in(disk.path()).unwrap(),
    );
    let store = elsewhere.path().join("objects");
    let url = format!("--objects-url=file://{}", store.display());
    let app = ground.serve(&[&url]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    disk.fill();
    // The first few may find room in blocks that are taken already.
    let mut accepted = 0;
    wait_for("a refusal", async || {
        let answer = upload(&app, &wav(1.0, 440.0), &format!("key-{accepted}")).await;
        if answer.0 == 202 {
            accepted += 1;
            return None;
        }
        assert_eq!(answer, (503, "database_unavailable".to_owned(), true));
        Some(())
    })
    .await;
    only(&store, 1 + accepted).await;
    assert_eq!(rows(&app).await, 1 + accepted);
    keeps(&worker, &claim).await;
    assert_eq!(app.job(&id).await["state"], "running");
    assert_eq!(worker.hand_in(&claim, 60).await.0, 200);
    let waits = worker.queue.results(10).await.unwrap();
    assert_eq!(
        waits.len(),
        1,
        "the outbox keeps what the database cannot take"
    );
    disk.free();
    app.reach(&id, "succeeded").await;
    wait_for("an empty outbox", async || {
        let left = worker.queue.results(10).await.unwrap();
        left.is_empty().then_some(())
    })
    .await;
    assert_eq!(upload(&app, &wav(1.0, 440.0), "again").await.0, 202);
    app.stop().await;
}

/// At maxmemory nothing new comes in, and everything that runs ends; where every write is refused, it waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_keeps_results_until_it_takes_them() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let ground = Ground::new(kind);
        let app = ground.serve(&[]).await;
        let store = ground.folder.path().join("data/objects");
        let ids = [
            app.create(&wav(1.0, 440.0)).await,
            app.create(&wav(1.0, 440.0)).await,
        ];
        let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
        let claims = [worker.claim().await, worker.claim().await];
        let refused = (503, "queue_unavailable".to_owned(), true);
        let cancelled = app.create(&wav(1.0, 440.0)).await;
        let job = format!("/api/v1/transcriptions/{cancelled}");
        assert_eq!(post(&app, &format!("{job}/cancel")).await, 202);
        app.reach(&cancelled, "cancelled").await;

        set(&ground, "maxmemory", "1");
        assert_eq!(
            upload(&app, &wav(1.0, 440.0), "a").await,
            refused,
            "{kind:?}"
        );
        only(&store, 3).await;
        assert_eq!(rows(&app).await, 3);
        keeps(&worker, &claims[0]).await;
        worker.progress(&claims[0], 1, 2).await;
        assert_eq!(worker.hand_in(&claims[0], 60).await.0, 200, "{kind:?}");
        app.reach(&ids[0], "succeeded").await;
        set(&ground, "maxmemory", "0");

        // As with a snapshot that failed: refused at COMPLETE, after the files were stored.
        set(&ground, "min-replicas-to-write", "1");
        assert_eq!(
            upload(&app, &wav(1.0, 440.0), "b").await,
            refused,
            "{kind:?}"
        );
        for _ in 0..2 {
            let (status, body) = worker.hand_in(&claims[1], 60).await;
            assert_eq!((status, &body["code"]), (503, &json!("queue_unavailable")));
        }
        assert_eq!(post(&app, &format!("{job}/retry")).await, 503);
        assert_eq!(
            app.job(&cancelled).await["state"],
            "cancelled",
            "the old outcome"
        );
        assert_eq!(app.job(&ids[1]).await["state"], "running");
        set(&ground, "min-replicas-to-write", "0");
        assert_eq!(worker.hand_in(&claims[1], 60).await.0, 200, "{kind:?}");
        app.reach(&ids[1], "succeeded").await;
        only(&store, 7).await;
        assert_eq!(rows(&app).await, 3);
        assert_eq!(post(&app, &format!("{job}/retry")).await, 202);
        assert_eq!(worker.work(|_| 60).await.id.as_str(), cancelled);
        app.reach(&cancelled, "succeeded").await;
        assert_eq!(upload(&app, &wav(1.0, 440.0), "a").await.0, 202);
        app.stop().await;
    }
}

/// Redis' own disk: the append-only file cannot be written.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_redis_refuses_and_everything_goes_on_with_room() {
    let Some(disk) = disk() else { return };
    let mut ground = Ground::new(Kind::Sqlite);
    let folder = disk.path().to_str().unwrap().to_owned();
    ground.redis =
        queue::testing::RedisServer::start_with(&["--appendonly", "yes", "--dir", &folder]);
    let app = ground.serve(&[]).await;
    let store = ground.folder.path().join("data/objects");
    let id = app.create(&wav(1.0, 440.0)).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    disk.fill();
    let mut accepted = 0;
    wait_for("a refusal", async || {
        let answer = upload(&app, &wav(1.0, 440.0), &format!("key-{accepted}")).await;
        if answer.0 == 202 {
            accepted += 1;
            return None;
        }
        assert_eq!(answer, (503, "queue_unavailable".to_owned(), true));
        Some(())
    })
    .await;
    only(&store, 1 + accepted).await;
    assert_eq!(rows(&app).await, 1 + accepted);
    assert_eq!(worker.hand_in(&claim, 60).await.0, 503);
    assert_eq!(worker.audio(&claim).await, wav(1.0, 440.0), "reads go on");
    disk.free();
    wait_for("the result to be taken", async || {
        (worker.hand_in(&claim, 60).await.0 == 200).then_some(())
    })
    .await;
    app.reach(&id, "succeeded").await;
    for _ in 0..accepted {
        worker.work(|_| 60).await;
    }
    assert!(worker.try_claim().await.is_none(), "each once");
    app.stop().await;
}

async fn post(app: &TestApp, path: &str) -> u16 {
    let answer = app.http.post(app.url(path)).send().await.unwrap();
    answer.status().as_u16()
}

/// Free bytes.
fn room(disk: &Tmpfs) -> u64 {
    let asked = Command::new("df")
        .args(["-B1", "--output=avail"])
        .arg(disk.path())
        .output()
        .unwrap();
    let text = String::from_utf8(asked.stdout).unwrap();
    text.lines().nth(1).unwrap().trim().parse().unwrap()
}

fn set(ground: &Ground, name: &str, value: &str) {
    let done = Command::new("redis-cli")
        .arg("-s")
        .arg(ground.redis.socket())
        .args(["CONFIG", "SET", name, value])
        .output()
        .unwrap();
    assert_eq!(done.stdout.trim_ascii(), b"OK", "{done:?}");
}

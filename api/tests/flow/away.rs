//! A store that fails and a database that is held by somebody else: refusals that say when to come back, nothing half-stored,
//! and work that goes on by itself afterwards.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{AnyConnection, Connection, Executor};

use crate::common::{Database, FakeWorker, Ground, Kind, file, wait_for, wav};
use crate::full::{keeps, only, rows, upload};

/// What the service waits for a lock (10 s on both databases), and some for a busy machine.
const LOCK_BOUND: Duration = Duration::from_secs(10 + 8);

/// The folder of the store is somewhere else for a while, and a file or nothing lies in its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_costs_no_recording_and_no_result() {
    for in_the_way in [true, false] {
        let ground = Ground::new(Kind::Sqlite);
        let place = ground.folder.path().join("store");
        let (store, moved) = (place.join("objects"), place.join("moved"));
        let url = format!("--objects-url=file://{}", store.display());
        let app = ground.serve(&[&url]).await;
        let id = app.create(&wav(1.0, 440.0)).await;
        let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
        let claim = worker.claim().await;
        std::fs::rename(&store, &moved).unwrap();
        if in_the_way {
            std::fs::write(&store, "no folder").unwrap();
        }
        let answer = worker
            .fetch(claim.id.as_str(), Some(claim.token.as_str()))
            .await;
        assert_eq!(
            answer.status(),
            503,
            "a worker that is told 404 fails the task"
        );
        assert!(answer.headers().contains_key("retry-after"));
        let (status, ready) = app.get("/readyz").await;
        assert_eq!(
            (status, &ready["checks"]["objects"]["ok"]),
            (503, &json!(false))
        );
        if in_the_way {
            let refused = (503, "storage_unavailable".to_owned(), true);
            assert_eq!(upload(&app, &wav(1.0, 440.0), "a").await, refused);
            assert_eq!(rows(&app).await, 1);
            let (status, body) = worker.hand_in(&claim, 60).await;
            assert_eq!(
                (status, &body["code"]),
                (503, &json!("storage_unavailable"))
            );
            std::fs::remove_file(&store).unwrap();
        }
        keeps(&worker, &claim).await;
        assert_eq!(app.job(&id).await["state"], "running");
        std::fs::rename(&moved, &store).unwrap();
        assert_eq!(worker.audio(&claim).await, wav(1.0, 440.0));
        assert_eq!(worker.hand_in(&claim, 60).await.0, 200);
        app.reach(&id, "succeeded").await;
        only(&place, 3).await;
        app.stop().await;
    }
}

/// Somebody else holds the database, for longer than the service waits.
async fn a_locked_database_refuses_in_bounded_time_and_the_outbox_waits(kind: Kind) {
    let ground = Ground::new(kind);
    let app = ground.serve(&["--outbox-poll-ms", "200"]).await;
    let store = ground.folder.path().join("data/objects");
    let (done, running) = (
        app.create(&wav(1.0, 440.0)).await,
        app.create(&wav(1.0, 440.0)).await,
    );
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    worker.work(|_| 60).await;
    app.reach(&done, "succeeded").await;
    let claim = worker.claim().await;
    let objects = app.objects().await;

    let mut holder = AnyConnection::connect(&ground.database.url(ground.folder.path()))
        .await
        .unwrap();
    holder
        .execute(match kind {
            Kind::Sqlite => "BEGIN EXCLUSIVE",
            Kind::Postgres => "BEGIN; LOCK TABLE transcriptions IN ACCESS EXCLUSIVE MODE",
        })
        .await
        .unwrap();
    let begun = Instant::now();
    let job = format!("/api/v1/transcriptions/{running}");
    let recording = wav(1.0, 440.0);
    let seed = reqwest::multipart::Form::new().part("audio", file(&recording, "a.wav"));
    // Without a key the row is the first thing that is written.
    let bare = reqwest::multipart::Form::new().part("audio", file(&recording, "a.wav"));
    let (refused, bare_refused, seed_refused, shown, removed, retried) = tokio::join!(
        upload(&app, &recording, "a"),
        app.http
            .post(app.url("/api/v1/transcriptions"))
            .multipart(bare)
            .send(),
        app.http
            .post(app.url("/transcribe/upload/"))
            .multipart(seed)
            .send(),
        app.get(&job),
        app.http
            .delete(app.url(&format!("/api/v1/transcriptions/{done}")))
            .send(),
        app.http
            .post(app.url(&format!("/api/v1/transcriptions/{done}/retry")))
            .send(),
    );
    assert_eq!(
        refused,
        (503, "database_unavailable".to_owned(), true),
        "{kind:?}"
    );
    assert_eq!(bare_refused.unwrap().status(), 503, "{kind:?}");
    assert_eq!(seed_refused.unwrap().status(), 503, "{kind:?}");
    assert_eq!(removed.unwrap().status(), 503, "{kind:?}");
    // Readers go on beside a writer of SQLite's; a lock on a table of Postgres' holds them, too.
    let (reads, not_failed) = match kind {
        Kind::Sqlite => (200, 409),
        Kind::Postgres => (503, 503),
    };
    assert_eq!(
        (shown.0, retried.unwrap().status().as_u16()),
        (reads, not_failed),
        "{kind:?}"
    );
    assert!(
        begun.elapsed() < LOCK_BOUND,
        "{kind:?}: answers took {:?}",
        begun.elapsed()
    );
    wait_for("the refused recording to be removed", async || {
        (app.objects().await == objects).then_some(())
    })
    .await;

    // The task's own way needs Redis and the store, and a look at the row.
    keeps(&worker, &claim).await;
    worker.progress(&claim, 1, 2).await;
    if kind == Kind::Sqlite {
        assert_eq!(worker.hand_in(&claim, 61).await.0, 200);
        assert_eq!(
            worker.queue.results(9).await.unwrap().len(),
            1,
            "the outbox waits"
        );
        assert_eq!(
            app.job(&running).await["state"],
            "running",
            "the row, and Redis over it"
        );
    } else {
        assert_eq!(worker.hand_in(&claim, 61).await.0, 503);
    }
    holder.execute("ROLLBACK").await.unwrap();
    if kind == Kind::Postgres {
        assert_eq!(worker.hand_in(&claim, 61).await.0, 200);
    }
    app.reach(&running, "succeeded").await;
    wait_for("an empty outbox", async || {
        worker
            .queue
            .results(9)
            .await
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    only(&store, 2 * 3).await;
    assert_eq!(rows(&app).await, 2, "no row of what was refused");
    assert_eq!(
        upload(&app, &recording, "a").await.0,
        202,
        "{kind:?}: the key is free"
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_sqlite_refuses_in_bounded_time() {
    a_locked_database_refuses_in_bounded_time_and_the_outbox_waits(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_postgres_refuses_in_bounded_time() {
    a_locked_database_refuses_in_bounded_time_and_the_outbox_waits(Kind::Postgres).await;
}

/// Every process of the server is halted: connections stay open, and nobody answers on them.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_stands_still_refuses_in_bounded_time_and_work_goes_on_afterwards() {
    let ground = Ground::new(Kind::Postgres);
    let Database::Postgres(postgres) = &ground.database else {
        panic!("no Postgres")
    };
    let app = ground.serve(&["--outbox-poll-ms", "200"]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    postgres.signal("-STOP");
    let begun = Instant::now();
    let (recording, job) = (wav(1.0, 440.0), format!("/api/v1/transcriptions/{id}"));
    let answers = async {
        tokio::join!(
            upload(&app, &recording, "a"),
            app.get(&job),
            worker.hand_in(&claim, 60),
        )
    };
    let (refused, shown, handed_in) = tokio::time::timeout(2 * LOCK_BOUND, answers)
        .await
        .expect("answers while Postgres is halted");
    let took = begun.elapsed();
    // Before anything that could panic: a halted server cannot be ended.
    postgres.signal("-CONT");
    assert_eq!(refused, (503, "database_unavailable".to_owned(), true));
    assert_eq!((shown.0, handed_in.0), (503, 503));
    assert!(took < LOCK_BOUND, "answers took {took:?}");
    wait_for("the result to be taken", async || {
        (worker.hand_in(&claim, 60).await.0 == 200).then_some(())
    })
    .await;
    app.reach(&id, "succeeded").await;
    wait_for("the refused recording to be removed", async || {
        (app.objects().await == 3).then_some(())
    })
    .await;
    assert_eq!(rows(&app).await, 1, "no row of what was refused");
    assert_eq!(
        upload(&app, &recording, "a").await.0,
        202,
        "the key is free"
    );
    app.stop().await;
}

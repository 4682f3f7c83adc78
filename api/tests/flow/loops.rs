//! What the service does without being asked, and what it survives: crashes at the worst point, a Redis that forgets, two
//! of everything, time passing.

use api::db::State;
use api::loops::{reconciler, subscriber, sweeper};
use api::objects::ObjectKey;
use api::state::now_ms;
use queue::{Completion, ResultPointer, TaskStatus};
use serde_json::{Value, json};

use crate::common::{FakeWorker, Ground, Kind, TestApp, wait_for, wav};

const HOUR_MS: u64 = 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_commit_and_acknowledgement_changes_nothing() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let ground = Ground::new(kind);
        let app = ground.serve(&[]).await;
        let id = app.create(&wav(1.0, 440.0)).await;
        let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
        let claim = worker.claim().await;
        app.stop().await;
        let completion = Completion {
            id: claim.id.clone(),
            token: claim.token.clone(),
            result: ResultPointer {
                notes: 7,
                fingerprint: "f".to_owned(),
                ..ResultPointer::default()
            },
            busy_ms: 1,
            ttl_ms: HOUR_MS,
        };
        worker.queue.complete(&completion).await.unwrap();

        // Commits, then dies before the acknowledgement.
        let dying = ground.bind(&[]).await;
        let entries = worker.queue.results(10).await.unwrap();
        assert_eq!(entries.len(), 1);
        subscriber::apply(dying.state(), &entries).await.unwrap();
        let stored = dying.state().db.get(&id).await.unwrap().unwrap();
        assert_eq!(
            (stored.state.as_str(), stored.outbox_number),
            ("succeeded", entries[0].number)
        );
        drop(dying);
        assert_eq!(
            worker.queue.results(10).await.unwrap().len(),
            1,
            "not acknowledged"
        );

        let app = ground.serve(&[]).await;
        wait_for("the acknowledgement", async || {
            worker
                .queue
                .results(10)
                .await
                .unwrap()
                .is_empty()
                .then_some(())
        })
        .await;
        assert_eq!(app.state.db.get(&id).await.unwrap().unwrap(), stored);
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_an_older_life_is_dropped() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let ground = Ground::new(kind);
        let bound = ground.bind(&[]).await;
        let app = TestApp::start(bound);
        let id = app.create(&wav(1.0, 440.0)).await;
        let entry = |number, life| queue::OutboxEntry {
            number,
            id: queue::TaskId::parse(id.as_str()).unwrap(),
            life,
            attempt: 1,
            status: TaskStatus::Failed,
            kind: "internal".to_owned(),
            body: json!({ "code": "internal", "kind": "internal", "message": "it broke" })
                .to_string(),
            at_ms: now_ms(),
        };
        subscriber::apply(&app.state, &[entry(1, 1)]).await.unwrap();
        let failed = app.job(&id).await;
        assert_eq!(
            (&failed["state"], &failed["error"]["code"]),
            (&"failed".into(), &"internal".into())
        );
        let raised = app
            .state
            .db
            .raise_life(&id, 1, now_ms())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(raised.life, 2);
        subscriber::apply(&app.state, &[entry(2, 1)]).await.unwrap();
        assert_eq!(app.job(&id).await["state"], "queued");
        subscriber::apply(&app.state, &[entry(3, 2)]).await.unwrap();
        assert_eq!(app.job(&id).await["state"], "failed");
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reconciler_heals_a_wiped_redis() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let ground = Ground::new(kind);
        let app = ground.serve(&[]).await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(app.create(&wav(1.0, 440.0)).await);
        }
        let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
        let lost = worker.claim().await;
        ground.wipe_redis();
        // The regular run leaves young rows alone; a run without that patience does not.
        reconciler::heal_older_than(&app.state, 60_000)
            .await
            .unwrap();
        assert!(worker.try_claim().await.is_none());
        reconciler::heal_older_than(&app.state, 0).await.unwrap();
        reconciler::heal_older_than(&app.state, 0).await.unwrap();
        assert_eq!(
            worker.hand_in(&lost, 50).await.0,
            409,
            "the token of before is worth nothing"
        );
        for _ in &ids {
            worker.work(|_| 60).await;
        }
        assert!(worker.try_claim().await.is_none(), "each once");
        for id in &ids {
            app.reach(id, "succeeded").await;
        }
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_a_returning_redis_heal_at_once() {
    let mut ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let first = app.create(&wav(1.0, 440.0)).await;
    app.stop().await;
    ground.wipe_redis();
    let app = ground.serve(&[]).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    assert_eq!(worker.claim().await.id.as_str(), first);

    // Redis away: accepted all the same, queued when it is back.
    ground.redis.stop();
    let second = app.create(&wav(1.0, 440.0)).await;
    assert_eq!(app.job(&second).await["state"], "queued");
    let (status, ready) = app.get("/readyz").await;
    assert_eq!(
        (status, &ready["status"], &ready["checks"]["queue"]["ok"]),
        (200, &json!("degraded"), &json!(false))
    );
    ground.redis.start_again();
    assert_eq!(worker.claim().await.id.as_str(), second);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_redis_did_not_hear_of_is_replayed() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let path = app.url(&format!("/api/v1/transcriptions/{id}/cancel"));
    assert!(
        app.http
            .post(path)
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    app.reach(&id, "cancelled").await;
    // A retry that died between the row and REPLAY.
    app.state
        .db
        .raise_life(&id, 1, now_ms())
        .await
        .unwrap()
        .unwrap();
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    assert!(worker.try_claim().await.is_none());
    reconciler::heal_older_than(&app.state, 0).await.unwrap();
    let claim = worker.work(|_| 60).await;
    assert_eq!((claim.id.as_str(), claim.life), (id.as_str(), 2));
    app.reach(&id, "succeeded").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_store_every_result_once() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let ground = Ground::new(kind);
        let (a, b) = (
            ground.serve(&[]).await,
            ground.serve(&["--outbox-poll-ms", "50"]).await,
        );
        let mut ids = Vec::new();
        for n in 0..12 {
            let app = if n % 2 == 0 { &a } else { &b };
            ids.push(app.create(&wav(1.0, 440.0)).await);
        }
        let (w1, w2) = (
            FakeWorker::new(&a, &ground.redis.url(), "w1").await,
            FakeWorker::new(&b, &ground.redis.url(), "w2").await,
        );
        for _ in 0..ids.len() / 2 {
            tokio::join!(w1.work(|_| 60), w2.work(|_| 61));
        }
        for id in &ids {
            let job = a.reach(id, "succeeded").await;
            assert_eq!(b.reach(id, "succeeded").await, job);
        }
        wait_for("an empty outbox", async || {
            w1.queue.results(10).await.unwrap().is_empty().then_some(())
        })
        .await;
        assert_eq!(a.objects().await, ids.len() * 3);
        a.stop().await;
        b.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_goes() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let ground = Ground::new(kind);
        let app = ground.serve(&[]).await;
        let id = app.create(&wav(1.0, 440.0)).await;
        let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
        worker.work(|_| 60).await;
        app.reach(&id, "succeeded").await;
        let form = reqwest::multipart::Form::new()
            .part("audio", crate::common::file(&wav(1.0, 440.0), "a.wav"));
        let response = app
            .http
            .post(app.url("/transcribe/upload/"))
            .multipart(form)
            .send()
            .await
            .unwrap();
        let never_started = response.json::<Value>().await.unwrap()["audio_midi_id"].clone();
        let queued = app.create(&wav(1.0, 440.0)).await;
        assert_eq!(app.objects().await, 5);

        // A file that no row names goes, the result that one names stays.
        let stray = ObjectKey::Midi {
            id: &id,
            fingerprint: "0123456789abcdef",
        };
        app.state
            .objects
            .put(stray, bytes::Bytes::from_static(b"x"))
            .await
            .unwrap();
        sweeper::orphans_older_than(&app.state, HOUR_MS)
            .await
            .unwrap();
        assert_eq!(app.objects().await, 6, "too young");
        wait_for("the stray file to be old enough", async || {
            sweeper::orphans_older_than(&app.state, 0).await.unwrap();
            (app.objects().await == 5).then_some(())
        })
        .await;

        // So does a recording whose row was never written; those of the others stay.
        app.state
            .objects
            .put(
                ObjectKey::Audio("01890000-0000-7000-8000-000000000000"),
                bytes::Bytes::from_static(b"x"),
            )
            .await
            .unwrap();
        sweeper::recordings_older_than(&app.state, HOUR_MS)
            .await
            .unwrap();
        assert_eq!(app.objects().await, 6, "too young");
        wait_for("the stray recording to be old enough", async || {
            sweeper::recordings_older_than(&app.state, 0).await.unwrap();
            (app.objects().await == 5).then_some(())
        })
        .await;

        // After a day: the recording of what succeeded, and the upload that nobody started.
        let tomorrow = now_ms() + 25 * HOUR_MS;
        sweeper::sources(&app.state, tomorrow).await.unwrap();
        sweeper::expired(&app.state, tomorrow).await.unwrap();
        assert_eq!(app.objects().await, 3);
        assert_eq!(
            app.get(&format!("/transcribe/status/{never_started}/"))
                .await
                .0,
            404
        );
        assert_eq!(app.job(&id).await["source"]["stored"], false);
        let files = format!("/api/v1/transcriptions/{id}/files");
        assert_eq!(app.get(&format!("{files}/midi")).await.0, 200);
        assert_eq!(app.get(&format!("{files}/source")).await.0, 410);

        // After retention: all of it, but never what still waits.
        sweeper::expired(&app.state, now_ms() + 8 * 24 * HOUR_MS)
            .await
            .unwrap();
        let (status, problem) = app.get(&format!("/api/v1/transcriptions/{id}")).await;
        assert_eq!((status, &problem["code"]), (410, &json!("expired")));
        assert_eq!(app.job(&queued).await["state"], "queued");
        assert_eq!(app.objects().await, 1);
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_moved_on_is_not_removed() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let ground = Ground::new(kind);
        let app = ground.serve(&[]).await;
        let id = app.create(&wav(1.0, 440.0)).await;
        let db = &app.state.db;
        let read = async || db.get(&id).await.unwrap().unwrap();
        let waiting = read().await;
        assert!(
            db.end_unqueued(&waiting, State::Cancelled, None, now_ms(), Some(1))
                .await
                .unwrap()
        );
        let cancelled = read().await;
        assert!(
            !db.delete(&waiting, "deleted", now_ms()).await.unwrap(),
            "another state"
        );
        // The sweeper has read it as expired, and its owner starts it anew.
        db.raise_life(&id, 1, now_ms()).await.unwrap().unwrap();
        assert!(
            !db.delete(&cancelled, "expired", now_ms()).await.unwrap(),
            "another life"
        );
        let now = read().await;
        assert_eq!((now.state.as_str(), now.life), ("queued", 2));
        assert!(db.tombstone(&id).await.unwrap().is_none());
        assert!(db.delete(&now, "deleted", now_ms()).await.unwrap());
        assert!(db.tombstone(&id).await.unwrap().is_some());
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_row_does_not_keep_the_others_from_being_mended() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let mut bad = app.state.db.get(&id).await.unwrap().unwrap();
    bad.id = "0".to_owned();
    bad.seed_id += 1;
    bad.queue = "NO QUEUE".to_owned();
    app.state.db.insert(&bad, None).await.unwrap();
    ground.wipe_redis();
    reconciler::heal_older_than(&app.state, 0).await.unwrap();
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    assert_eq!(worker.claim().await.id.as_str(), id);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_without_redis_and_keeps_its_promises_later() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut ground = Ground::new(kind);
        ground.redis.stop();
        let app = ground.serve(&[]).await;
        let id = app.create(&wav(1.0, 440.0)).await;
        assert_eq!(app.job(&id).await["state"], "queued");
        assert_eq!(app.get("/readyz").await.1["status"], "degraded");
        ground.redis.start_again();
        let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
        assert_eq!(worker.work(|_| 60).await.id.as_str(), id);
        app.reach(&id, "succeeded").await;
        assert_eq!(app.get("/readyz").await.1["status"], "ready");
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_say_what_is() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    worker.work(|_| 60).await;
    app.reach(&id, "succeeded").await;
    assert_eq!(app.get("/no/such/path").await.0, 404);
    let text = reqwest::multipart::Part::bytes(b"no music".to_vec()).file_name("a.mp3");
    let form = reqwest::multipart::Form::new().part("audio", text);
    let refused = app
        .http
        .post(app.url("/api/v1/transcriptions"))
        .multipart(form)
        .send()
        .await;
    assert_eq!(refused.unwrap().status(), 415);
    for path in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(app.get(path).await.0, 200, "{path}");
        assert_eq!(
            app.http
                .get(format!("{}{path}", app.admin))
                .send()
                .await
                .unwrap()
                .status(),
            200,
            "admin {path}"
        );
    }
    assert_eq!(app.get("/metrics").await.0, 404, "not on the public port");
    let metrics = app
        .http
        .get(format!("{}/metrics", app.admin))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for part in [
        "wtt_build_info{",
        "wtt_jobs_finished_total{state=\"succeeded\"",
        "wtt_jobs_submitted_total{source=\"upload\",model=\"basic-pitch\"}",
        "wtt_uploads_rejected_total{code=\"audio_undecodable\"}",
        "wtt_http_requests_total{method=\"GET\",route=\"/api/v1/transcriptions/{id}\",status=\"200\"}",
        "wtt_queue_up 1",
        "wtt_queue_jobs{queue=\"default\",state=\"normal\"}",
        "wtt_jobs{state=\"succeeded\"}",
        "wtt_results_total{outcome=\"stored\"}",
        "wtt_queue_transitions_total{",
        "wtt_job_wait_seconds_bucket{le=\"3600\"}",
    ] {
        assert!(metrics.contains(part), "{part} is missing in\n{metrics}");
    }
    assert!(
        !metrics.contains(&id) && !metrics.contains("no/such"),
        "ids and paths of clients are no labels"
    );
    app.stop().await;
}

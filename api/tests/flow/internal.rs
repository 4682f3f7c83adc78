//! What workers may do over HTTP: only the holder of the live claim, once, and repeating it is harmless.

use crate::common::worker::result_form;
use crate::common::{FakeWorker, Ground, Kind, wav};
use futures::StreamExt;
use queue::{ReapOptions, TaskStatus, WorkerId};
use reqwest::multipart::{Form, Part};

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_opens_only_to_its_live_claim() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let recording = wav(1.0, 440.0);
    let id = app.create(&recording).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    assert_eq!(claim.id.as_str(), id);

    let code = async |id: &str, token: Option<&str>| {
        let response = worker.fetch(id, token).await;
        let status = response.status().as_u16();
        (
            status,
            response.json::<serde_json::Value>().await.unwrap()["code"]
                .as_str()
                .unwrap()
                .to_owned(),
        )
    };
    assert_eq!(code(&id, None).await, (401, "token_missing".to_owned()));
    assert_eq!(
        code(&id, Some("wrong")).await,
        (409, "stale_attempt".to_owned())
    );
    assert_eq!(
        code("nobody", Some("wrong")).await,
        (404, "task_unknown".to_owned())
    );
    assert_eq!(
        code("no%20id", Some("wrong")).await,
        (404, "task_unknown".to_owned())
    );
    let response = worker.fetch(&id, Some(claim.token.as_str())).await;
    assert_eq!(
        response.headers()["content-length"],
        recording.len().to_string()
    );
    assert!(
        response.headers()["content-type"]
            .to_str()
            .unwrap()
            .contains("wav")
    );
    assert!(response.bytes().await.unwrap() == recording);

    assert_eq!(worker.hand_in(&claim, 60).await.0, 200);
    assert_eq!(
        code(&id, Some(claim.token.as_str())).await,
        (409, "stale_attempt".to_owned())
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_attempt_changes_nothing_and_leaves_nothing() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let ground = Ground::new(kind);
        let app = ground.serve(&["--reap", "false"]).await;
        let id = app.create(&wav(1.0, 440.0)).await;
        let first = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
        let second = FakeWorker::new(&app, &ground.redis.url(), "w2").await;
        let lost = first.claim().await;
        let dead = WorkerId::parse("w1").unwrap();
        first
            .queue
            .expire_worker(&dead, None, &ReapOptions::default())
            .await
            .unwrap();
        let live = second.claim().await;
        assert_eq!((live.id.as_str(), live.attempt), (id.as_str(), 2));

        let (status, body) = first.hand_in(&lost, 50).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (409, Some("stale_attempt"))
        );
        assert_eq!(app.objects().await, 1, "only the recording");
        assert_eq!(second.hand_in(&live, 60).await.1["outcome"], "stored");
        assert_eq!(first.hand_in(&lost, 50).await.0, 409);

        let job = app.reach(&id, "succeeded").await;
        assert_eq!((&job["notes"], &job["attempt"]), (&1.into(), &2.into()));
        assert_eq!(app.objects().await, 3, "exactly one result");
        let response = app
            .http
            .get(app.url(&format!("/api/v1/transcriptions/{id}/files/midi")))
            .send()
            .await
            .unwrap();
        assert!(response.bytes().await.unwrap() == crate::common::worker::midi(60));
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_in_whose_answer_was_lost_can_be_repeated() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    assert_eq!(worker.hand_in(&claim, 60).await.1["outcome"], "stored");
    // Other notes under the same token: the first ones count.
    assert_eq!(worker.hand_in(&claim, 61).await.1["outcome"], "already");
    let (a, b) = tokio::join!(worker.hand_in(&claim, 61), worker.hand_in(&claim, 61));
    assert_eq!((a.0, b.0), (200, 200));
    app.reach(&id, "succeeded").await;
    let response = app
        .http
        .get(app.url(&format!("/api/v1/transcriptions/{id}/files/midi")))
        .send()
        .await
        .unwrap();
    assert!(response.bytes().await.unwrap() == crate::common::worker::midi(60));
    assert_eq!(app.objects().await, 3);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_result_is_refused_and_not_stored() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&["--max-result-bytes", "20000"]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    let report = || Part::text("{}");
    let notes = || Part::text(crate::common::worker::transcript(60).to_json().unwrap());
    let midi = || Part::bytes(crate::common::worker::midi(60));
    let bad = [
        Form::new()
            .part("midi", Part::text("MThd?"))
            .part("notes", notes())
            .part("report", report()),
        Form::new()
            .part("midi", midi())
            .part("notes", Part::text("[]"))
            .part("report", report()),
        Form::new()
            .part("midi", midi())
            .part("notes", notes())
            .part("report", Part::text("?")),
        Form::new().part("midi", midi()).part("notes", notes()),
        Form::new().part("midi", midi()).part("report", report()),
        Form::new()
            .part("midi", Part::bytes(vec![0; 20_001]))
            .part("notes", notes())
            .part("report", report()),
    ];
    for form in bad {
        let (status, body) = worker.put(&claim, form).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (422, Some("result_invalid")),
            "{body}"
        );
        assert_eq!(app.objects().await, 1);
    }
    let (status, _) = worker
        .put(
            &claim,
            Form::new().part("midi", Part::bytes(vec![0; 500_000])),
        )
        .await;
    assert!((400..500).contains(&status), "{status}");
    // The claim is still good.
    let (status, body) = worker.put(&claim, result_form(60)).await;
    assert_eq!(status, 200, "{body}");
    app.reach(&id, "succeeded").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_away_a_worker_is_asked_to_repeat() {
    let mut ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    ground.redis.stop();
    let response = worker.fetch(&id, Some(claim.token.as_str())).await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(worker.hand_in(&claim, 60).await.0, 503);
    ground.redis.start_again();
    crate::common::wait_for("the repeated hand-in", async || {
        let (status, _) = worker.hand_in(&claim, 60).await;
        assert!(status == 200 || status == 503, "{status}");
        (status == 200).then_some(())
    })
    .await;
    app.reach(&id, "succeeded").await;
    app.stop().await;
}

/// Redis goes back to before a result that the database already has, while the same worker hands that result in once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_hand_in_that_comes_too_late_leaves_the_result_that_the_row_names() {
    /// More than waits unread in a socket, so that the service is certainly reading: the token was verified.
    const CHUNKS: usize = 128;
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;

    let (reading, read) = tokio::sync::oneshot::channel();
    let (go_on, gate) = tokio::sync::oneshot::channel::<()>();
    let filler = futures::stream::iter(0..CHUNKS).map(|_| vec![b'x'; 64 * 1024]);
    let rest = futures::stream::once(async move {
        reading.send(()).unwrap();
        gate.await.unwrap();
        Vec::new()
    });
    let filler = filler.chain(rest).map(Ok::<_, std::io::Error>);
    let filler = Part::stream(reqwest::Body::wrap_stream(filler));
    let slow = Form::new().part("filler", filler);
    let slow = worker.put(&claim, crate::common::worker::add_result(slow, 60));
    let quick = async {
        read.await.unwrap();
        assert_eq!(worker.hand_in(&claim, 60).await.1["outcome"], "stored");
        app.reach(&id, "succeeded").await;
        ground.wipe_redis();
        go_on.send(()).unwrap();
    };
    let ((status, body), ()) = tokio::join!(slow, quick);
    assert_eq!((status, body["code"].as_str()), (404, Some("task_unknown")));
    let response = app
        .http
        .get(app.url(&format!("/api/v1/transcriptions/{id}/files/midi")))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.unwrap() == crate::common::worker::midi(60));
    app.stop().await;
}

/// The first system lost a task with its worker. Here the parent of a killed worker says so, and the task waits again at once.
#[tokio::test(flavor = "multi_thread")]
async fn the_task_of_a_killed_worker_waits_again_at_once_and_ends_exactly_once() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let ground = Ground::new(kind);
        // No reaper: only the word of the parent can bring it back before its lease ends.
        let app = ground.serve(&["--reap", "false"]).await;
        let id = app.create(&wav(1.0, 440.0)).await;
        let killed = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
        let other = FakeWorker::new(&app, &ground.redis.url(), "w2").await;
        let lost = killed.claim().await;
        killed.progress(&lost, 1, 4).await;
        app.reach(&id, "running").await;
        assert!(other.try_claim().await.is_none());

        let parent = &app.state.queue;
        let options = app.state.config.reap_options();
        let name = WorkerId::parse("w1").unwrap();
        for expired in [1, 0] {
            let report = parent.expire_worker(&name, None, &options).await.unwrap();
            assert_eq!(report.expired, expired, "once");
        }
        assert_eq!(app.job(&id).await["state"], "queued");
        let task = parent
            .snapshots(std::slice::from_ref(&lost.id))
            .await
            .unwrap();
        assert_eq!(task[0].as_ref().unwrap().status, TaskStatus::Pending);

        let claim = other.try_claim().await.expect("it waits at once");
        assert_eq!((claim.id.as_str(), claim.attempt), (id.as_str(), 2));
        assert!(other.try_claim().await.is_none(), "and only once");
        assert_eq!(other.hand_in(&claim, 60).await.1["outcome"], "stored");
        // What the killed one had sent before it died comes too late.
        assert_eq!(killed.hand_in(&lost, 50).await.0, 409);
        let job = app.reach(&id, "succeeded").await;
        assert_eq!((&job["notes"], &job["attempt"]), (&1.into(), &2.into()));
        parent.expire_worker(&name, None, &options).await.unwrap();
        assert!(other.try_claim().await.is_none());
        let stats = parent.stats().await.unwrap();
        let ends = |name: &str| stats.get(name).copied().unwrap_or(0);
        assert_eq!((ends("completed"), ends("lease_lost")), (1, 1), "{stats:?}");
        assert_eq!(app.objects().await, 3, "exactly one result");
        app.stop().await;
    }
}

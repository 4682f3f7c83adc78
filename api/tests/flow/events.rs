//! Event streams: what a client sees from the first byte to the end, and after it lost its connection.

use crate::common::{FakeWorker, Ground, Kind, PATIENCE, TestApp, wait_for, wav};
use api::loops::reconciler;
use serde_json::Value;

#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(app: &TestApp, id: &str, last: Option<&str>) -> Self {
        let response = request(app, id, last).await;
        assert_eq!(response.status(), 200);
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next event; None at the end of the stream. Comments are skipped.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    block.lines().find_map(|line| {
                        line.strip_prefix(name)?
                            .strip_prefix(": ")
                            .map(str::to_owned)
                    })
                };
                if let Some(data) = field("data") {
                    return Some(Event {
                        name: field("event").unwrap(),
                        id: field("id").unwrap(),
                        data: serde_json::from_str(&data).unwrap(),
                    });
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk())
                .await
                .expect("an event in time");
            self.text
                .push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    async fn until(&mut self, name: &str) -> Event {
        loop {
            let event = self
                .next()
                .await
                .unwrap_or_else(|| panic!("the stream ended before `{name}`"));
            if event.name == name {
                return event;
            }
        }
    }
}

async fn request(app: &TestApp, id: &str, last: Option<&str>) -> reqwest::Response {
    let mut request = app
        .http
        .get(app.url(&format!("/api/v1/transcriptions/{id}/events")));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sees_snapshot_changes_and_the_end() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let mut stream = Stream::open(&app, &id, None).await;
    let headers = stream.response.headers();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-cache, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    let first = stream.next().await.unwrap();
    assert_eq!(
        (first.name.as_str(), &first.data["state"]),
        ("snapshot", &"queued".into())
    );
    assert_eq!(first.data["id"], id);
    assert!(first.id.starts_with("1."), "{}", first.id);

    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    let running = stream.until("state").await;
    assert_eq!(
        (&running.data["state"], &running.data["attempt"]),
        (&"running".into(), &1.into())
    );
    worker.progress(&claim, 1, 4).await;
    let progress = stream.until("progress").await;
    assert_eq!(progress.data["progress"]["fraction"], 0.25);
    assert_eq!(progress.data["state"], "running");
    assert_eq!(worker.hand_in(&claim, 60).await.0, 200);
    let end = stream.until("succeeded").await;
    assert_eq!(
        (&end.data["state"], &end.data["notes"]),
        (&"succeeded".into(), &1.into())
    );
    assert!(
        stream.next().await.is_none(),
        "the stream closes after the end"
    );
    // What the event says is what GET says, files included.
    assert_eq!(app.job(&id).await, end.data);

    // Reconnect after the end: nothing. A new client: snapshot and end.
    assert_eq!(request(&app, &id, Some(&end.id)).await.status(), 204);
    for seen in [None, Some("1.1"), Some("7.3"), Some("nonsense")] {
        let mut late = Stream::open(&app, &id, seen).await;
        assert_eq!(late.next().await.unwrap().name, "snapshot");
        let again = late.next().await.unwrap();
        assert_eq!((again.name.as_str(), &again.id), ("succeeded", &end.id));
        assert!(late.next().await.is_none());
    }
    let response = request(&app, "01890000-0000-7000-8000-000000000000", None).await;
    assert_eq!(response.status(), 404);
    wait_for("all slots to be given back", async || {
        app.state.streams.lock().unwrap().is_empty().then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_goes_on_where_nothing_was_missed_and_starts_anew_where_something_was() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    worker.progress(&claim, 1, 4).await;
    let mut stream = Stream::open(&app, &id, None).await;
    let seen = stream.next().await.unwrap().id;
    drop(stream);

    // Nothing missed: the next event is the next progress.
    let mut stream = Stream::open(&app, &id, Some(&seen)).await;
    worker.progress(&claim, 2, 4).await;
    let next = stream.next().await.unwrap();
    assert_eq!(
        (next.name.as_str(), &next.data["progress"]["current"]),
        ("progress", &2.into())
    );
    drop(stream);

    // Missed one, or of a life that never was: a snapshot with the newest.
    for last in [seen.as_str(), "9.1", "x"] {
        let mut stream = Stream::open(&app, &id, Some(last)).await;
        let first = stream.next().await.unwrap();
        assert_eq!(
            (first.name.as_str(), &first.data["progress"]["current"]),
            ("snapshot", &2.into()),
            "{last}"
        );
        assert_eq!(first.id, next.id);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_and_delete_end_the_stream() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let mut stream = Stream::open(&app, &id, None).await;
    let path = app.url(&format!("/api/v1/transcriptions/{id}"));
    assert!(
        app.http
            .post(format!("{path}/cancel"))
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    stream.until("cancelled").await;
    assert!(stream.next().await.is_none());

    let id = app.create(&wav(1.0, 440.0)).await;
    let mut stream = Stream::open(&app, &id, None).await;
    let path = app.url(&format!("/api/v1/transcriptions/{id}"));
    assert_eq!(app.http.delete(path).send().await.unwrap().status(), 204);
    // DELETE cancels first; whether the stream still sees that end, or only that the row is gone, is a race.
    let mut names = Vec::new();
    while let Some(event) = stream.next().await {
        names.push(event.name);
    }
    let end = names.last().map(String::as_str);
    assert!(matches!(end, Some("cancelled" | "deleted")), "{names:?}");
    assert_eq!(request(&app, &id, None).await.status(), 410);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_counted_and_shutdown_ends_them() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&["--max-streams", "2"]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let mut first = Stream::open(&app, &id, None).await;
    let second = Stream::open(&app, &id, None).await;
    let refused = request(&app, &id, None).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    drop(second);
    wait_for("a free slot", async || {
        (request(&app, &id, None).await.status() == 200).then_some(())
    })
    .await;
    assert_eq!(first.next().await.unwrap().name, "snapshot");
    let asked = std::time::Instant::now();
    app.stop().await;
    assert!(
        asked.elapsed().as_secs() < 10,
        "an open stream must not hold the shutdown up"
    );
    assert!(first.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_a_restart_of_redis() {
    let mut ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let mut stream = Stream::open(&app, &id, None).await;
    assert_eq!(stream.next().await.unwrap().name, "snapshot");
    ground.redis.stop();
    ground.redis.start_again();
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    wait_for("the hand-in", async || {
        (worker.hand_in(&claim, 60).await.0 == 200).then_some(())
    })
    .await;
    stream.until("succeeded").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_shown_again_after_redis_was_wiped() {
    let ground = Ground::new(Kind::Sqlite);
    let app = ground.serve(&[]).await;
    let id = app.create(&wav(1.0, 440.0)).await;
    let worker = FakeWorker::new(&app, &ground.redis.url(), "w1").await;
    let claim = worker.claim().await;
    for step in 1..=20 {
        worker.progress(&claim, step, 100).await;
    }
    let mut stream = Stream::open(&app, &id, None).await;
    assert_eq!(stream.next().await.unwrap().data["progress"]["current"], 20);
    let seq = |event: &Event| event.id.split_once('.').unwrap().1.parse::<u64>().unwrap();

    ground.wipe_redis();
    reconciler::heal_older_than(&app.state, 0).await.unwrap();
    let claim = worker.claim().await;
    worker.progress(&claim, 1, 100).await;
    // The queue counts from the start again, and so do the events.
    let event = loop {
        let event = stream.next().await.unwrap();
        if event.data["progress"]["current"] == 1 {
            break event;
        }
    };
    assert!(seq(&event) < 20, "{event:?}");
    worker.progress(&claim, 2, 100).await;
    let event = stream.until("progress").await;
    assert_eq!(event.data["progress"]["current"], 2);
    assert!(seq(&event) < 20, "{event:?}");
    app.stop().await;
}

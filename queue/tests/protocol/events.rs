//! The outbox and the events: what the API follows.

use std::time::Duration;

use queue::*;

use crate::outage::until;
use crate::support::*;

#[tokio::test]
async fn outbox_numbers_rise_and_go_only_when_acknowledged() {
    let b = bench().await;
    for name in ["a", "b", "c"] {
        b.enqueue(name).await;
        b.queue
            .cancel(
                &id(name),
                CancelKind::Cancelled,
                "it's \"quoted\" / ünïcode",
            )
            .await
            .unwrap();
    }
    let entries = b.queue.results(2).await.unwrap();
    assert_eq!(
        entries
            .iter()
            .map(|entry| entry.id.as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert!(entries[0].number < entries[1].number && entries[0].number >= START_MS * 1000);
    let error: TaskError = serde_json::from_str(&entries[0].body).unwrap();
    assert_eq!(
        (error.message.as_str(), entries[0].kind.as_str()),
        ("it's \"quoted\" / ünïcode", "cancelled")
    );
    assert_eq!(
        b.queue.results(10).await.unwrap().len(),
        3,
        "reading does not pop"
    );
    assert_eq!(b.queue.ack_results(entries[1].number, 1).await.unwrap(), 1);
    assert_eq!(b.queue.ack_results(entries[1].number, 10).await.unwrap(), 1);
    assert_eq!(b.queue.ack_results(entries[1].number, 10).await.unwrap(), 0);
    assert_eq!(b.queue.results(10).await.unwrap()[0].id, id("c"));

    // As a Redis that has lost its last second: the counter stands where it was before the others.
    let newest = b.numbers().await[0].0;
    let older = (entries[0].number - 1).to_string();
    b.cmd::<String>(&["SET", "task:seq", &older]).await;
    b.advance(1_000);
    b.enqueue("e").await;
    b.queue
        .cancel(&id("e"), CancelKind::Cancelled, "")
        .await
        .unwrap();
    assert!(
        b.numbers().await[1].0 > newest,
        "a number comes again after a lost second"
    );

    b.cmd::<String>(&["FLUSHALL"]).await;
    b.advance(1);
    b.enqueue("d").await;
    b.queue
        .cancel(&id("d"), CancelKind::Cancelled, "")
        .await
        .unwrap();
    assert!(
        b.numbers().await[0].0 > entries[1].number,
        "a wiped Redis never hands out old numbers again"
    );
}

#[tokio::test]
async fn an_alien_outbox_entry_does_not_block() {
    let b = bench().await;
    b.cmd::<i64>(&["LPUSH", "task:results", "{\"id\":1}"]).await;
    b.enqueue("a").await;
    b.queue
        .cancel(&id("a"), CancelKind::Cancelled, "")
        .await
        .unwrap();
    let entries = b.queue.results(10).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(b.queue.ack_results(entries[0].number, 10).await.unwrap(), 1);
    assert!(b.list("task:results").await.is_empty());
}

#[tokio::test]
async fn a_batch_full_of_unreadable_entries_does_not_stall_the_outbox() {
    let b = bench().await;
    for n in 0..25 {
        let numbered = format!("{n}\n{{\"broken\": {n}}}");
        b.cmd::<i64>(&["LPUSH", "task:results", &numbered]).await;
        b.cmd::<i64>(&["LPUSH", "task:results", "{\"id\":1}"]).await;
    }
    // One that claims to be the last of all must not take others with it.
    let boast = "9007199254740991\n?";
    b.cmd::<i64>(&["LPUSH", "task:results", boast]).await;
    b.enqueue("a").await;
    b.queue
        .cancel(&id("a"), CancelKind::Cancelled, "")
        .await
        .unwrap();
    let entries = b.queue.results(10).await.unwrap();
    assert_eq!((entries.len(), &entries[0].id), (1, &id("a")));
    assert_eq!(
        b.list("task:results").await.len(),
        1,
        "what can be read is not popped"
    );
    assert_eq!(b.queue.stats().await.unwrap()["unreadable_results"], 51);
    assert_eq!(b.queue.ack_results(entries[0].number, 10).await.unwrap(), 1);
    assert!(b.queue.results(10).await.unwrap().is_empty());
}

async fn next(events: &mut EventStream) -> Event {
    tokio::time::timeout(Duration::from_secs(20), events.next())
        .await
        .expect("an event")
}

#[tokio::test]
async fn events_tell_the_walk_of_a_task() {
    let b = bench().await;
    let mut all = b.queue.events(Interest::Everything);
    let mut one = b.queue.events(Interest::Task(id("a")));
    let mut new = b.queue.events(Interest::NewTasks);
    for stream in [&mut all, &mut one, &mut new] {
        assert_eq!(next(stream).await, Event::Connected);
    }
    b.enqueue("b").await;
    b.enqueue("a").await;
    b.queue
        .cancel(&id("b"), CancelKind::Cancelled, "")
        .await
        .unwrap();
    let claim = b.claim("w1").await;
    let progress = Progress {
        stage: "inference".into(),
        current: 1,
        total: 2,
    };
    b.queue
        .progress(&claim.id, &claim.token, &progress)
        .await
        .unwrap();
    b.queue
        .cancel(&claim.id, CancelKind::Cancelled, "")
        .await
        .unwrap();
    b.queue.complete(&completion(&claim)).await.unwrap();
    b.cmd::<i64>(&["PUBLISH", "task:new", "4503599627370497"])
        .await;
    b.cmd::<i64>(&["PUBLISH", "task:new", "{}"]).await;
    let a = id("a");
    let told = Event::Progress {
        id: a.clone(),
        seq: 2,
        progress: Some(progress),
        cancel: false,
    };
    let asked = Event::Progress {
        id: a.clone(),
        seq: 3,
        progress: None,
        cancel: true,
    };
    let done = Event::Completed {
        id: a.clone(),
        seq: 4,
    };
    for want in [
        Event::New { id: id("b") },
        Event::New { id: a.clone() },
        Event::Failed {
            id: id("b"),
            seq: 1,
            kind: "cancelled".into(),
        },
        Event::Claimed { id: a.clone() },
        told.clone(),
        asked.clone(),
        done.clone(),
        Event::New {
            id: id("4503599627370497"),
        },
        Event::Other,
    ] {
        assert_eq!(next(&mut all).await, want);
    }
    for want in [told, asked, done] {
        assert_eq!(next(&mut one).await, want);
    }
    assert_eq!(next(&mut new).await, Event::New { id: id("b") });
}

#[tokio::test]
async fn events_come_back_after_a_restart() {
    let b = bench().await;
    let mut events = b.queue.events(Interest::NewTasks);
    assert_eq!(next(&mut events).await, Event::Connected);
    b.server.lock().unwrap().kill();
    assert_eq!(next(&mut events).await, Event::Disconnected);
    b.server.lock().unwrap().start_again();
    assert_eq!(next(&mut events).await, Event::Connected);
    until("an enqueue", || async {
        b.queue.enqueue(&task("a")).await.ok()
    })
    .await;
    assert_eq!(next(&mut events).await, Event::New { id: id("a") });
}

#[tokio::test]
async fn a_prefix_keeps_two_queues_apart() {
    let b = bench().await;
    let config = QueueConfig {
        prefix: "{mt}:".into(),
        ..QueueConfig::new(b.url())
    };
    let other = Queue::connect(&config).await.unwrap();
    let mut events = other.events(Interest::Everything);
    assert_eq!(next(&mut events).await, Event::Connected);
    other.enqueue(&task("a")).await.unwrap();
    assert!(b.try_claim(&request("w1")).await.is_none());
    let ClaimAnswer::Claimed(claim) = other.claim(&request("w1")).await.unwrap() else {
        panic!("no claim")
    };
    other
        .progress(&claim.id, &claim.token, &Progress::default())
        .await
        .unwrap();
    assert_eq!(next(&mut events).await, Event::New { id: id("a") });
    assert_eq!(next(&mut events).await, Event::Claimed { id: id("a") });
    assert!(matches!(next(&mut events).await, Event::Progress { .. }));
    other.complete(&completion(&claim)).await.unwrap();
    assert_eq!(other.fsck().await.unwrap().tasks, 1);
    for key in b.cmd::<Vec<String>>(&["KEYS", "*"]).await {
        assert!(key.starts_with("{mt}:"), "{key}");
    }
}

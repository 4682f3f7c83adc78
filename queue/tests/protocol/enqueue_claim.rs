//! ENQUEUE and CLAIM: order, priorities, limits, nonce replay, what else a claim may meet.

use crate::support::*;

use queue::*;

#[tokio::test]
async fn enqueue_writes_hash_list_and_work() {
    let b = bench().await;
    b.enqueue("a").await;
    let t = b.snapshot("a").await;
    assert_eq!(
        (t.status, t.life, t.attempt, t.created_at_ms),
        (TaskStatus::Pending, 1, 0, START_MS)
    );
    assert_eq!(b.list("task:queue").await, ["a"]);
    assert_eq!(b.work("default/bp").await, 60_000);
    // A field at its default is not stored.
    assert_eq!(b.field("a", "lease_ms").await, None);
    assert_eq!(b.cmd::<i64>(&["TTL", "task:a"]).await, -1);
}

#[tokio::test]
async fn enqueue_again_changes_nothing() {
    let b = bench().await;
    b.enqueue("a").await;
    let before = b.dump().await;
    assert_eq!(
        b.queue.enqueue(&task("a")).await.unwrap(),
        Enqueued::Known { id: id("a") }
    );
    assert_eq!(b.dump().await, before);
}

#[tokio::test]
async fn idempotency_key_names_the_first_task() {
    let b = bench().await;
    let with_key = |name| NewTask {
        idempotency: Some(("k 1".into(), 60_000)),
        ..task(name)
    };
    assert_eq!(
        b.queue.enqueue(&with_key("a")).await.unwrap(),
        Enqueued::New
    );
    assert_eq!(
        b.queue.enqueue(&with_key("b")).await.unwrap(),
        Enqueued::Known { id: id("a") }
    );
    assert_eq!(b.list("task:queue").await, ["a"]);
    let ttl: i64 = b.cmd(&["PTTL", "idem:k 1"]).await;
    assert!(ttl > 0 && ttl <= 60_000);
}

#[tokio::test]
async fn a_full_queue_refuses_and_counts_all_priorities() {
    let b = bench().await;
    for (name, priority) in [("a", Priority::High), ("b", Priority::Low)] {
        b.queue
            .enqueue(&NewTask {
                priority,
                max_depth: 2,
                ..task(name)
            })
            .await
            .unwrap();
    }
    let before = b.dump().await;
    let answer = b
        .queue
        .enqueue(&NewTask {
            max_depth: 2,
            ..task("c")
        })
        .await
        .unwrap();
    assert_eq!(answer, Enqueued::Full { depth: 2 });
    assert_eq!(b.dump().await, before);
}

#[tokio::test]
async fn bad_names_never_reach_redis() {
    let b = bench().await;
    for bad in ["", "a b", "queue", "processing", "x:y", "{a}"] {
        assert!(TaskId::parse(bad).is_err(), "{bad}");
    }
    for bad in ["high", "low", "alone", "", "Q", "a:b"] {
        assert!(QueueName::parse(bad).is_err(), "{bad}");
    }
    assert!(WorkerId::parse("Pod").is_err());
    let error = b
        .queue
        .enqueue(&NewTask {
            model: "a/b".into(),
            ..task("a")
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }));
    let fat = TaskPayload {
        filename: "x".repeat(70_000),
        ..TaskPayload::default()
    };
    let error = b
        .queue
        .enqueue(&NewTask {
            payload: fat,
            ..task("a")
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
    let error = b
        .queue
        .claim(&ClaimRequest {
            nonce: "1".into(),
            ..request("w1")
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }));
}

#[tokio::test]
async fn claim_takes_the_oldest_and_leaves_nothing_undone() {
    let b = bench().await;
    for name in ["a", "b", "c"] {
        b.enqueue(name).await;
    }
    b.advance(500);
    let claim = b.claim("w1").await;
    assert_eq!(claim.id, id("a"));
    assert_eq!(
        (claim.attempt, claim.life, claim.retries, claim.crashes),
        (1, 1, 0, 0)
    );
    assert_eq!(
        (claim.model.as_str(), claim.audio_ms, claim.lease_ms),
        ("bp", 60_000, LEASE_MS)
    );
    assert_eq!(claim.hard_limit_ms, 20 * 60_000);
    assert_eq!(claim.payload.filename, "a.wav");
    assert!(!claim.alone && !claim.replayed);
    assert_eq!(b.list("task:queue").await, ["c", "b"]);
    assert_eq!(b.list("task:processing").await, ["a"]);
    assert_eq!(b.lease_end("a").await, Some(b.now() + LEASE_MS));
    assert_eq!(
        (b.work("default/bp").await, b.inflight("default").await),
        (120_000, 1)
    );
    let t = b.snapshot("a").await;
    assert_eq!(
        (t.status, t.worker.as_deref(), t.token),
        (TaskStatus::Processing, Some("w1"), Some(claim.token))
    );
    assert_eq!(b.claim("w2").await.id, id("b"));
    assert_eq!(b.claim("w3").await.id, id("c"));
    assert!(b.try_claim(&request("w4")).await.is_none());
    assert_eq!(b.hash("task:work").await.len(), 0);
}

#[tokio::test]
async fn the_running_limit_is_ten_minutes_or_twenty_times_the_audio() {
    let b = bench().await;
    for (name, audio_ms, limit) in [
        ("a", 1_000, 600_000),
        ("b", 30_000, 600_000),
        ("c", 31_000, 620_000),
    ] {
        b.queue
            .enqueue(&NewTask {
                audio_ms,
                ..task(name)
            })
            .await
            .unwrap();
        assert_eq!(b.claim("w1").await.hard_limit_ms, limit);
    }
}

#[tokio::test]
async fn priorities_and_queues_come_in_order() {
    let b = bench().await;
    let other = QueueName::parse("gpu").unwrap();
    let put = |name: &'static str, queue: &QueueName, priority| NewTask {
        queue: queue.clone(),
        priority,
        ..task(name)
    };
    let default = QueueName::default();
    for new in [
        put("low", &default, Priority::Low),
        put("normal", &default, Priority::Normal),
        put("high", &default, Priority::High),
        put("other-low", &other, Priority::Low),
        put("other-high", &other, Priority::High),
    ] {
        // `low` and `high` are fine as ids, only `queue` and its brothers are not.
        b.queue.enqueue(&new).await.unwrap();
    }
    assert_eq!(b.list("task:queue:high").await, ["high"]);
    assert_eq!(b.list("task:queue:gpu:low").await, ["other-low"]);
    assert_eq!(
        (b.work("gpu/bp").await, b.work("default/bp").await),
        (120_000, 180_000)
    );
    let mut order = Vec::new();
    let both = ClaimRequest {
        queues: vec![other.clone(), default.clone()],
        held: 0,
        slots: 9,
        ..request("w1")
    };
    for _ in 0..5 {
        let claim = b
            .try_claim(&ClaimRequest {
                nonce: ClaimRequest::nonce(),
                ..both.clone()
            })
            .await
            .unwrap();
        order.push(claim.id.to_string());
    }
    assert_eq!(order, ["other-high", "other-low", "high", "normal", "low"]);
    assert_eq!(
        (b.inflight("gpu").await, b.inflight("default").await),
        (2, 3)
    );
}

#[tokio::test]
async fn a_worker_sees_only_its_queues() {
    let b = bench().await;
    b.enqueue("a").await;
    let elsewhere = ClaimRequest {
        queues: vec![QueueName::parse("gpu").unwrap()],
        ..request("w1")
    };
    assert!(b.try_claim(&elsewhere).await.is_none());
}

#[tokio::test]
async fn the_same_nonce_brings_the_same_claim() {
    let b = bench().await;
    b.enqueue("a").await;
    b.enqueue("b").await;
    let asked = request("w1");
    let first = b.try_claim(&asked).await.unwrap();
    let before = b.dump().await;
    let second = b.try_claim(&asked).await.unwrap();
    assert_eq!(
        (second.id, second.token, second.attempt),
        (first.id, first.token, first.attempt)
    );
    assert!(second.replayed && !first.replayed);
    assert_eq!(b.dump().await, before);
    assert_eq!(b.try_claim(&request("w1")).await.unwrap().id, id("b"));
}

#[tokio::test]
async fn a_nonce_whose_claim_is_over_brings_no_second_task() {
    let b = bench().await;
    b.enqueue("a").await;
    b.enqueue("b").await;
    let asked = request("w1");
    let first = b.try_claim(&asked).await.unwrap();
    b.queue.complete(&completion(&first)).await.unwrap();
    // A copy of the call that comes late: whoever sent it has long gone on.
    let late = b.queue.claim(&asked).await.unwrap();
    assert!(matches!(late, ClaimAnswer::Again), "{late:?}");
    assert_eq!(b.list("task:queue").await, ["b"]);
    assert_eq!(b.claim("w1").await.id, id("b"));
}

#[tokio::test]
async fn a_delayed_task_waits_for_its_time() {
    let b = bench().await;
    b.queue
        .enqueue(&NewTask {
            delay_ms: 5_000,
            ..task("a")
        })
        .await
        .unwrap();
    assert_eq!(b.snapshot("a").await.due_ms, Some(START_MS + 5_000));
    assert_eq!(b.work("default/bp").await, 0);
    let answer = b.queue.claim(&request("w1")).await.unwrap();
    assert!(
        matches!(
            answer,
            ClaimAnswer::Nothing {
                next_due_ms: Some(5_000)
            }
        ),
        "{answer:?}"
    );
    assert_eq!(b.reap().await.next_due_ms, Some(5_000));
    b.advance(4_999);
    assert!(b.try_claim(&request("w1")).await.is_none());
    b.advance(1);
    assert_eq!(b.claim("w1").await.id, id("a"));
    assert_eq!(b.cmd::<u64>(&["ZCARD", "task:delayed"]).await, 0);
}

#[tokio::test]
async fn the_reaper_promotes_to_the_back_of_the_line() {
    let b = bench().await;
    b.queue
        .enqueue(&NewTask {
            delay_ms: 100,
            ..task("late")
        })
        .await
        .unwrap();
    b.enqueue("early").await;
    b.advance(100);
    let report = b.reap().await;
    assert_eq!((report.promoted, report.next_due_ms), (1, None));
    assert_eq!(b.list("task:queue").await, ["late", "early"]);
    assert_eq!(b.work("default/bp").await, 120_000);
    assert_eq!(b.snapshot("late").await.due_ms, None);
}

#[tokio::test]
async fn a_paused_queue_gives_nothing_but_replays() {
    let b = bench().await;
    b.enqueue("a").await;
    b.enqueue("b").await;
    let asked = request("w1");
    b.try_claim(&asked).await.unwrap();
    b.queue.pause(true).await.unwrap();
    assert!(matches!(
        b.queue.claim(&request("w2")).await.unwrap(),
        ClaimAnswer::Paused
    ));
    assert!(matches!(
        b.queue.claim(&asked).await.unwrap(),
        ClaimAnswer::Claimed(_)
    ));
    assert!(b.queue.observe(&QueueName::default()).await.unwrap().paused);
    b.queue.pause(false).await.unwrap();
    assert_eq!(b.claim("w2").await.id, id("b"));
}

#[tokio::test]
async fn dead_entries_are_dropped_and_never_block() {
    let b = bench().await;
    b.enqueue("real").await;
    for _ in 0..70 {
        b.cmd::<i64>(&["RPUSH", "task:queue", "ghost"]).await;
    }
    b.cmd::<i64>(&["RPUSH", "task:queue", "real"]).await; // a second copy
    assert_eq!(b.claim("w1").await.id, id("real"));
    assert!(matches!(
        b.queue.claim(&request("w2")).await.unwrap(),
        ClaimAnswer::Again
    ));
    assert!(b.try_claim(&request("w2")).await.is_none());
    assert_eq!(b.list("task:processing").await, ["real"]);
    assert_eq!(b.list("task:queue").await, Vec::<String>::new());
    let stats = b.queue.stats().await.unwrap();
    assert_eq!(
        (
            stats["ghost_dropped"],
            stats["dup_dropped"],
            stats["claimed"]
        ),
        (70, 1, 1)
    );
}

#[tokio::test]
async fn entries_that_are_no_ids_or_no_hashes_are_dropped() {
    let b = bench().await;
    b.cmd::<i64>(&["RPUSH", "task:queue", "queue", "a b\"", "results"])
        .await;
    b.cmd::<i64>(&["LPUSH", "task:results", "x"]).await;
    assert!(b.try_claim(&request("w1")).await.is_none());
    assert_eq!(b.list("task:processing").await, Vec::<String>::new());
}

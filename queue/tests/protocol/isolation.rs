//! Crashes: who is suspected, who runs alone, who is poison, and that those who run alone are not forgotten.

use queue::*;

use crate::support::*;

fn with(held: u32, slots: u32, worker_name: &str) -> ClaimRequest {
    ClaimRequest {
        held,
        slots,
        ..request(worker_name)
    }
}

#[tokio::test]
async fn a_lost_lease_goes_to_the_list_of_those_that_run_alone() {
    let b = bench().await;
    b.enqueue("a").await;
    b.enqueue("b").await;
    b.claim("w1").await;
    assert_eq!(b.advance_reaping(14_999).await.expired, 0);
    b.advance(1);
    let report = b.reap().await;
    assert_eq!((report.expired, report.poisoned), (1, 0));
    assert_eq!(b.list("task:queue:alone").await, ["a"]);
    let t = b.snapshot("a").await;
    assert_eq!(
        (t.status, t.crashes, t.token, t.retries),
        (TaskStatus::Pending, 1, None, 0)
    );
    assert_eq!(
        (b.work("default/bp").await, b.inflight("default").await),
        (120_000, 0)
    );
    let observed = b.queue.observe(&QueueName::default()).await.unwrap();
    assert_eq!(
        (
            observed.depth.alone,
            observed.depth.normal,
            observed.depth.total()
        ),
        (1, 1, 2)
    );
    let claim = b.claim("w2").await;
    assert_eq!((claim.id, claim.alone, claim.crashes), (id("a"), true, 1));
}

#[tokio::test]
async fn three_solo_crashes_poison() {
    let b = bench().await;
    b.enqueue("a").await;
    for crash in 1..=3 {
        let claim = b.claim(&format!("w{crash}")).await;
        assert_eq!(claim.crashes, crash - 1);
        let report = b.advance_reaping(16_000).await;
        assert_eq!(
            (report.expired, report.poisoned),
            (1, u64::from(crash == 3))
        );
    }
    let t = b.snapshot("a").await;
    assert_eq!(
        (t.status, t.error_kind.as_deref()),
        (TaskStatus::Failed, Some("poison"))
    );
    assert!(t.error.unwrap().message.contains("w3"));
    assert_eq!(b.list("task:failed").await, ["a"]);
    assert_eq!(b.queue.replay(&id("a"), 2).await.unwrap(), Replayed::Queued);
    assert_eq!(
        b.list("task:queue").await,
        ["a"],
        "a replay forgets the crashes"
    );
    assert!(!b.claim("w4").await.alone);
}

#[tokio::test]
async fn neighbours_of_a_poison_task_are_innocent() {
    let b = bench().await;
    for name in ["bad", "good1", "good2"] {
        b.enqueue(name).await;
    }
    for held in 0..3 {
        b.try_claim(&with(held, 3, "w1")).await.unwrap();
    }
    b.reap().await;
    let report = b
        .queue
        .expire_worker(&worker("w1"), None, &ReapOptions::default())
        .await
        .unwrap();
    assert_eq!((report.expired, report.poisoned), (3, 0));
    assert_eq!(b.field("bad", "solo_crashes").await.as_deref(), Some("0"));
    assert_eq!(b.list("task:queue:alone").await.len(), 3);
    let mut runs_of_bad = 0;
    for boot in 0..6 {
        let Some(claim) = b.try_claim(&with(0, 3, &format!("w2-{boot}"))).await else {
            break;
        };
        assert!(claim.alone);
        assert!(
            b.try_claim(&with(1, 3, &format!("w2-{boot}")))
                .await
                .is_none(),
            "nothing beside it"
        );
        if claim.id == id("bad") {
            runs_of_bad += 1;
            let reap = ReapOptions::default();
            b.queue
                .expire_worker(&worker(&format!("w2-{boot}")), None, &reap)
                .await
                .unwrap();
        } else {
            assert_eq!(
                b.queue.complete(&completion(&claim)).await.unwrap(),
                Completed::Done
            );
        }
    }
    assert_eq!(runs_of_bad, 3);
    assert_eq!(
        b.snapshot("bad").await.error_kind.as_deref(),
        Some("poison")
    );
    for name in ["good1", "good2"] {
        assert_eq!(b.snapshot(name).await.status, TaskStatus::Completed);
    }
}

/// A worker that is never empty-handed by itself, beside a task that wants one empty-handed.

#[tokio::test]
async fn the_list_of_those_that_run_alone_cannot_starve() {
    let b = bench().await;
    b.enqueue("bad").await;
    b.claim("dead").await;
    b.reap().await;
    b.queue
        .expire_worker(&worker("dead"), None, &ReapOptions::default())
        .await
        .unwrap();
    for n in 0..6 {
        b.enqueue(&format!("n{n}")).await;
    }
    // Both are busy when they ask: the first takes the ticket, the other goes on.
    assert!(b.try_claim(&with(1, 2, "w1")).await.is_none());
    assert_eq!(b.cmd::<String>(&["GET", "task:alone:next"]).await, "w1");
    let ttl: i64 = b.cmd(&["PTTL", "task:alone:next"]).await;
    assert!(ttl > 14_000 && ttl <= 15_000);
    assert_eq!(b.try_claim(&with(1, 2, "w2")).await.unwrap().id, id("n0"));
    assert!(
        b.try_claim(&with(1, 2, "w1")).await.is_none(),
        "until it is empty-handed"
    );
    let claim = b.try_claim(&with(0, 2, "w1")).await.unwrap();
    assert_eq!((claim.id.clone(), claim.alone), (id("bad"), true));
    assert_eq!(b.cmd::<u64>(&["EXISTS", "task:alone:next"]).await, 0);
    assert!(b.try_claim(&with(1, 2, "w1")).await.is_none());
    assert!(
        b.try_claim(&with(0, 2, "w1")).await.is_none(),
        "even if it miscounts"
    );
    assert_eq!(b.try_claim(&with(1, 2, "w2")).await.unwrap().id, id("n1"));
    b.queue.complete(&completion(&claim)).await.unwrap();
    assert_eq!(b.try_claim(&with(0, 2, "w1")).await.unwrap().id, id("n2"));
}

#[tokio::test]
async fn the_ticket_holds_across_queues() {
    let b = bench().await;
    let gpu = QueueName::parse("gpu").unwrap();
    b.queue
        .enqueue(&NewTask {
            queue: gpu.clone(),
            ..task("bad")
        })
        .await
        .unwrap();
    let on = |held, worker_name: &str| ClaimRequest {
        queues: vec![QueueName::default(), gpu.clone()],
        ..with(held, 2, worker_name)
    };
    b.try_claim(&on(0, "dead")).await.unwrap();
    b.queue
        .expire_worker(&worker("dead"), None, &ReapOptions::default())
        .await
        .unwrap();
    assert_eq!(b.list("task:queue:gpu:alone").await, ["bad"]);
    b.enqueue("n0").await;
    assert!(b.try_claim(&on(1, "w1")).await.is_none());
    assert_eq!(b.cmd::<String>(&["GET", "task:alone:next:gpu"]).await, "w1");
    assert_eq!(b.try_claim(&on(0, "w1")).await.unwrap().id, id("bad"));
}

#[tokio::test]
async fn a_crash_pause_is_capped() {
    let b = bench().await;
    b.enqueue("a").await;
    let options = ReapOptions {
        crash_backoff_ms: 20_000,
        max_crashes: 9,
        ..ReapOptions::default()
    };
    for (crash, pause) in [20_000, 30_000, 30_000].into_iter().enumerate() {
        b.claim(&format!("w{crash}")).await;
        b.queue
            .expire_worker(&worker(&format!("w{crash}")), None, &options)
            .await
            .unwrap();
        assert_eq!(b.snapshot("a").await.due_ms, Some(b.now() + pause));
        b.advance(pause);
        assert_eq!(b.queue.reap(&options).await.unwrap().promoted, 1);
        assert_eq!(b.list("task:queue:alone").await, ["a"]);
    }
}

//! REAP: running limit, amnesty, strays, ghosts, its bounds.

use queue::*;

use crate::support::*;

#[tokio::test]
async fn the_running_limit_ends_in_timeout() {
    let b = bench().await;
    b.queue
        .enqueue(&NewTask {
            max_retries: 1,
            lease_ms: 700_000,
            audio_ms: 1_000,
            ..task("a")
        })
        .await
        .unwrap();
    for run in 1..=2 {
        b.claim(&format!("w{run}")).await;
        let report = b.advance_reaping(702_000).await;
        assert_eq!((report.expired, report.poisoned), (1, 0));
        let t = b.snapshot("a").await;
        assert_eq!((t.retries, t.crashes), (run, run));
    }
    let t = b.snapshot("a").await;
    assert_eq!(
        (t.status, t.error_kind.as_deref()),
        (TaskStatus::Failed, Some("timeout"))
    );
    assert_eq!(b.field("a", "solo_crashes").await.as_deref(), Some("0"));
}

#[tokio::test]
async fn after_a_gap_everybody_gets_one_more_lease() {
    let b = bench().await;
    for name in ["a", "b"] {
        b.enqueue(name).await;
    }
    b.reap().await;
    let claim = b.claim("w1").await;
    b.claim("w2").await;
    b.advance(60_000); // nobody reaped, nobody could renew
    let report = b.reap().await;
    assert_eq!((report.amnesty, report.expired), (true, 0));
    assert_eq!(b.lease_end("a").await, Some(b.now() + LEASE_MS));
    b.advance(2_000);
    let renewed = b
        .queue
        .heartbeat(&beat("w1", &[(&claim.id, &claim.token)]))
        .await
        .unwrap();
    assert_eq!(renewed.leases, [LeaseState::Kept]);
    let report = b.advance_reaping(14_000).await; // once: w2 is really gone
    assert_eq!(report.expired, 1);
    assert_eq!(b.list("task:queue:alone").await, ["b"]);
}

#[tokio::test]
async fn the_amnesty_does_not_spare_the_dead() {
    let b = bench().await;
    for name in ["a", "b"] {
        b.enqueue(name).await;
    }
    b.reap().await;
    b.claim("w1").await;
    b.claim("w2").await;
    b.advance(60_000);
    let report = b
        .queue
        .expire_worker(&worker("w1"), None, &ReapOptions::default())
        .await
        .unwrap();
    assert_eq!((report.amnesty, report.expired), (true, 1));
    assert_eq!(b.list("task:queue:alone").await, ["a"]);
    assert_eq!(b.lease_end("b").await, Some(b.now() + LEASE_MS));
}

#[tokio::test]
async fn strays_of_a_bare_rpoplpush_are_adopted_then_rerun() {
    let b = bench().await;
    b.enqueue("a").await;
    b.cmd::<String>(&["RPOPLPUSH", "task:queue", "task:processing"])
        .await;
    assert_eq!(b.reap().await.adopted, 1);
    assert_eq!(
        (b.work("default/bp").await, b.inflight("default").await),
        (0, 1)
    );
    assert_eq!(b.lease_end("a").await, Some(b.now() + 10_000));
    assert_eq!(b.advance_reaping(10_000).await.expired, 1);
    assert_eq!(
        (b.work("default/bp").await, b.inflight("default").await),
        (60_000, 0)
    );
    assert_eq!(b.claim("w1").await.id, id("a"));
}

#[tokio::test]
async fn leases_without_a_task_are_ghosts() {
    let b = bench().await;
    b.enqueue("a").await;
    let claim = b.claim("w1").await;
    b.queue.complete(&completion(&claim)).await.unwrap();
    for name in ["a", "nobody"] {
        b.cmd::<i64>(&["LPUSH", "task:processing", name]).await;
    }
    assert_eq!(b.reap().await.adopted, 2);
    let report = b.advance_reaping(10_000).await;
    assert_eq!((report.ghosts, report.expired), (2, 0));
    assert!(b.list("task:processing").await.is_empty());
    assert_eq!(b.snapshot("a").await.status, TaskStatus::Completed);
}

#[tokio::test]
async fn a_lock_only_saves_work() {
    let b = bench().await;
    b.enqueue("a").await;
    b.claim("w1").await;
    let locked = ReapOptions {
        lock_ms: 60_000,
        ..ReapOptions::default()
    };
    b.queue.reap(&locked).await.unwrap();
    b.advance(15_000);
    assert_eq!(b.queue.reap(&locked).await.unwrap(), ReapReport::default());
    assert_eq!(b.reap().await.expired, 1);
}

#[tokio::test]
async fn one_run_expires_at_most_a_batch() {
    let b = bench().await;
    for n in 0..5 {
        b.enqueue(&format!("t{n}")).await;
        b.claim(&format!("w{n}")).await;
    }
    b.reap().await;
    b.advance(15_000);
    let few = ReapOptions {
        batch: 2,
        ..ReapOptions::default()
    };
    for expired in [2, 2, 1, 0] {
        assert_eq!(b.queue.reap(&few).await.unwrap().expired, expired);
    }
}

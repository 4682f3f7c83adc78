//! REAP, EXPIRE_WORKER, crash isolation, amnesty, drains, epochs, OBSERVE.

use crate::support::*;

use queue::*;

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
async fn expire_worker_ends_only_its_own_leases() {
    let b = bench().await;
    for name in ["a", "b"] {
        b.enqueue(name).await;
    }
    b.claim("w1").await;
    let other = b.claim("w2").await;
    b.queue.heartbeat(&beat("w1", &[])).await.unwrap();
    let report = b
        .queue
        .expire_worker(&worker("w1"), None, &ReapOptions::default())
        .await
        .unwrap();
    assert_eq!(report.expired, 1);
    assert_eq!(b.cmd::<u64>(&["EXISTS", "worker:w1"]).await, 0);
    assert_eq!(
        b.queue.verify(&other.id, &other.token).await.unwrap(),
        Verdict::Live
    );
    assert_eq!(b.claim("w3").await.id, id("a"));
    let report = b
        .queue
        .expire_worker(&worker("w1"), None, &ReapOptions::default())
        .await
        .unwrap();
    assert_eq!(report.expired, 0);
}

#[tokio::test]
async fn a_lower_epoch_is_refused() {
    let b = bench().await;
    b.enqueue("a").await;
    b.claim("w1").await;
    let target = DrainTarget::Pod("uid-1".into());
    let reap = ReapOptions::default();
    assert_eq!(
        b.queue.drain(&target, Some(5)).await.unwrap(),
        Epoch::Accepted
    );
    let before = b.dump().await;
    assert_eq!(
        b.queue.undrain(&target, Some(4)).await.unwrap(),
        Epoch::Stale
    );
    assert!(
        b.queue
            .expire_worker(&worker("w1"), Some(4), &reap)
            .await
            .unwrap()
            .stale_epoch
    );
    assert_eq!(b.dump().await, before);
    assert_eq!(
        b.queue.undrain(&target, None).await.unwrap(),
        Epoch::Accepted,
        "a parent is always heard"
    );
    assert_eq!(
        b.queue.drain(&target, Some(5)).await.unwrap(),
        Epoch::Accepted
    );
    assert_eq!(
        b.queue
            .expire_worker(&worker("w1"), Some(6), &reap)
            .await
            .unwrap()
            .expired,
        1
    );
    assert_eq!(
        b.queue.drain(&target, Some(5)).await.unwrap(),
        Epoch::Stale,
        "a higher one is stored"
    );
}

#[tokio::test]
async fn drained_workers_get_nothing_new_but_their_lost_replies() {
    let b = bench().await;
    for name in ["a", "b"] {
        b.enqueue(name).await;
    }
    let mut pulse = beat("w1", &[]);
    pulse.about.pod_uid = "uid-1".into();
    assert!(!b.queue.heartbeat(&pulse).await.unwrap().draining);
    let asked = request("w1");
    b.try_claim(&asked).await.unwrap();
    for target in [
        DrainTarget::Pod("uid-1".into()),
        DrainTarget::Worker(worker("w1")),
    ] {
        b.queue.drain(&target, None).await.unwrap();
        assert!(matches!(
            b.queue.claim(&request("w1")).await.unwrap(),
            ClaimAnswer::Draining
        ));
        assert!(matches!(
            b.queue.claim(&asked).await.unwrap(),
            ClaimAnswer::Claimed(_)
        ));
        assert!(b.queue.heartbeat(&pulse).await.unwrap().draining);
        assert_eq!(
            b.queue
                .observe(&QueueName::default())
                .await
                .unwrap()
                .draining
                .len(),
            1
        );
        b.queue.undrain(&target, None).await.unwrap();
    }
    assert_eq!(b.claim("w1").await.id, id("b"));
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

#[tokio::test]
async fn observe_shows_one_queue_whole() {
    let b = bench().await;
    for (name, priority) in [
        ("a", Priority::Normal),
        ("b", Priority::High),
        ("c", Priority::Low),
    ] {
        b.queue
            .enqueue(&NewTask {
                priority,
                ..task(name)
            })
            .await
            .unwrap();
        b.advance(1_000);
    }
    b.queue
        .enqueue(&NewTask {
            delay_ms: 60_000,
            ..task("d")
        })
        .await
        .unwrap();
    b.queue
        .enqueue(&NewTask {
            queue: QueueName::parse("gpu").unwrap(),
            model: "mt3".into(),
            ..task("e")
        })
        .await
        .unwrap();
    let claim = b.claim("w1").await; // b
    let mut pulse = beat("w1", &[(&claim.id, &claim.token)]);
    pulse.about = WorkerAbout {
        pod: "p".into(),
        pod_uid: "u".into(),
        pool: "gpu".into(),
        models: vec!["bp".into(), "mt3".into()],
        slots: 4,
    };
    b.queue.heartbeat(&pulse).await.unwrap();
    b.advance(500);
    let o = b.queue.observe(&QueueName::default()).await.unwrap();
    assert_eq!(
        (o.now_ms, o.delayed, o.parked, o.in_flight_count, o.paused),
        (b.now(), 1, 0, 1, false)
    );
    assert_eq!(
        o.depth,
        Depth {
            alone: 0,
            high: 0,
            normal: 1,
            low: 1
        }
    );
    assert_eq!(
        o.work_ms.into_iter().collect::<Vec<_>>(),
        [("bp".to_owned(), 120_000)]
    );
    assert_eq!(o.oldest_wait_ms, Some(3_500));
    assert_eq!(
        (
            o.in_flight[0].id.as_str(),
            o.in_flight[0].age_ms,
            o.in_flight[0].worker.as_str()
        ),
        ("b", 500, "w1")
    );
    let w = &o.workers[0];
    assert_eq!(
        (
            w.pod_uid.as_str(),
            w.pool.as_str(),
            w.slots,
            w.held,
            w.heartbeat_age_ms
        ),
        ("u", "gpu", 4, 1, 500)
    );
    assert_eq!(w.models, ["bp", "mt3"]);
    let empty = b
        .queue
        .observe(&QueueName::parse("none").unwrap())
        .await
        .unwrap();
    assert_eq!(
        (
            empty.depth.total(),
            empty.oldest_wait_ms,
            empty.in_flight_count
        ),
        (0, None, 0)
    );
    let info = b.queue.server_info().await.unwrap();
    assert_eq!(
        (
            info.queue_pending,
            info.queue_processing,
            info.processing_timed
        ),
        (3, 1, 1)
    );
    assert!(!info.redis_used_memory_human.is_empty() && info.redis_connected_clients > 0);
}

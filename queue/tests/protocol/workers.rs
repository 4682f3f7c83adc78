//! EXPIRE_WORKER, DRAIN, epochs and OBSERVE.

use queue::*;

use crate::support::*;

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

#[tokio::test]
async fn the_front_is_who_will_be_claimed_next() {
    let b = bench().await;
    for (name, priority) in [
        ("n1", Priority::Normal),
        ("l1", Priority::Low),
        ("n2", Priority::Normal),
        ("h1", Priority::High),
    ] {
        let new = NewTask {
            priority,
            ..task(name)
        };
        b.queue.enqueue(&new).await.unwrap();
    }
    let queue = QueueName::default();
    let front = b.queue.front(&queue, 10).await.unwrap();
    assert_eq!(front, ["h1", "n1", "n2", "l1"]);
    assert_eq!(b.queue.front(&queue, 2).await.unwrap(), ["h1", "n1"]);
    for name in front {
        assert_eq!(b.claim("w1").await.id, id(&name));
    }
}

//! Tasks of the seed's era (a hash of payload and status, a bare id in a list) and what fsck puts right.

use queue::*;

use crate::support::*;

impl Bench {
    /// As the seed enqueued.
    async fn seed(&self, name: &str) {
        self.cmd::<i64>(&[
            "HSET",
            &format!("task:{name}"),
            "payload",
            "{\"audio_midi_id\": 7}",
            "status",
            "pending",
        ])
        .await;
        self.cmd::<i64>(&["LPUSH", "task:queue", name]).await;
    }
}

#[tokio::test]
async fn a_seed_era_task_goes_through_every_script() {
    let b = bench().await;
    for name in ["1", "2", "3", "4", "5", "6"] {
        b.seed(name).await;
    }
    b.cmd::<i64>(&["EXPIRE", "task:1", "3600"]).await;
    let claim = b.claim("w1").await;
    assert_eq!(
        (
            claim.id.as_str(),
            claim.attempt,
            claim.life,
            claim.model.as_str()
        ),
        ("1", 1, 1, "")
    );
    assert_eq!(
        (claim.lease_ms, claim.hard_limit_ms, claim.audio_ms),
        (15_000, 3_600_000, 0)
    );
    assert_eq!(claim.payload, TaskPayload::default());
    assert_eq!(b.cmd::<i64>(&["TTL", "task:1"]).await, -1);
    assert_eq!(
        b.queue
            .heartbeat(&beat("w1", &[(&claim.id, &claim.token)]))
            .await
            .unwrap()
            .leases,
        [LeaseState::Kept]
    );
    assert!(
        b.queue
            .progress(&claim.id, &claim.token, &Progress::default())
            .await
            .unwrap()
    );
    assert_eq!(
        b.queue.complete(&completion(&claim)).await.unwrap(),
        Completed::Done
    );

    let claim = b.claim("w1").await;
    assert_eq!(
        b.queue.fail(&failure(&claim, true, 0)).await.unwrap(),
        FailAnswer::Retrying
    );
    let again = b.claim("w1").await; // 3, the retry joins the back
    assert_eq!(
        b.queue.release(&again.id, &again.token).await.unwrap(),
        Released::Returned
    );
    let third = b.claim("w1").await;
    assert_eq!(third.id.as_str(), "3");
    b.reap().await;
    b.advance_reaping(16_000).await;
    assert_eq!(b.list("task:queue:alone").await, ["3"]);

    assert_eq!(
        b.queue
            .cancel(&id("4"), CancelKind::Cancelled, "")
            .await
            .unwrap(),
        CancelAnswer::Cancelled
    );
    assert_eq!(b.queue.replay(&id("4"), 2).await.unwrap(), Replayed::Queued);
    assert_eq!(b.queue.park(&id("5")).await.unwrap(), ParkAnswer::Done);
    assert_eq!(b.queue.unpark(&id("5")).await.unwrap(), ParkAnswer::Done);
    assert!(!b.queue.forget(&id("6")).await.unwrap());
    assert_eq!(
        b.queue
            .observe(&QueueName::default())
            .await
            .unwrap()
            .depth
            .total(),
        5
    );
    let t = b.snapshot("6").await;
    assert_eq!(
        (t.status, t.life, t.created_at_ms, t.progress),
        (TaskStatus::Pending, 1, 0, None)
    );
    assert!(b.hash("task:work").await.is_empty() && b.hash("task:inflight").await.is_empty());
    for _ in 0..5 {
        let claim = b.claim("w2").await;
        assert_eq!(
            b.queue.complete(&completion(&claim)).await.unwrap(),
            Completed::Done
        );
    }
    assert_eq!(
        b.queue.fsck().await.unwrap(),
        FsckReport {
            tasks: 6,
            ..FsckReport::default()
        }
    );
}

#[tokio::test]
async fn a_payload_that_is_no_json_and_a_hash_without_status_are_claimed() {
    let b = bench().await;
    b.cmd::<i64>(&["HSET", "task:1", "payload", "/media/x.mp3"])
        .await;
    b.cmd::<i64>(&["LPUSH", "task:queue", "1"]).await;
    let claim = b.claim("w1").await;
    assert_eq!(claim.payload.raw.as_deref(), Some("/media/x.mp3"));
}

/// The seed's worker: RPOPLPUSH, then nothing more.
#[tokio::test]
async fn a_bare_move_of_a_seed_era_task_is_healed() {
    let b = bench().await;
    b.seed("1").await;
    b.cmd::<String>(&["RPOPLPUSH", "task:queue", "task:processing"])
        .await;
    assert_eq!(b.reap().await.adopted, 1);
    assert_eq!(b.advance_reaping(10_000).await.expired, 1);
    let claim = b.claim("w1").await;
    assert_eq!((claim.crashes, claim.alone), (1, true));
}

#[tokio::test]
async fn fsck_finds_nothing_in_a_sane_queue_and_heals_a_broken_one() {
    let b = bench().await;
    for name in [
        "lost", "ghost", "unleased", "unlisted", "fine", "parked1", "done",
    ] {
        b.enqueue(name).await;
    }
    b.queue
        .enqueue(&NewTask {
            delay_ms: 9_000,
            ..task("later")
        })
        .await
        .unwrap();
    b.queue.park(&id("parked1")).await.unwrap();
    b.cmd::<i64>(&["LREM", "task:queue", "0", "lost"]).await;
    b.cmd::<i64>(&["LPUSH", "task:queue", "lost"]).await;
    for name in ["ghost", "unleased", "unlisted"] {
        assert_eq!(b.claim(&format!("w-{name}")).await.id, id(name));
    }
    assert_eq!(
        b.queue.fsck().await.unwrap(),
        FsckReport {
            tasks: 8,
            ..FsckReport::default()
        }
    );

    b.cmd::<i64>(&["LREM", "task:queue", "0", "lost"]).await;
    b.cmd::<i64>(&["DEL", "task:ghost"]).await;
    b.cmd::<i64>(&["SADD", "task:parked", "nobody"]).await;
    b.cmd::<i64>(&["ZREM", "task:processing:time", "unleased"])
        .await;
    b.cmd::<i64>(&["LREM", "task:processing", "0", "unlisted"])
        .await;
    b.cmd::<i64>(&["HINCRBY", "task:work", "default/bp", "5"])
        .await;
    b.cmd::<i64>(&["HSET", "task:inflight", "gone", "2"]).await;
    let report = b.queue.fsck().await.unwrap();
    // In flight: `ghost` is still counted there, and two in a queue that never was.
    let want = FsckReport {
        tasks: 7,
        lost: 1,
        ghosts: 2,
        unleased: 2,
        work_drift_ms: 5,
        inflight_drift: 3,
    };
    assert_eq!(report, want);
    assert_eq!(
        b.queue.fsck().await.unwrap(),
        FsckReport {
            tasks: 7,
            ..FsckReport::default()
        }
    );
    assert_eq!(b.list("task:queue").await, ["lost", "done", "fine"]);
    assert_eq!(
        (b.work("default/bp").await, b.inflight("default").await),
        (180_000, 2)
    );
    assert!(b.lease_end("unleased").await.is_some());
}

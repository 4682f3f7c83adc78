//! CANCEL, REPLAY, FORGET, PARK, UNPARK in every state, and the purge of dead letters.

use crate::support::*;

use queue::*;

#[tokio::test]
async fn cancel_takes_a_waiting_task_out_of_everywhere() {
    let b = bench().await;
    b.queue
        .enqueue(&NewTask {
            priority: Priority::High,
            ..task("listed")
        })
        .await
        .unwrap();
    b.queue
        .enqueue(&NewTask {
            delay_ms: 9_000,
            ..task("later")
        })
        .await
        .unwrap();
    b.enqueue("held").await;
    b.queue.park(&id("held")).await.unwrap();
    b.enqueue("moved").await;
    b.cmd::<String>(&["RPOPLPUSH", "task:queue", "task:processing"])
        .await;
    for (name, kind) in [
        ("listed", CancelKind::Cancelled),
        ("later", CancelKind::Deadline),
        ("held", CancelKind::QueueDeadline),
        ("moved", CancelKind::Cancelled),
    ] {
        assert_eq!(
            b.queue.cancel(&id(name), kind, "enough").await.unwrap(),
            CancelAnswer::Cancelled
        );
        let t = b.snapshot(name).await;
        assert_eq!(
            (t.status, t.error_kind.as_deref(), t.parked),
            (TaskStatus::Failed, Some(kind.as_str()), false)
        );
        assert!(b.cmd::<i64>(&["PTTL", &format!("task:{name}")]).await > 0);
        assert_eq!(
            b.queue.cancel(&id(name), kind, "enough").await.unwrap(),
            CancelAnswer::AlreadyFinal
        );
    }
    let left = b.dump().await;
    for key in [
        "task:queue",
        "task:queue:high",
        "task:delayed",
        "task:parked",
        "task:processing",
        "task:failed",
        "task:work",
    ] {
        assert!(!left.contains_key(key), "{key}");
    }
    assert_eq!(b.numbers().await.len(), 4);
    assert_eq!(
        b.queue
            .cancel(&id("nobody"), CancelKind::Cancelled, "")
            .await
            .unwrap(),
        CancelAnswer::Unknown
    );
}

#[tokio::test]
async fn cancel_asks_a_running_worker() {
    let b = bench().await;
    b.enqueue("a").await;
    let claim = b.claim("w1").await;
    assert_eq!(
        b.queue
            .cancel(&id("a"), CancelKind::Deadline, "late")
            .await
            .unwrap(),
        CancelAnswer::Requested
    );
    assert_eq!(
        b.queue
            .cancel(&id("a"), CancelKind::Cancelled, "again")
            .await
            .unwrap(),
        CancelAnswer::Requested
    );
    assert!(b.snapshot("a").await.cancel_requested);
    assert_eq!(
        b.queue.fail(&failure(&claim, true, 0)).await.unwrap(),
        FailAnswer::Final
    );
    let t = b.snapshot("a").await;
    assert_eq!(
        (t.error_kind.as_deref(), t.error.unwrap().message.as_str()),
        (Some("deadline"), "late")
    );
    assert!(b.list("task:failed").await.is_empty());
}

#[tokio::test]
async fn a_result_beats_a_late_cancel_and_a_dead_worker_does_not_save_a_task() {
    let b = bench().await;
    b.enqueue("a").await;
    b.enqueue("b").await;
    let claim = b.claim("w1").await;
    b.claim("w2").await;
    b.reap().await;
    for name in ["a", "b"] {
        b.queue
            .cancel(&id(name), CancelKind::Cancelled, "")
            .await
            .unwrap();
    }
    assert_eq!(
        b.queue.complete(&completion(&claim)).await.unwrap(),
        Completed::Done
    );
    assert_eq!(b.advance_reaping(16_000).await.expired, 1);
    let t = b.snapshot("b").await;
    assert_eq!(
        (t.status, t.error_kind.as_deref(), t.crashes),
        (TaskStatus::Failed, Some("cancelled"), 0)
    );
}

#[tokio::test]
async fn replay_starts_a_new_life_once() {
    let b = bench().await;
    b.enqueue("a").await;
    let old = b.claim("w1").await;
    b.queue.fail(&failure(&old, false, 0)).await.unwrap();
    assert_eq!(
        b.queue.replay(&id("a"), 1).await.unwrap(),
        Replayed::NotFailed
    ); // not raised
    assert_eq!(b.queue.replay(&id("a"), 2).await.unwrap(), Replayed::Queued);
    let before = b.dump().await;
    assert_eq!(b.queue.replay(&id("a"), 2).await.unwrap(), Replayed::Queued);
    assert_eq!(b.dump().await, before);
    let t = b.snapshot("a").await;
    assert_eq!(
        (t.status, t.life, t.retries, t.attempt, t.error),
        (TaskStatus::Pending, 2, 0, 1, None)
    );
    assert!(b.list("task:failed").await.is_empty());
    assert_eq!(b.work("default/bp").await, 60_000);
    let claim = b.claim("w1").await;
    assert_eq!((claim.attempt, claim.life), (2, 2));
    assert_eq!(
        b.queue.fail(&failure(&old, false, 0)).await.unwrap(),
        FailAnswer::Stale
    );
    assert_eq!(
        b.queue.replay(&id("a"), 3).await.unwrap(),
        Replayed::NotFailed
    ); // runs
    b.queue.complete(&completion(&claim)).await.unwrap();
    assert_eq!(
        b.queue.replay(&id("a"), 3).await.unwrap(),
        Replayed::NotFailed
    ); // succeeded
    assert_eq!(
        b.queue.replay(&id("nobody"), 2).await.unwrap(),
        Replayed::Unknown
    );
    let lives: Vec<u64> = b
        .queue
        .results(9)
        .await
        .unwrap()
        .iter()
        .map(|entry| entry.life)
        .collect();
    assert_eq!(lives, [1, 2]);
}

#[tokio::test]
async fn a_cancelled_task_can_be_replayed_and_keeps_its_hash() {
    let b = bench().await;
    b.enqueue("a").await;
    b.queue
        .cancel(&id("a"), CancelKind::Cancelled, "")
        .await
        .unwrap();
    assert_eq!(b.queue.replay(&id("a"), 2).await.unwrap(), Replayed::Queued);
    assert_eq!(b.cmd::<i64>(&["TTL", "task:a"]).await, -1);
    assert_eq!(b.claim("w1").await.id, id("a"));
}

#[tokio::test]
async fn dead_letters_are_purged_with_their_hash_after_a_week() {
    let b = bench().await;
    for name in ["old", "young"] {
        b.enqueue(name).await;
        let claim = b.claim("w1").await;
        b.queue.fail(&failure(&claim, false, 0)).await.unwrap();
        b.advance(1_000);
    }
    b.reap().await;
    b.advance(7 * 24 * 3600 * 1000 - 1_000);
    assert_eq!(b.reap().await.purged, 1);
    assert_eq!(b.list("task:failed").await, ["young"]);
    assert_eq!(b.cmd::<u64>(&["EXISTS", "task:old"]).await, 0);
    assert_eq!(
        b.queue.replay(&id("old"), 2).await.unwrap(),
        Replayed::Unknown
    );
    // Redis forgot it: ENQUEUE with the new life.
    let again = NewTask {
        life: 2,
        ..task("old")
    };
    assert_eq!(b.queue.enqueue(&again).await.unwrap(), Enqueued::New);
    assert_eq!(
        b.queue.replay(&id("old"), 2).await.unwrap(),
        Replayed::Queued
    );
    assert_eq!(b.claim("w1").await.life, 2);
    assert_eq!(
        b.numbers().await.len(),
        2,
        "the outbox keeps what was purged"
    );
}

#[tokio::test]
async fn forget_drops_final_tasks_only() {
    let b = bench().await;
    b.queue
        .enqueue(&NewTask {
            idempotency: Some(("k".into(), 60_000)),
            ..task("a")
        })
        .await
        .unwrap();
    assert!(!b.queue.forget(&id("a")).await.unwrap());
    let claim = b.claim("w1").await;
    assert!(!b.queue.forget(&id("a")).await.unwrap());
    b.queue.fail(&failure(&claim, false, 0)).await.unwrap();
    assert!(b.queue.forget(&id("a")).await.unwrap());
    assert!(b.queue.forget(&id("a")).await.unwrap());
    assert_eq!(
        b.cmd::<u64>(&["EXISTS", "task:a", "task:failed", "idem:k"])
            .await,
        0
    );
}

#[tokio::test]
async fn park_and_unpark_a_listed_task() {
    let b = bench().await;
    for name in ["a", "b"] {
        b.enqueue(name).await;
    }
    assert_eq!(b.queue.park(&id("b")).await.unwrap(), ParkAnswer::Done);
    assert_eq!(b.queue.park(&id("b")).await.unwrap(), ParkAnswer::Done);
    assert_eq!(
        (b.list("task:queue").await, b.work("default/bp").await),
        (vec!["a".to_owned()], 60_000)
    );
    assert_eq!(
        b.cmd::<Vec<String>>(&["SMEMBERS", "task:parked"]).await,
        ["b"]
    );
    assert!(b.snapshot("b").await.parked);
    assert_eq!(b.queue.unpark(&id("b")).await.unwrap(), ParkAnswer::Done);
    let before = b.dump().await;
    assert_eq!(b.queue.unpark(&id("b")).await.unwrap(), ParkAnswer::Done);
    assert_eq!(b.dump().await, before);
    assert_eq!(b.work("default/bp").await, 120_000);
    assert_eq!(b.claim("w1").await.id, id("b"), "to the front");
    for answer in [
        b.queue.park(&id("nobody")).await,
        b.queue.unpark(&id("nobody")).await,
    ] {
        assert_eq!(answer.unwrap(), ParkAnswer::Unknown);
    }
}

#[tokio::test]
async fn park_a_delayed_task() {
    let b = bench().await;
    b.queue
        .enqueue(&NewTask {
            delay_ms: 1_000,
            ..task("a")
        })
        .await
        .unwrap();
    assert_eq!(b.queue.park(&id("a")).await.unwrap(), ParkAnswer::Done);
    b.advance(2_000);
    assert_eq!(b.reap().await.promoted, 0);
    assert!(b.try_claim(&request("w1")).await.is_none());
    b.queue.unpark(&id("a")).await.unwrap();
    assert_eq!(b.claim("w1").await.id, id("a"));
}

#[tokio::test]
async fn a_running_task_parks_when_it_comes_back() {
    let b = bench().await;
    for how in ["release", "fail", "expire"] {
        b.enqueue(how).await;
        let claim = b.claim("w1").await;
        assert_eq!(b.queue.park(&claim.id).await.unwrap(), ParkAnswer::Noted);
        assert_eq!(b.inflight("default").await, 1);
        match how {
            "release" => assert_eq!(
                b.queue.release(&claim.id, &claim.token).await.unwrap(),
                Released::Returned
            ),
            "fail" => assert_eq!(
                b.queue.fail(&failure(&claim, true, 0)).await.unwrap(),
                FailAnswer::Retrying
            ),
            _ => assert_eq!(b.advance_reaping(16_000).await.expired, 1),
        }
        assert!(b.try_claim(&request("w2")).await.is_none());
        assert_eq!(
            (b.work("default/bp").await, b.inflight("default").await),
            (0, 0)
        );
        assert_eq!(b.cmd::<u64>(&["SISMEMBER", "task:parked", how]).await, 1);
        assert_eq!(b.queue.unpark(&claim.id).await.unwrap(), ParkAnswer::Done);
        let again = b.claim("w2").await;
        assert_eq!(again.id, claim.id);
        b.queue.complete(&completion(&again)).await.unwrap();
    }
}

#[tokio::test]
async fn unpark_while_it_still_runs_and_park_of_a_final_task() {
    let b = bench().await;
    b.enqueue("a").await;
    let claim = b.claim("w1").await;
    b.queue.park(&claim.id).await.unwrap();
    assert_eq!(b.queue.unpark(&claim.id).await.unwrap(), ParkAnswer::Noted);
    b.queue.release(&claim.id, &claim.token).await.unwrap();
    let claim = b.claim("w1").await;
    b.queue.park(&claim.id).await.unwrap();
    b.queue.complete(&completion(&claim)).await.unwrap();
    assert!(!b.snapshot("a").await.parked);
    assert_eq!(
        b.queue.park(&claim.id).await.unwrap(),
        ParkAnswer::AlreadyFinal
    );
    assert_eq!(
        b.queue.unpark(&claim.id).await.unwrap(),
        ParkAnswer::AlreadyFinal
    );
}

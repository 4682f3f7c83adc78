//! COMPLETE, FAIL, RELEASE, VERIFY: every code, fencing, lost replies.

use queue::*;

use crate::support::*;

#[tokio::test]
async fn complete_is_final_and_repeatable() {
    let b = bench().await;
    b.enqueue("a").await;
    let claim = b.claim("w1").await;
    b.advance(3_000);
    assert_eq!(
        b.queue.complete(&completion(&claim)).await.unwrap(),
        Completed::Done
    );
    let t = b.snapshot("a").await;
    assert_eq!(
        (t.status, t.finished_at_ms, t.result.unwrap().notes),
        (TaskStatus::Completed, Some(b.now()), 7)
    );
    assert_eq!((t.worker, t.error_kind.as_deref()), (None, Some("ok")));
    assert_eq!(b.list("task:processing").await, Vec::<String>::new());
    assert_eq!(
        (b.lease_end("a").await, b.inflight("default").await),
        (None, 0)
    );
    assert!(b.cmd::<i64>(&["PTTL", "task:a"]).await > 86_000_000);
    let entries = b.queue.results(10).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].life, entries[0].attempt, entries[0].at_ms),
        (1, 1, b.now())
    );
    assert_eq!(
        serde_json::from_str::<ResultPointer>(&entries[0].body)
            .unwrap()
            .notes,
        7
    );
    assert!(!format!("{:?}", b.list("task:results").await).contains(claim.token.as_str()));

    let before = b.dump().await;
    assert_eq!(
        b.queue.complete(&completion(&claim)).await.unwrap(),
        Completed::Already
    );
    assert_eq!(b.dump().await, before);
    assert_eq!(
        b.queue.fail(&failure(&claim, true, 0)).await.unwrap(),
        FailAnswer::Stale
    );
    assert_eq!(
        b.queue.release(&claim.id, &claim.token).await.unwrap(),
        Released::Stale
    );
    assert_eq!(b.dump().await, before);
}

#[tokio::test]
async fn unknown_tasks_are_unknown() {
    let b = bench().await;
    b.enqueue("a").await;
    let mut claim = b.claim("w1").await;
    claim.id = id("nobody");
    let before = b.dump().await;
    assert_eq!(
        b.queue.complete(&completion(&claim)).await.unwrap(),
        Completed::Unknown
    );
    assert_eq!(
        b.queue.fail(&failure(&claim, true, 0)).await.unwrap(),
        FailAnswer::Unknown
    );
    assert_eq!(
        b.queue.release(&claim.id, &claim.token).await.unwrap(),
        Released::Unknown
    );
    assert_eq!(
        b.queue.verify(&claim.id, &claim.token).await.unwrap(),
        Verdict::Unknown
    );
    assert!(
        !b.queue
            .progress(&claim.id, &claim.token, &Progress::default())
            .await
            .unwrap()
    );
    assert_eq!(b.dump().await, before);
}

#[tokio::test]
async fn a_lost_lease_fences_every_call_of_the_zombie() {
    let b = bench().await;
    b.enqueue("a").await;
    let zombie = b.claim("w1").await;
    b.advance_reaping(16_000).await;
    let after = b.dump().await;
    assert_eq!(
        b.queue.complete(&completion(&zombie)).await.unwrap(),
        Completed::Stale
    );
    assert_eq!(
        b.queue.fail(&failure(&zombie, true, 0)).await.unwrap(),
        FailAnswer::Stale
    );
    assert_eq!(
        b.queue.release(&zombie.id, &zombie.token).await.unwrap(),
        Released::Stale
    );
    assert_eq!(b.dump().await, after);

    let next = b.claim("w2").await;
    assert_eq!(
        (next.id.clone(), next.attempt, next.crashes),
        (id("a"), 2, 1)
    );
    assert_ne!(next.token, zombie.token);
    let lease = b.lease_end("a").await;
    b.advance(1_000);
    let running = b.hash("task:a").await;
    assert_eq!(
        b.queue.complete(&completion(&zombie)).await.unwrap(),
        Completed::Stale
    );
    assert_eq!(
        b.queue.fail(&failure(&zombie, false, 0)).await.unwrap(),
        FailAnswer::Stale
    );
    assert_eq!(
        b.queue.release(&zombie.id, &zombie.token).await.unwrap(),
        Released::Stale
    );
    assert!(
        !b.queue
            .progress(&zombie.id, &zombie.token, &Progress::default())
            .await
            .unwrap()
    );
    assert_eq!(
        b.queue.verify(&zombie.id, &zombie.token).await.unwrap(),
        Verdict::Stale
    );
    let answer = b
        .queue
        .heartbeat(&beat("w1", &[(&zombie.id, &zombie.token)]))
        .await
        .unwrap();
    assert_eq!(answer.leases, [LeaseState::Lost]);
    assert_eq!(
        (b.hash("task:a").await, b.lease_end("a").await),
        (running, lease)
    );
    assert_eq!(
        b.queue.complete(&completion(&next)).await.unwrap(),
        Completed::Done
    );
}

#[tokio::test]
async fn verify_tells_all_four() {
    let b = bench().await;
    b.enqueue("a").await;
    let claim = b.claim("w1").await;
    let other = Token::new("1-0123");
    assert_eq!(
        b.queue.verify(&claim.id, &claim.token).await.unwrap(),
        Verdict::Live
    );
    assert_eq!(
        b.queue.verify(&claim.id, &other).await.unwrap(),
        Verdict::Stale
    );
    b.queue.complete(&completion(&claim)).await.unwrap();
    assert_eq!(
        b.queue.verify(&claim.id, &claim.token).await.unwrap(),
        Verdict::DoneByThisToken
    );
    assert_eq!(
        b.queue.verify(&claim.id, &other).await.unwrap(),
        Verdict::Stale
    );
    assert_eq!(
        b.queue.verify(&id("b"), &other).await.unwrap(),
        Verdict::Unknown
    );
    assert_eq!(format!("{other:?}"), "Token(***)");
}

#[tokio::test]
async fn an_error_is_tried_three_times_in_all() {
    let b = bench().await;
    b.enqueue("a").await;
    for run in 1..=2 {
        let claim = b.claim("w1").await;
        assert_eq!((claim.attempt, claim.retries), (run, run - 1));
        assert_eq!(
            b.queue.fail(&failure(&claim, true, 1_000)).await.unwrap(),
            FailAnswer::Retrying
        );
        let t = b.snapshot("a").await;
        assert_eq!(
            (t.status, t.due_ms, t.retries),
            (TaskStatus::Pending, Some(b.now() + 1_000), run)
        );
        assert_eq!(
            (t.token, t.worker, b.inflight("default").await),
            (None, None, 0)
        );
        assert_eq!(
            b.cmd::<Vec<String>>(&["ZRANGE", "task:delayed", "0", "-1"])
                .await,
            ["a"]
        );
        let before = b.dump().await;
        assert_eq!(
            b.queue.fail(&failure(&claim, true, 1_000)).await.unwrap(),
            FailAnswer::Already
        );
        assert_eq!(
            b.queue.complete(&completion(&claim)).await.unwrap(),
            Completed::Stale
        );
        assert_eq!(b.dump().await, before);
        b.advance(1_000);
    }
    let claim = b.claim("w1").await;
    assert_eq!(
        b.queue.fail(&failure(&claim, true, 1_000)).await.unwrap(),
        FailAnswer::Final
    );
    assert_eq!(
        b.queue.fail(&failure(&claim, true, 1_000)).await.unwrap(),
        FailAnswer::Already
    );
    let t = b.snapshot("a").await;
    assert_eq!(
        (t.status, t.error_kind.as_deref(), t.retries),
        (TaskStatus::Failed, Some("storage"), 3)
    );
    assert_eq!(t.error.unwrap().code, "disk_full");
    assert_eq!(b.list("task:failed").await, ["a"]);
    assert_eq!(b.cmd::<i64>(&["TTL", "task:a"]).await, -1);
    assert_eq!(b.numbers().await.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_retried_fails_at_once() {
    let b = bench().await;
    b.enqueue("a").await;
    let claim = b.claim("w1").await;
    assert_eq!(
        b.queue.fail(&failure(&claim, false, 1_000)).await.unwrap(),
        FailAnswer::Final
    );
    assert_eq!(b.list("task:failed").await, ["a"]);
    assert_eq!(
        (
            b.inflight("default").await,
            b.list("task:processing").await.len()
        ),
        (0, 0)
    );
}

#[tokio::test]
async fn released_goes_to_the_front_and_costs_nothing() {
    let b = bench().await;
    for name in ["a", "b", "c"] {
        b.enqueue(name).await;
    }
    let claim = b.claim("w1").await;
    b.enqueue("d").await;
    assert_eq!(
        b.queue.release(&claim.id, &claim.token).await.unwrap(),
        Released::Returned
    );
    let before = b.dump().await;
    assert_eq!(
        b.queue.release(&claim.id, &claim.token).await.unwrap(),
        Released::Already
    );
    assert_eq!(b.dump().await, before);
    assert_eq!(b.list("task:queue").await, ["d", "c", "b", "a"]);
    let t = b.snapshot("a").await;
    assert_eq!(
        (t.status, t.releases, t.retries, t.crashes),
        (TaskStatus::Pending, 1, 0, 0)
    );
    assert_eq!(
        (b.work("default/bp").await, b.inflight("default").await),
        (240_000, 0)
    );
    assert_eq!(b.claim("w2").await.id, id("a"));
    assert_eq!(
        b.queue.release(&claim.id, &claim.token).await.unwrap(),
        Released::Already
    );
}

#[tokio::test]
async fn released_after_a_cancel_ends_cancelled() {
    let b = bench().await;
    b.enqueue("a").await;
    let claim = b.claim("w1").await;
    b.queue
        .cancel(&id("a"), CancelKind::Deadline, "too late")
        .await
        .unwrap();
    assert_eq!(
        b.queue.release(&claim.id, &claim.token).await.unwrap(),
        Released::WasCancelled
    );
    assert_eq!(
        b.queue.release(&claim.id, &claim.token).await.unwrap(),
        Released::WasCancelled
    );
    let t = b.snapshot("a").await;
    assert_eq!(
        (t.status, t.error_kind.as_deref()),
        (TaskStatus::Failed, Some("deadline"))
    );
    assert_eq!(t.error.unwrap().message, "too late");
    assert_eq!(b.numbers().await.len(), 1);
}

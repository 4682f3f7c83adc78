//! HEARTBEAT and PROGRESS, and what COMPLETE learns about a worker's speed.

use queue::*;

use crate::support::*;

#[tokio::test]
async fn heartbeat_renews_tells_and_registers() {
    let b = bench().await;
    for name in ["a", "b"] {
        b.enqueue(name).await;
    }
    let (first, second) = (b.claim("w1").await, b.claim("w1").await);
    b.advance(5_000);
    let wrong = Token::new("9-x");
    let mut pulse = beat(
        "w1",
        &[
            (&first.id, &first.token),
            (&second.id, &second.token),
            (&first.id, &wrong),
        ],
    );
    pulse.about.pod = "pod-1".into();
    let answer = b.queue.heartbeat(&pulse).await.unwrap();
    assert_eq!(
        answer.leases,
        [LeaseState::Kept, LeaseState::Kept, LeaseState::Lost]
    );
    assert!(!answer.draining);
    assert_eq!(b.lease_end("a").await, Some(b.now() + LEASE_MS));
    let seen = b.hash("worker:w1").await;
    assert_eq!(
        (
            seen["pod"].as_str(),
            seen["state"].as_str(),
            seen["models"].as_str()
        ),
        ("pod-1", "busy", "bp")
    );
    assert!(b.cmd::<i64>(&["PTTL", "worker:w1"]).await > 29_000);

    b.queue
        .cancel(&id("a"), CancelKind::Cancelled, "")
        .await
        .unwrap();
    let answer = b.queue.heartbeat(&pulse).await.unwrap();
    assert_eq!(
        answer.leases,
        [
            LeaseState::CancelRequested,
            LeaseState::Kept,
            LeaseState::Lost
        ]
    );
    b.queue.leave(&worker("w1")).await.unwrap();
    assert_eq!(
        b.cmd::<u64>(&["EXISTS", "worker:w1", "worker:index"]).await,
        0
    );
}

#[tokio::test]
async fn heartbeats_keep_a_lease_for_as_long_as_the_limit() {
    let b = bench().await;
    b.enqueue("a").await; // 60 s of audio: 20 minutes
    let claim = b.claim("w1").await;
    let mut last = LeaseState::Kept;
    let mut passed = 0;
    while last == LeaseState::Kept {
        b.advance(5_000);
        passed += 5_000;
        assert_eq!(b.reap().await.expired, 0, "at {passed}");
        last = b
            .queue
            .heartbeat(&beat("w1", &[(&claim.id, &claim.token)]))
            .await
            .unwrap()
            .leases[0];
    }
    assert_eq!((last, passed), (LeaseState::LimitPassed, 1_200_000));
    // The rest of the lease is for a clean FAIL.
    let error = TaskError {
        kind: "timeout".into(),
        code: "timeout".into(),
        message: String::new(),
    };
    let failed = Failure {
        error,
        ..failure(&claim, true, 0)
    };
    assert_eq!(b.queue.fail(&failed).await.unwrap(), FailAnswer::Retrying);
    assert_eq!(b.snapshot("a").await.crashes, 0);
}

#[tokio::test]
async fn progress_is_stored_for_the_owner() {
    let b = bench().await;
    b.enqueue("a").await;
    let claim = b.claim("w1").await;
    let progress = Progress {
        stage: "inference".into(),
        current: 3,
        total: 12,
    };
    assert!(
        b.queue
            .progress(&claim.id, &claim.token, &progress)
            .await
            .unwrap()
    );
    let t = b.snapshot("a").await;
    assert_eq!((t.progress.clone(), t.seq), (Some(progress), 2));
    assert_eq!(t.progress.unwrap().fraction(), 0.25);
    b.queue.release(&claim.id, &claim.token).await.unwrap();
    assert_eq!(b.snapshot("a").await.progress, None);
}

#[tokio::test]
async fn complete_folds_the_real_time_factor() {
    let b = bench().await;
    for name in ["a", "b", "c"] {
        b.enqueue(name).await;
        let claim = b.claim("w1").await;
        let busy_ms = if name == "c" { 0 } else { 6_000 };
        b.queue
            .complete(&Completion {
                busy_ms,
                ..completion(&claim)
            })
            .await
            .unwrap();
    }
    let seen = b.queue.observe(&QueueName::default()).await.unwrap().rtf["bp"];
    assert_eq!(
        (seen.audio_ms, seen.busy_ms, seen.samples),
        (60_000.0 * 1.95, 6_000.0 * 1.95, 2)
    );
    assert!((seen.factor().unwrap() - 10.0).abs() < 1e-9);
}

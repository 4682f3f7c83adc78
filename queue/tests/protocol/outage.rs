//! Redis full, restarted, flushed, silent: what a caller sees, and that nothing is lost or done twice.

use std::time::{Duration, Instant};

use queue::testing::RedisServer;
use queue::*;

use crate::support::*;

pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(value) = ask().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_full_redis_takes_nothing_new_and_lets_work_end() {
    let b = bench().await;
    for n in 0..12 {
        b.enqueue(&format!("t{n}")).await;
    }
    let mut claims = Vec::new();
    for n in 0..7 {
        claims.push(b.claim(&format!("w{n}")).await);
    }
    b.queue
        .cancel(&id("t9"), CancelKind::Cancelled, "")
        .await
        .unwrap();
    b.reap().await;
    b.cmd::<String>(&["CONFIG", "SET", "maxmemory", "1"]).await;

    let before = b.dump().await;
    let refused = b.queue.enqueue(&task("more")).await.unwrap_err();
    assert!(
        refused.is_refused() && !refused.is_unavailable(),
        "{refused}"
    );
    assert_eq!(b.dump().await, before, "nothing half done");

    let last = b.try_claim(&request("w9")).await.unwrap();
    let mut pulse = beat("w0", &[(&claims[0].id, &claims[0].token)]);
    pulse.state = WorkerState::Draining;
    b.advance(5_000);
    assert_eq!(
        b.queue.heartbeat(&pulse).await.unwrap().leases,
        [LeaseState::Kept]
    );
    assert_eq!(b.lease_end("t0").await, Some(b.now() + LEASE_MS));
    assert!(
        b.queue
            .progress(&claims[0].id, &claims[0].token, &Progress::default())
            .await
            .unwrap()
    );
    assert_eq!(
        b.queue.complete(&completion(&claims[0])).await.unwrap(),
        Completed::Done
    );
    assert_eq!(
        b.queue
            .fail(&failure(&claims[1], true, 9_000))
            .await
            .unwrap(),
        FailAnswer::Retrying
    );
    assert_eq!(
        b.queue.fail(&failure(&claims[2], false, 0)).await.unwrap(),
        FailAnswer::Final
    );
    assert_eq!(
        b.queue
            .release(&claims[3].id, &claims[3].token)
            .await
            .unwrap(),
        Released::Returned
    );
    assert_eq!(
        b.queue
            .cancel(&claims[4].id, CancelKind::Deadline, "")
            .await
            .unwrap(),
        CancelAnswer::Requested
    );
    assert_eq!(
        b.queue
            .cancel(&id("t8"), CancelKind::Deadline, "")
            .await
            .unwrap(),
        CancelAnswer::Cancelled
    );
    assert_eq!(b.queue.park(&id("t10")).await.unwrap(), ParkAnswer::Done);
    assert_eq!(
        b.queue.park(&claims[5].id).await.unwrap(),
        ParkAnswer::Noted
    );
    assert_eq!(b.queue.unpark(&id("t10")).await.unwrap(), ParkAnswer::Done);
    assert_eq!(
        b.queue
            .drain(&DrainTarget::Pod("u".into()), Some(3))
            .await
            .unwrap(),
        Epoch::Accepted
    );
    let expired = b
        .queue
        .expire_worker(
            &last_worker(&b, &last).await,
            Some(4),
            &ReapOptions::default(),
        )
        .await
        .unwrap();
    assert_eq!(expired.expired, 1);
    assert_eq!(
        b.queue.replay(&claims[2].id, 2).await.unwrap(),
        Replayed::Queued
    );
    let locked = ReapOptions {
        lock_ms: 1_000,
        ..ReapOptions::default()
    };
    b.advance(10_000);
    assert_eq!(b.queue.reap(&locked).await.unwrap().expired, 3); // claims 4 (cancelled), 5 (parked) and 6
    assert!(b.queue.ack_results(u64::MAX >> 12, 100).await.unwrap() > 0);
    assert!(b.queue.forget(&claims[0].id).await.unwrap());

    b.cmd::<String>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(
        b.queue.fsck().await.unwrap(),
        FsckReport {
            tasks: 11,
            ..FsckReport::default()
        }
    );
}

async fn last_worker(b: &Bench, claim: &Claim) -> WorkerId {
    worker(&b.snapshot(claim.id.as_str()).await.worker.unwrap())
}

#[tokio::test]
async fn a_server_that_may_evict_is_refused() {
    let server =
        RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let error = Queue::connect(&QueueConfig::new(server.url()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Evicting { .. }), "{error}");
    let error = Queue::connect(&QueueConfig::new("http://localhost"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Url(_)), "{error}");
}

#[tokio::test]
async fn a_lazy_connection_starts_without_redis_and_works_once_it_is_there() {
    let mut server = RedisServer::start();
    server.stop();
    let queue = Queue::connect_lazy(&QueueConfig::new(server.url())).unwrap();
    let error = queue.enqueue(&task("a")).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    server.start_again();
    until("Redis to be found", async || {
        (queue.enqueue(&task("a")).await.ok()? == Enqueued::New).then_some(())
    })
    .await;
    let error = Queue::connect_lazy(&QueueConfig::new("http://localhost")).unwrap_err();
    assert!(matches!(error, Error::Url(_)), "{error}");
}

#[tokio::test]
async fn flushed_scripts_come_back_by_themselves() {
    let b = bench().await;
    b.enqueue("a").await;
    b.cmd::<String>(&["SCRIPT", "FLUSH"]).await;
    let claim = b.claim("w1").await;
    b.cmd::<String>(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(
        b.queue.complete(&completion(&claim)).await.unwrap(),
        Completed::Done
    );
}

#[tokio::test]
async fn a_restart_keeps_tasks_and_tokens() {
    let b = bench_on(RedisServer::start_with_aof()).await;
    b.enqueue("a").await;
    b.enqueue("b").await;
    let claim = b.claim("w1").await;
    b.server.lock().unwrap().stop();
    let error = b.queue.ping().await.unwrap_err();
    assert!(error.is_unavailable() && !error.is_refused(), "{error}");
    assert!(
        b.queue
            .enqueue(&task("c"))
            .await
            .unwrap_err()
            .is_unavailable()
    );
    assert!(
        Queue::connect(&QueueConfig::new(b.url()))
            .await
            .unwrap_err()
            .is_unavailable()
    );
    b.server.lock().unwrap().start_again();
    let done = until("the connection", || async {
        b.queue.complete(&completion(&claim)).await.ok()
    })
    .await;
    assert_eq!(done, Completed::Done);
    assert_eq!(b.claim("w2").await.id, id("b"));
}

/// The server acts, the client does not hear of it.
#[tokio::test]
async fn a_lost_reply_is_unavailable_and_the_repeat_gets_the_claim() {
    let b = bench().await;
    b.enqueue("a").await;
    b.enqueue("b").await;
    let config = QueueConfig {
        response_timeout: Duration::from_millis(50),
        ..QueueConfig::new(b.url())
    };
    let hasty = Queue::connect(&config)
        .await
        .unwrap()
        .with_clock(b.clock.clone());
    let asked = request("w1");
    b.cmd::<String>(&["CLIENT", "PAUSE", "400", "ALL"]).await;
    let error = hasty.claim(&asked).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    let claim = until("the claim", || async {
        match hasty.claim(&asked).await {
            Ok(ClaimAnswer::Claimed(claim)) => Some(claim),
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert!(error.is_unavailable(), "{error}");
                None
            }
        }
    })
    .await;
    assert_eq!((claim.id.clone(), claim.attempt), (id("a"), 1));
    assert_eq!(
        (
            b.list("task:processing").await.len(),
            b.list("task:queue").await.len()
        ),
        (1, 1)
    );
}

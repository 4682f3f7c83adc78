//! What ends an attempt before it is done: lost leases, cancels, limits, stalls, stops and outages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::logs;
use crate::network::{Network, finished, hang_until_cancelled, work_until_cancelled};
use crate::stage::{Stage, eventually};
use queue::testing::RedisServer;
use queue::{CancelAnswer, CancelKind, ReapOptions, TaskStatus, WorkerId};

/// Heartbeats come at a third of it.
const SHORT: Duration = Duration::from_millis(1500);
const LONG: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_renewed_for_as_long_as_it_takes() {
    let stage = Stage::set().await;
    let network = Network::new(|_, _, control| {
        let end = Instant::now() + SHORT * 3;
        while Instant::now() < end && !control.cancelled() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(finished())
    });
    let worker = stage.worker(stage.config(), &network);
    let id = stage.submit("long", SHORT).await;
    let task = stage
        .until(&id, "is completed", |task| {
            task.status == TaskStatus::Completed
        })
        .await;
    assert_eq!((task.attempt, task.crashes), (1, 0));
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_stops_the_attempt_and_writes_nothing() {
    let stage = Stage::set().await;
    let network = Network::new(|number, _, control| {
        if number == 0 {
            work_until_cancelled(control)
        } else {
            Ok(finished())
        }
    });
    let mut config = stage.config();
    config.worker_id = Some("w-loser".into());
    let worker = stage.worker(config, &network);
    let id = stage.submit("lost", LONG).await;
    eventually("it runs", async || network.begun() == 1).await;
    let loser = WorkerId::parse("w-loser").unwrap();
    stage
        .queue
        .expire_worker(&loser, None, &ReapOptions::default())
        .await
        .unwrap();
    let task = stage
        .until(&id, "is completed by the next attempt", |task| {
            task.status == TaskStatus::Completed
        })
        .await;
    assert_eq!((task.attempt, task.crashes, task.retries), (2, 1, 0));
    assert_eq!(network.stopped.load(Ordering::SeqCst), 1);
    assert_eq!(stage.api.stored().len(), 1);
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_stops_the_network_and_is_recorded() {
    let stage = Stage::set().await;
    let network = Network::new(|_, _, control| work_until_cancelled(control));
    let worker = stage.worker(stage.config(), &network);
    let id = stage.submit("cancelled", LONG).await;
    eventually("it runs", async || network.begun() == 1).await;
    let answer = stage
        .queue
        .cancel(&id, CancelKind::Cancelled, "not wanted any more")
        .await
        .unwrap();
    assert_eq!(answer, CancelAnswer::Requested);
    let task = stage
        .until(&id, "is failed", |task| task.status == TaskStatus::Failed)
        .await;
    assert_eq!(task.error_kind.as_deref(), Some("cancelled"));
    eventually("the network stopped", async || {
        network.stopped.load(Ordering::SeqCst) == 1
    })
    .await;
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_limit_ends_each_run_and_three_of_them_as_a_timeout() {
    let stage = Stage::set().await;
    let network = Network::new(|_, _, control| work_until_cancelled(control));
    let worker = stage.worker(stage.config(), &network);
    let id = stage.submit("endless", LONG).await;
    for run in 1..=3 {
        eventually("it runs", async || network.begun() == run).await;
        // The shortest limit is ten minutes: move its end into the past.
        assert_eq!(
            stage.redis_cli(&["HSET", "task:endless", "hard_until", "1"]),
            "0",
            "the field has another name"
        );
        let before = run as u32 - 1;
        let task = stage
            .until(&id, "is ended", |task| {
                task.retries > before || task.status == TaskStatus::Failed
            })
            .await;
        assert_eq!(task.status == TaskStatus::Failed, run == 3, "run {run}");
    }
    let task = stage
        .until(&id, "is failed", |task| task.status == TaskStatus::Failed)
        .await;
    assert_eq!(task.error_kind.as_deref(), Some("timeout"));
    assert_eq!((task.attempt, task.crashes), (3, 0));
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_ends_the_worker_and_the_task_runs_again_elsewhere() {
    let stage = Stage::set().await;
    // As the engine does with a device that hangs: a cancel is obeyed, and nothing on the device will ever move again.
    let network = Network::new(|number, _, control| {
        if number == 0 {
            hang_until_cancelled(control)
        } else {
            Ok(finished())
        }
    });
    let mut config = stage.config();
    config.stall_seconds = 1;
    let worker = stage.worker(config, &network);
    let id = stage.submit("stalls", LONG).await;
    let begun = Instant::now();
    let error = worker.outcome().await.unwrap_err();
    assert!(error.to_string().contains("made no step"), "{error}");
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "it took {:?}",
        begun.elapsed()
    );
    // It ended its own lease, long before that would have run out.
    let task = stage.snapshot(&id).await;
    assert_eq!((task.status, task.crashes), (TaskStatus::Pending, 1));
    assert_eq!(network.begun(), 1, "it went on claiming");
    assert!(stage.workers().await.is_empty());

    let next = stage.worker(stage.config(), &network);
    let task = stage
        .until(&id, "is completed", |task| {
            task.status == TaskStatus::Completed
        })
        .await;
    assert_eq!((task.attempt, task.crashes), (2, 1));
    next.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_never_obeys_ends_the_worker() {
    let stage = Stage::set().await;
    let release = Arc::new(AtomicBool::new(false));
    let released = Arc::clone(&release);
    let network = Network::new(move |_, _, _| {
        while !released.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(finished())
    });
    let mut config = stage.config();
    config.stall_seconds = 1;
    let worker = stage.worker(config, &network);
    let id = stage.submit("hangs", LONG).await;
    let error = worker.outcome().await.unwrap_err();
    assert!(error.to_string().contains("made no step"), "{error}");
    let task = stage
        .until(&id, "waits for another worker", |task| {
            task.status == TaskStatus::Pending
        })
        .await;
    assert_eq!(task.crashes, 1);
    release.store(true, Ordering::SeqCst);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_the_running_task_finish_and_takes_no_other() {
    let stage = Stage::set().await;
    let go = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&go);
    let network = Network::new(move |_, _, control| {
        while !gone.load(Ordering::SeqCst) && !control.cancelled() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(finished())
    });
    let worker = stage.worker(stage.config(), &network);
    let first = stage.submit("first", LONG).await;
    eventually("it runs", async || network.begun() == 1).await;
    let second = stage.submit("second", LONG).await;
    worker.stop.press();
    eventually("the worker says that it drains", async || {
        let seen = stage
            .queue
            .observe(&queue::QueueName::default())
            .await
            .unwrap();
        seen.workers.iter().any(|worker| worker.state == "draining")
    })
    .await;
    go.store(true, Ordering::SeqCst);
    worker.outcome().await.unwrap();
    assert_eq!(stage.snapshot(&first).await.status, TaskStatus::Completed);
    assert_eq!(stage.snapshot(&second).await.status, TaskStatus::Pending);
    assert!(
        stage.workers().await.is_empty(),
        "the worker's keys are still there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_drain_time_is_over_tasks_are_handed_back() {
    let stage = Stage::set().await;
    let network = Network::new(|_, _, control| work_until_cancelled(control));
    let mut config = stage.config();
    config.drain_timeout = Duration::ZERO;
    let worker = stage.worker(config, &network);
    let id = stage.submit("handed", LONG).await;
    eventually("it runs", async || network.begun() == 1).await;
    let begun = Instant::now();
    worker.stop.press();
    worker.outcome().await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "it took {:?}",
        begun.elapsed()
    );
    let task = stage.snapshot(&id).await;
    assert_eq!(
        (task.status, task.releases, task.crashes, task.retries),
        (TaskStatus::Pending, 1, 0, 0)
    );
    assert!(stage.workers().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stop_does_not_wait_for_the_drain_time() {
    let stage = Stage::set().await;
    let network = Network::new(|_, _, control| work_until_cancelled(control));
    let mut config = stage.config();
    config.drain_timeout = Duration::from_secs(3600);
    let worker = stage.worker(config, &network);
    let id = stage.submit("handed", LONG).await;
    eventually("it runs", async || network.begun() == 1).await;
    worker.stop.press();
    worker.stop.press();
    worker.outcome().await.unwrap();
    let task = stage.snapshot(&id).await;
    assert_eq!((task.status, task.releases), (TaskStatus::Pending, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_redis_costs_a_running_task_nothing() {
    let mut stage = Stage::with(RedisServer::start_with_aof()).await;
    let go = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&go);
    let network = Network::new(move |_, _, control| {
        while !gone.load(Ordering::SeqCst) && !control.cancelled() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(finished())
    });
    let mut config = stage.config();
    config.worker_id = Some("w-survivor".into());
    let worker = stage.worker(config, &network);
    let id = stage.submit("survives", LONG).await;
    eventually("it runs", async || network.begun() == 1).await;
    stage.redis.stop();
    eventually("a heartbeat fails", async || {
        logs::said("w-survivor", "a heartbeat failed")
    })
    .await;
    stage.redis.start_again();
    go.store(true, Ordering::SeqCst);
    let task = stage
        .until(&id, "is completed", |task| {
            task.status == TaskStatus::Completed
        })
        .await;
    assert_eq!((task.attempt, network.begun()), (1, 1));
    // The claim loop lives too.
    let next = stage.submit("afterwards", LONG).await;
    stage
        .until(&next, "is completed", |task| {
            task.status == TaskStatus::Completed
        })
        .await;
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_a_task_is_given_up_before_its_lease_ends() {
    let mut stage = Stage::with(RedisServer::start_with_aof()).await;
    let network = Network::new(|number, _, control| {
        if number == 0 {
            work_until_cancelled(control)
        } else {
            Ok(finished())
        }
    });
    let worker = stage.worker(stage.config(), &network);
    let id = stage.submit("given-up", Duration::from_secs(3)).await;
    eventually("it runs", async || network.begun() == 1).await;
    let begun = Instant::now();
    stage.redis.stop();
    eventually("the network is stopped", async || {
        network.stopped.load(Ordering::SeqCst) == 1
    })
    .await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "given up after {:?}",
        begun.elapsed()
    );
    stage.redis.start_again();
    stage
        .until(&id, "is completed by the next attempt", |task| {
            task.status == TaskStatus::Completed
        })
        .await;
    assert_eq!(stage.api.stored().len(), 1);
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_a_redis_that_is_not_there_yet() {
    let mut stage = Stage::with(RedisServer::start_with_aof()).await;
    let id = stage.submit("early", LONG).await;
    stage.redis.stop();
    let network = Network::quick();
    let mut config = stage.config();
    config.worker_id = Some("w-early".into());
    let worker = stage.worker(config, &network);
    eventually("it waits", async || {
        logs::said("w-early", "waiting for Redis")
    })
    .await;
    assert!(!worker.work.is_finished(), "it gave up");
    stage.redis.start_again();
    stage
        .until(&id, "is completed", |task| {
            task.status == TaskStatus::Completed
        })
        .await;
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_redis_still_stops_when_told() {
    let mut stage = Stage::set().await;
    stage.redis.stop();
    let network = Network::quick();
    let worker = stage.worker(stage.config(), &network);
    worker.stop.press();
    worker.outcome().await.unwrap();
}

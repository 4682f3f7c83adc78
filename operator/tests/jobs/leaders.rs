//! One leads, another stands by: what a new leader takes up again, and what it leaves alone.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_writes_nothing_for_what_stands() {
    let stage = Stage::set().await;
    let first = stage.start("a");
    let uid = stage.job("take3", url("https://example.org/take3.flac"));
    until("no pool serves it", || {
        condition(&stage.job_status("take3"), "Queued") == "True/NoPool"
    })
    .await;
    first.end().await;
    let events = stage.cluster.events().len();
    let second = stage.start("b");
    until("the second one asks, too", || {
        stage.api.calls().len() == 2 || stage.cluster.writes().len() > 100
    })
    .await;
    silence(&stage, 3).await;
    assert_eq!(stage.cluster.events().len(), events, "told twice");
    assert_eq!(
        stage.api.calls(),
        [format!("PUT {uid}"), format!("PUT {uid}")]
    );
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_goes_on_from_places_and_workers_that_are_shown() {
    let stage = Stage::set().await;
    stage.pool(
        "gpu",
        json!({ "policy": "Manual", "replicas": 0, "minReplicas": 0, "maxReplicas": 1 }),
    );
    let first = stage.start("a");
    let mut uids = Vec::new();
    for name in ["one", "two", "three"] {
        let uid = stage.job(name, url("https://example.org/a.flac"));
        until("the API has it", || stage.api.row(&uid).is_some()).await;
        let task = NewTask::new(
            TaskId::parse(uid.as_str()).unwrap(),
            "m",
            TaskPayload::default(),
            60_000,
        );
        stage.queue.enqueue(&task).await.unwrap();
        stage
            .api
            .change(&uid, json!({ "queued_at_ms": 1_700_000_000_000_u64 }));
        uids.push(uid);
    }
    let worker = WorkerId::parse("w-1").unwrap();
    let request = ClaimRequest {
        worker: worker.clone(),
        queues: vec![QueueName::default()],
        nonce: ClaimRequest::nonce(),
        held: 0,
        slots: 1,
    };
    let beat = Beat {
        worker,
        state: WorkerState::Busy,
        about: WorkerAbout::default(),
        held: Vec::new(),
        ttl_ms: 600_000,
    };
    stage.queue.heartbeat(&beat).await.unwrap();
    stage.queue.claim(&request).await.unwrap();
    stage
        .api
        .change(&uids[0], json!({ "state": "running", "attempt": 1 }));
    until("the worker, the places and the estimates are shown", || {
        let status = |name: &str| stage.job_status(name);
        status("one")["worker"] == "w-1"
            && status("two")["queuePosition"] == 1
            && status("three")["queuePosition"] == 2
            && !status("three")["estimatedCompletionTime"].is_null()
    })
    .await;
    first.end().await;
    let written = || {
        let writes = stage.cluster.writes();
        writes
            .into_iter()
            .filter(|write| write.contains("transcriptionjobs"))
            .collect::<Vec<_>>()
    };
    let before = written().len();
    let second = stage.start("b");
    until("the second one leads", || {
        stage
            .cluster
            .get("leases", "wtt-operator")
            .is_some_and(|lease| lease["spec"]["holderIdentity"] == "b")
    })
    .await;
    // Longer than the pause between two looks for places.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(written()[before..], [] as [String; 0]);
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_takes_over_soon_and_at_once_after_a_release() {
    let stage = Stage::set().await;
    let first = stage.start_hasty("a");
    let holder = || {
        stage
            .cluster
            .get("leases", "wtt-operator")
            .map(|lease| lease["spec"]["holderIdentity"].clone())
    };
    until("the first one leads", || holder() == Some("a".into())).await;
    let second = stage.start_hasty("b");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(holder(), Some("a".into()), "one leads");
    first.task.abort();
    let waited = until("the second one leads", || holder() == Some("b".into())).await;
    assert!(
        waited < Duration::from_secs(8),
        "{waited:?} with a lease of 5 s"
    );
    let third = stage.start_hasty("c");
    tokio::time::sleep(Duration::from_millis(700)).await;
    let epoch = || {
        stage.cluster.get("leases", "wtt-operator").unwrap()["spec"]["leaseTransitions"]
            .as_i64()
            .unwrap()
    };
    let before = epoch();
    second.end().await;
    let waited = until("the third one leads", || holder() == Some("c".into())).await;
    assert!(
        waited < Duration::from_secs(2),
        "{waited:?} after a release"
    );
    assert!(epoch() > before);
    third.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_renew_ends_and_a_standby_does_not() {
    let stage = Stage::set().await;
    let leader = stage.start_hasty("a");
    until("it leads", || {
        stage.cluster.get("leases", "wtt-operator").is_some()
    })
    .await;
    let standby = stage.start_hasty("b");
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.cluster.down(true);
    let ended = tokio::time::timeout(Duration::from_secs(15), leader.task)
        .await
        .unwrap()
        .unwrap();
    assert!(ended.unwrap_err().to_string().contains("lost the lease"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!standby.task.is_finished());
    stage.cluster.down(false);
    let uid = stage.job("take3", url("https://a.b/1"));
    let waited = until("the standby works", || stage.api.row(&uid).is_some()).await;
    assert!(
        waited < Duration::from_secs(10),
        "{waited:?} after the API server answers again"
    );
    standby.end().await;
}

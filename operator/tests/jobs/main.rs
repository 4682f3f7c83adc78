//! The whole operator with jobs: a fake cluster and a fake API in this process, a real Redis.

mod leaders;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use queue::{
    Beat, ClaimRequest, NewTask, QueueName, TaskId, TaskPayload, WorkerAbout, WorkerId, WorkerState,
};
use serde_json::json;
use support::{Stage, condition, until};

fn url(url: &str) -> serde_json::Value {
    json!({ "source": { "url": url } })
}

/// Nothing is written for so long.
async fn silence(stage: &Stage, seconds: u64) {
    let before = stage.cluster.writes();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = stage.cluster.writes();
    assert_eq!(
        after[before.len()..],
        [] as [String; 0],
        "written although nothing happened"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_its_way_and_the_second_pass_writes_nothing() {
    let stage = Stage::set().await;
    stage.pool(
        "gpu",
        json!({ "policy": "Manual", "replicas": 0, "minReplicas": 0, "maxReplicas": 1 }),
    );
    let running = stage.start("a");
    until("the pool is served", || {
        condition(&stage.pool_status("gpu"), "Ready") == "True/Serving"
    })
    .await;
    until("its queue can be read", || {
        condition(&stage.pool_status("gpu"), "QueueReachable") == "True/Readable"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let uid = stage.job("take3", url("https://example.org/take3.flac"));
    until("the API has it", || stage.api.row(&uid).is_some()).await;
    assert_eq!(stage.api.row(&uid).unwrap()["origin"], "wtt/music");
    until("it is queued", || {
        stage.job_status("take3")["state"] == "Queued"
    })
    .await;
    let status = stage.job_status("take3");
    assert_eq!(condition(&status, "Accepted"), "True/Accepted");
    assert_eq!(condition(&status, "Queued"), "True/Waiting");
    silence(&stage, 3).await;

    stage.api.change(&uid, json!({ "state": "running", "started_at_ms": 1_700_000_000_000_u64, "attempt": 1, "audio_ms": 183_400 }));
    until("it runs", || {
        stage.job_status("take3")["state"] == "Running"
    })
    .await;
    stage.api.change(
        &uid,
        json!({
            "state": "succeeded", "finished_at_ms": k8s_openapi::jiff::Timestamp::now().as_millisecond(),
            "result": { "url": "/api/v1/results/x?sig=y", "sha256": "abc", "notes": 412 },
        }),
    );
    until("it is complete", || {
        condition(&stage.job_status("take3"), "Complete") == "True/Completed"
    })
    .await;
    let status = stage.job_status("take3");
    assert_eq!(status["state"], "Succeeded");
    assert_eq!(
        status["result"],
        json!({ "url": "https://notes.example/api/v1/results/x?sig=y", "sha256": "abc", "noteCount": 412 })
    );
    assert_eq!(status["audio"]["durationSeconds"], 183);
    assert_eq!(status["startTime"], "2023-11-14T22:13:20Z");
    until("the event of its end", || {
        stage
            .cluster
            .events()
            .contains(&"Completed take3".to_owned())
    })
    .await;
    silence(&stage, 3).await;
    assert_eq!(stage.api.calls(), [format!("PUT {uid}")], "asked for once");
    let writes = stage
        .cluster
        .writes()
        .iter()
        .filter(|write| write.contains("take3/status"))
        .count();
    assert!(writes <= 4, "{writes} statuses for four states");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_job_fails_at_once_with_the_reason_and_is_not_asked_for_again() {
    let stage = Stage::set().await;
    stage.api.refuse(Some((422, "model_unknown")));
    let running = stage.start("a");
    stage.job("bad", url("https://example.org/a.flac"));
    until("it failed", || {
        condition(&stage.job_status("bad"), "Failed") == "True/ModelUnknown"
    })
    .await;
    let status = stage.job_status("bad");
    assert_eq!(
        (
            status["state"].as_str(),
            condition(&status, "Accepted").as_str()
        ),
        (Some("Failed"), "False/ModelUnknown")
    );
    assert_eq!(
        status["failure"],
        json!({ "code": "model_unknown", "message": "so says the test" })
    );
    silence(&stage, 2).await;
    assert_eq!(stage.api.calls().len(), 1);
    assert!(
        stage
            .cluster
            .events()
            .contains(&"ModelUnknown bad".to_owned())
    );
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_operator_can_see_is_wrong_is_refused_without_asking() {
    let stage = Stage::set().await;
    let running = stage.start("a");
    stage.job("none", json!({ "source": {} }));
    stage.job(
        "two",
        json!({ "source": { "url": "https://a.b/c", "object": "imports/music/x" } }),
    );
    stage.job(
        "theirs",
        json!({ "source": { "object": "imports/other/x.flac" } }),
    );
    for name in ["none", "two", "theirs"] {
        until(name, || {
            condition(&stage.job_status(name), "Failed") == "True/SourceInvalid"
        })
        .await;
    }
    assert!(stage.api.calls().is_empty());
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_api_is_away_a_job_waits_and_then_goes_on() {
    let stage = Stage::set().await;
    stage.api.refuse(Some((503, "queue_full")));
    let running = stage.start("a");
    stage.job("take3", url("https://example.org/a.flac"));
    until("it says so", || {
        condition(&stage.job_status("take3"), "Accepted") == "Unknown/ApiUnavailable"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let calls = stage.api.calls().len();
    assert!((2..=8).contains(&calls), "{calls} calls in 4 s");
    stage.api.refuse(None);
    until("it is accepted", || {
        condition(&stage.job_status("take3"), "Accepted") == "True/Accepted"
    })
    .await;
    running.end().await;
}

/// Its end is neither a change after the list's first answer nor among what is unfinished then.
#[tokio::test(flavor = "multi_thread")]
async fn what_ended_before_the_first_list_of_changes_is_seen_at_once() {
    let stage = Stage::set().await;
    stage.api.mute(true);
    let running = stage.start("a");
    let uid = stage.job("take3", url("https://example.org/a.flac"));
    until("it is accepted", || {
        condition(&stage.job_status("take3"), "Accepted") == "True/Accepted"
    })
    .await;
    stage.api.change(&uid, json!({ "state": "succeeded", "attempt": 1, "result": { "url": "/r", "sha256": "00", "notes": 3 } }));
    stage.api.mute(false);
    let took = until("it is complete", || {
        stage.job_status("take3")["state"] == "Succeeded"
    })
    .await;
    assert!(took < Duration::from_secs(10), "seen after {took:?}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_job_is_cancelled_and_a_finished_one_is_not() {
    let stage = Stage::set().await;
    let running = stage.start("a");
    let (going, done) = (
        stage.job("going", url("https://a.b/1")),
        stage.job("done", url("https://a.b/2")),
    );
    until("both are queued", || {
        stage.api.row(&going).is_some() && stage.api.row(&done).is_some()
    })
    .await;
    stage.api.change(
        &done,
        json!({ "state": "succeeded", "result": { "url": "u", "sha256": "s", "notes": 1 } }),
    );
    until("one is complete", || {
        stage.job_status("done")["state"] == "Succeeded"
    })
    .await;
    stage.cluster.delete("transcriptionjobs", "going");
    stage.cluster.delete("transcriptionjobs", "done");
    until("the other is cancelled", || {
        stage.api.row(&going).unwrap()["state"] == "cancelled"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let deletes: Vec<String> = stage
        .api
        .calls()
        .into_iter()
        .filter(|call| call.starts_with("DELETE"))
        .collect();
    assert_eq!(deletes, [format!("DELETE {going}?cancelled")]);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_and_resumed() {
    let stage = Stage::set().await;
    let running = stage.start("a");
    let uid = stage.job(
        "take3",
        json!({ "source": { "url": "https://a.b/1" }, "suspend": true }),
    );
    until("it is suspended", || {
        stage.job_status("take3")["state"] == "Suspended"
    })
    .await;
    assert_eq!(stage.api.row(&uid).unwrap()["suspended"], true);
    stage.cluster.change("transcriptionjobs", "take3", |job| {
        job["spec"]["suspend"] = false.into()
    });
    until("it is queued", || {
        stage.job_status("take3")["state"] == "Queued"
    })
    .await;
    assert_eq!(stage.api.row(&uid).unwrap()["suspended"], false);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_is_deleted_when_its_time_is_over() {
    let stage = Stage::set().await;
    let running = stage.start("a");
    let uid = stage.job(
        "take3",
        json!({ "source": { "url": "https://a.b/1" }, "ttlSecondsAfterFinished": 2 }),
    );
    until("it is there", || stage.api.row(&uid).is_some()).await;
    stage.api.change(
        &uid,
        json!({ "state": "failed", "error": { "code": "deadline", "message": "took too long" } }),
    );
    until("it failed", || {
        condition(&stage.job_status("take3"), "Failed") == "True/DeadlineExceeded"
    })
    .await;
    let waited = until("it is deleted", || {
        stage.cluster.get("transcriptionjobs", "take3").is_none()
    })
    .await;
    assert!(waited < Duration::from_secs(6), "{waited:?}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_time_after_the_end_reaches_the_api_and_the_result_s_address() {
    let stage = Stage::set().await;
    let running = stage.start("a");
    let uid = stage.job("take3", url("https://a.b/1"));
    until("it is queued", || {
        stage.job_status("take3")["state"] == "Queued"
    })
    .await;
    let ttl = |seconds: i64| {
        stage.cluster.change("transcriptionjobs", "take3", |job| {
            job["spec"]["ttlSecondsAfterFinished"] = seconds.into();
        });
    };
    let told = || stage.api.row(&uid).unwrap()["ttl_seconds"].as_i64();
    ttl(200_000);
    until("the API knows while it waits", || told() == Some(200_000)).await;

    let result =
        |until: i64| json!({ "url": format!("/r?expires={until}"), "sha256": "s", "notes": 1 });
    stage.api.change(
        &uid,
        json!({ "state": "succeeded", "result": result(200_000) }),
    );
    until("it is complete", || {
        stage.job_status("take3")["state"] == "Succeeded"
    })
    .await;
    let before = stage.job_status("take3");
    // The API signs anew for as long as it is told.
    stage.api.change(&uid, json!({ "result": result(300_000) }));
    ttl(300_000);
    until("the address holds as long as the job", || {
        stage.job_status("take3")["result"]["url"] == "https://notes.example/r?expires=300000"
    })
    .await;
    assert_eq!(told(), Some(300_000));
    let after = stage.job_status("take3");
    assert_eq!(after["conditions"], before["conditions"]);
    assert_eq!(after["completionTime"], before["completionTime"]);
    silence(&stage, 2).await;
    assert_eq!(stage.api.calls().len(), 3, "{:?}", stage.api.calls());
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_pool_is_deleted_goes_on_waiting_and_says_so() {
    let stage = Stage::set().await;
    let scaling = json!({ "policy": "Manual", "replicas": 0, "minReplicas": 0, "maxReplicas": 1 });
    stage.pool("gpu", scaling.clone());
    let running = stage.start("a");
    let uid = stage.job("take3", url("https://a.b/1"));
    until("it waits", || {
        condition(&stage.job_status("take3"), "Queued") == "True/Waiting"
    })
    .await;
    stage.cluster.delete("workerpools", "gpu");
    until("it says that nobody serves it", || {
        condition(&stage.job_status("take3"), "Queued") == "True/NoPool"
    })
    .await;
    until("the event", || {
        stage.cluster.events().contains(&"NoPool take3".to_owned())
    })
    .await;
    assert_eq!(stage.api.row(&uid).unwrap()["state"], "queued", "kept");
    stage.pool("other", scaling);
    until("a new pool takes it", || {
        condition(&stage.job_status("take3"), "Queued") == "True/Waiting"
    })
    .await;
    running.end().await;
}

//! A Redis that takes no writes: no memory left, or no disk. Work that runs can end, nothing new comes in, and whatever is
//! refused is refused whole.

use queue::testing::{RedisServer, Tmpfs};
use queue::*;

use crate::bench::{Bench, difference, until};
use crate::calls::{id, request, task};
use crate::cases::{WhenFull, cases};

#[tokio::test]
async fn without_memory_every_script_is_done_whole_or_refused_whole() {
    let bench = Bench::new().await;
    let (mut wrong, mut refused) = (Vec::new(), 0);
    for case in cases() {
        let what = format!("{} ({})", case.script, case.name);
        bench.wipe().await;
        let stage = (case.prepare)(&bench).await;
        (case.call)(&bench.queue, &stage).await.unwrap();
        let once = bench.dump().await;
        bench.wipe().await;
        let stage = (case.prepare)(&bench).await;
        let before = bench.dump().await;
        bench
            .cmd::<String>(&["CONFIG", "SET", "maxmemory", "1"])
            .await;
        let told = (case.call)(&bench.queue, &stage).await;
        let now = bench.dump().await;
        bench
            .cmd::<String>(&["CONFIG", "SET", "maxmemory", "0"])
            .await;
        let want = match (&told, case.when_full) {
            (Ok(answer), WhenFull::Done) if answer == case.first => &once,
            (Err(error), WhenFull::Refused) if error.is_refused() && !error.is_unavailable() => {
                refused += 1;
                &before
            }
            (other, wanted) => {
                wrong.push(format!("{what}: wanted {wanted:?}, is {other:?}"));
                continue;
            }
        };
        let different = difference(want, &now);
        wrong.extend(
            different
                .into_iter()
                .map(|found| format!("{what}: {found}")),
        );
        // With memory again, the repetition is the one execution.
        if case.when_full == WhenFull::Refused {
            let answer = (case.repeat)(&bench.queue, &stage).await.unwrap();
            assert_eq!(answer, case.first, "{what}");
            let different = difference(&once, &bench.dump().await);
            wrong.extend(
                different
                    .into_iter()
                    .map(|found| format!("{what}: {found}")),
            );
        }
        wrong.extend(
            bench
                .unsound()
                .await
                .map(|found| format!("{what}: {found}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{} rows, {refused} of them refused", cases().len());
}

/// The two ways of refusing every write, from any script, stand at the same place in the server; this one can be switched.
#[tokio::test]
async fn without_writes_every_script_is_refused_whole_and_done_once_afterwards() {
    let bench = Bench::new().await;
    let mut wrong = Vec::new();
    let replicas = async |wanted: &str| {
        let set = ["CONFIG", "SET", "min-replicas-to-write", wanted];
        bench.cmd::<String>(&set).await;
    };
    for case in cases() {
        let what = format!("{} ({})", case.script, case.name);
        bench.wipe().await;
        let stage = (case.prepare)(&bench).await;
        (case.call)(&bench.queue, &stage).await.unwrap();
        let once = bench.dump().await;
        bench.wipe().await;
        let stage = (case.prepare)(&bench).await;
        let before = bench.dump().await;
        replicas("1").await;
        match (case.call)(&bench.queue, &stage).await {
            Err(error) if error.is_refused() && !error.is_unavailable() && !case.reads_only => {}
            Ok(_) if case.reads_only => {}
            other => wrong.push(format!("{what}: is {other:?}")),
        }
        let different = difference(&before, &bench.dump().await);
        wrong.extend(
            different
                .into_iter()
                .map(|found| format!("{what}: {found}")),
        );
        replicas("0").await;
        let answer = (case.repeat)(&bench.queue, &stage).await.unwrap();
        assert_eq!(answer, case.first, "{what}: with writes again");
        let different = difference(&once, &bench.dump().await);
        wrong.extend(
            different
                .into_iter()
                .map(|found| format!("{what}: {found}")),
        );
        wrong.extend(
            bench
                .unsound()
                .await
                .map(|found| format!("{what}: {found}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The snapshot on disk fails, and with it every write.
#[tokio::test]
async fn a_failed_snapshot_refuses_and_a_good_one_lets_work_go_on() {
    let settings = ["--save", "3600 1", "--enable-protected-configs", "yes"];
    let bench = Bench::on(RedisServer::start_with(&settings)).await;
    let gone = tempdir();
    let home = bench.socket().parent().unwrap().to_owned();
    let set_folder = async |folder: &std::path::Path| {
        let set = ["CONFIG", "SET", "dir", folder.to_str().unwrap()];
        bench.cmd::<String>(&set).await;
    };
    bench.queue.enqueue(&task("a")).await.unwrap();
    let before = bench.dump().await;
    std::fs::create_dir_all(&gone).unwrap();
    set_folder(&gone).await;
    std::fs::remove_dir(&gone).unwrap();
    snapshot(&bench, "err").await;
    for refused in [
        bench.queue.enqueue(&task("b")).await.err(),
        bench.queue.claim(&request("w1", 1)).await.err(),
        bench.queue.reap(&ReapOptions::default()).await.err(),
    ] {
        let refused = refused.expect("a refusal");
        assert!(
            refused.is_refused() && !refused.is_unavailable(),
            "{refused}"
        );
    }
    assert_eq!(
        difference(&before, &bench.dump().await),
        Vec::<String>::new()
    );
    set_folder(&home).await;
    snapshot(&bench, "ok").await;
    let answer = bench.queue.claim(&request("w1", 1)).await.unwrap();
    assert!(matches!(answer, ClaimAnswer::Claimed(_)), "{answer:?}");
}

fn tempdir() -> std::path::PathBuf {
    std::env::temp_dir().join(format!(
        "wtt-gone-{}-{:08x}",
        std::process::id(),
        rand::random::<u32>()
    ))
}

/// Has one snapshot made, and waits until it has ended so.
async fn snapshot(bench: &Bench, wanted: &str) {
    until("the server to begin a snapshot", async || {
        let asked = redis::cmd("BGSAVE");
        let mut redis = bench.redis.clone();
        asked.query_async::<redis::Value>(&mut redis).await.ok()
    })
    .await;
    until("the snapshot to end as wanted", async || {
        let info: String = bench.cmd(&["INFO", "persistence"]).await;
        let says = |line: String| info.lines().any(|found| found.trim_end() == line);
        (says("rdb_bgsave_in_progress:0".into())
            && says(format!("rdb_last_bgsave_status:{wanted}")))
        .then_some(())
    })
    .await;
}

/// The append-only file on a full disk.
#[tokio::test]
async fn a_full_disk_under_the_append_only_file_refuses_and_loses_nothing() {
    let Some(disk) = Tmpfs::mount(4 << 20) else {
        println!("skipped: no tmpfs can be mounted here (it takes root)");
        return;
    };
    let folder = disk.path().to_str().unwrap();
    let mut bench = Bench::on(RedisServer::start_with(&[
        "--appendonly",
        "yes",
        "--dir",
        folder,
    ]))
    .await;
    for name in ["a", "b"] {
        bench.queue.enqueue(&task(name)).await.unwrap();
    }
    let answer = bench.queue.claim(&request("w1", 1)).await.unwrap();
    let ClaimAnswer::Claimed(claim) = answer else {
        panic!("no claim")
    };
    disk.fill();
    // The write that finds the disk full was answered before it was written; from then on all are refused.
    let refused = until("a refusal", async || {
        let name = format!("x{:08x}", rand::random::<u32>());
        bench.queue.enqueue(&task(&name)).await.err()
    })
    .await;
    assert!(
        refused.is_refused() && !refused.is_unavailable(),
        "{refused}"
    );
    let before = bench.dump().await;
    let completion = Completion {
        id: claim.id.clone(),
        token: claim.token.clone(),
        result: ResultPointer::default(),
        busy_ms: 1,
        ttl_ms: 60_000,
    };
    for refused in [
        bench.queue.complete(&completion).await.err(),
        bench.queue.claim(&request("w2", 2)).await.err(),
        bench.queue.release(&claim.id, &claim.token).await.err(),
        bench.queue.reap(&ReapOptions::default()).await.err(),
    ] {
        assert!(
            refused.as_ref().is_some_and(Error::is_refused),
            "{refused:?}"
        );
    }
    assert_eq!(
        difference(&before, &bench.dump().await),
        Vec::<String>::new()
    );
    assert_eq!(
        bench.queue.verify(&claim.id, &claim.token).await.unwrap(),
        Verdict::Live,
        "what runs is still its worker's"
    );

    disk.free();
    let done = until("Redis to write again", async || {
        bench.queue.complete(&completion).await.ok()
    })
    .await;
    assert_eq!(done, Completed::Done);
    assert_eq!(bench.unsound().await, None, "with room again");
    let before = bench.dump().await;
    bench.server.stop();
    bench.server.start_again();
    bench = Bench::on_again(bench).await;
    assert_eq!(
        difference(&before, &bench.dump().await),
        Vec::<String>::new(),
        "the file holds everything that was answered"
    );
    assert_eq!(bench.queue.results(9).await.unwrap()[0].id, id("a"));
}

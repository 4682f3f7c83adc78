//! What must not linger or spread: a name after its recording was deleted, a broken row in a list, a broken database file.

use std::time::{Duration, Instant};

use queue::Released;
use serde_json::Value;
use sqlx::Connection;

use crate::app::{Database, TestApp, job_path};
use crate::fake_worker::FakeWorker;
use crate::on_both;

on_both!(a_deleted_recording_is_forgotten_when_its_worker_lets_go);

async fn a_deleted_recording_is_forgotten_when_its_worker_lets_go(database: Database) {
    let app = TestApp::start(database).await;
    let id = app.submit().await;
    let worker = FakeWorker::new(&app);
    let claim = worker.claim().await;
    assert_eq!(app.delete(&job_path(&id)).await.status(), 204);
    let held = async || {
        let found = app.state.queue.snapshots(std::slice::from_ref(&claim.id));
        found.await.unwrap().remove(0).is_some()
    };
    let sweep = async || {
        let now = api::state::now_ms() + 1_000;
        api::loops::sweeper::leftovers(&app.state, now)
            .await
            .unwrap();
    };
    // It runs, so its lease must stand.
    sweep().await;
    assert!(held().await);
    let returned = app.state.queue.release(&claim.id, &claim.token).await;
    assert_eq!(returned.unwrap(), Released::WasCancelled);
    assert!(
        held().await,
        "the hash, and the name in it, outlives the task"
    );
    sweep().await;
    assert!(!held().await);
    // And not again and again.
    let left = app.state.db.list_leftovers(u64::MAX, 10).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_hides_no_other() {
    let app = TestApp::start(Database::Sqlite).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(app.submit().await);
    }
    let file = app.state.config.data_dir.join("whatsthetab.db");
    let mut database = sqlx::AnyConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    for broken in [&ids[4], &ids[2]] {
        sqlx::query("UPDATE transcriptions SET options = '{' WHERE id = $1")
            .bind(broken)
            .execute(&mut database)
            .await
            .unwrap();
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/transcriptions?limit=1".to_owned();
    for _ in 0..10 {
        let answer = app.get(&path).await;
        assert_eq!(answer.status(), 200);
        let page: Value = answer.json().await.unwrap();
        for job in page["data"].as_array().unwrap() {
            seen.push(job["id"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/transcriptions?limit=1&cursor={cursor}");
    }
    assert_eq!(seen, [&*ids[3], &*ids[1], &*ids[0]]);
}

/// Told at once, and once.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_database_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("whatsthetab.db");
    std::fs::write(&file, "Dear diary, this is no database. ".repeat(200)).unwrap();
    let started = Instant::now();
    let error = api::db::Db::open(&format!("sqlite://{}", file.display()))
        .await
        .err()
        .unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let told = format!("{:#}", anyhow::Error::from(error));
    assert_eq!(told.matches("not a database").count(), 1, "{told}");
}

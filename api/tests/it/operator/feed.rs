//! The feed of changes: pages, namespaces, and that nothing is ever skipped, however many write at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::db::{State, Wanted};
use serde_json::{Value, json};

use super::files::Files;
use super::{body, get, start, submit, wait_for};
use crate::app::{Database, TestApp, problem};
use crate::on_both;

on_both!(
    changes_come_in_pages_and_in_order,
    a_reader_skips_nothing_however_many_write,
    uploads_are_nobodys_business,
);

async fn feed(app: &TestApp, query: &str) -> (Vec<Value>, u64) {
    let answer = get(app, &format!("/internal/v1/transcriptions?{query}")).await;
    assert_eq!(answer.status(), 200, "{query}");
    let page: Value = answer.json().await.unwrap();
    let items = page["items"].as_array().unwrap().clone();
    (items, page["next"].as_u64().unwrap())
}

fn ids(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect()
}

async fn changes_come_in_pages_and_in_order(database: Database) {
    let (app, files) = (start(database).await, Files::start().await);
    assert_eq!(feed(&app, "origin=wtt/music").await, (vec![], 0));
    for (uid, origin) in [
        ("a", "wtt/music"),
        ("b", "wtt/other"),
        ("c", "wtt/music"),
        ("d", "else/music"),
    ] {
        let mut body = body(&files.url("/gone.wav"));
        body["origin"] = origin.into();
        submit(&app, uid, &body).await;
        wait_for(&app, uid, "failed").await;
    }
    let (items, head) = feed(&app, "origin=wtt/music").await;
    assert_eq!(ids(&items), ["a", "c"]);
    assert!(items[0]["seq"].as_u64() < items[1]["seq"].as_u64());
    assert_eq!(
        (&items[0]["state"], &items[0]["error"]["code"]),
        (&"failed".into(), &"source_not_found".into())
    );
    // The head counts for everybody, so that the next look begins behind it.
    assert_eq!(
        feed(&app, &format!("origin=wtt/music&after={head}")).await,
        (vec![], head)
    );
    assert_eq!(feed(&app, "origin=wtt/music&limit=0").await, (vec![], head));
    let far = head + 1000;
    assert_eq!(
        feed(&app, &format!("origin=wtt/music&after={far}")).await,
        (vec![], far)
    );
    let (all, _) = feed(&app, "origin=wtt/").await;
    assert_eq!(ids(&all), ["a", "b", "c"]);
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let (items, next) = feed(&app, &format!("origin=wtt/&after={after}&limit=1")).await;
        if items.is_empty() {
            assert_eq!(next, head);
            break;
        }
        seen.extend(items);
        after = next;
    }
    assert_eq!(ids(&seen), ["a", "b", "c"]);
    submit(&app, "e", &body(&files.url("/never.wav"))).await;
    let (active, _) = feed(&app, "origin=wtt/music&active=true").await;
    assert_eq!(ids(&active), ["e"]);
    for bad in [
        "",
        "origin=",
        "origin=wtt",
        "origin=/",
        "origin=wtt/a/b",
        "origin=WTT/a",
        "origin=wtt/a&after=-1",
        "origin=wtt/a&limit=x",
        "origin=wtt/a&colour=red",
    ] {
        let answer = get(&app, &format!("/internal/v1/transcriptions?{bad}")).await;
        problem(answer, 422, "parameter_invalid").await;
    }
}

/// 8 writers insert and end rows, each in a transaction of its own; the reader follows and must end up with the last state of
/// every row. Numbers from a sequence, or taken without the lock, are seen out of order here and fail it.
async fn a_reader_skips_nothing_however_many_write(database: Database) {
    const WRITERS: usize = 8;
    const ROWS: usize = 40;
    let (app, files) = (start(database).await, Files::start().await);
    submit(&app, "pattern", &body(&files.url("/never.wav"))).await;
    let pattern = app.state.db.get("pattern").await.unwrap().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (db, done) = (app.state.db.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let (mut after, mut states) = (0, BTreeMap::new());
            let mut numbers = BTreeSet::new();
            loop {
                // Before the look: what was written until now must be in it.
                let last = done.load(Ordering::SeqCst);
                let page = db
                    .changes(Wanted {
                        origin: "wtt/music",
                        after,
                        limit: 7,
                        active: false,
                    })
                    .await
                    .unwrap();
                let got = page.rows.len();
                for row in page.rows {
                    let seq = row.operated.as_ref().unwrap().seq;
                    assert!(
                        seq > after && seq <= page.next,
                        "{seq} {after} {}",
                        page.next
                    );
                    assert!(numbers.insert(seq), "{seq} twice");
                    states.insert(row.id, row.state);
                }
                assert!(page.next >= after);
                after = page.next;
                if last && got == 0 {
                    return states;
                }
            }
        })
    };
    let writers = (0..WRITERS).map(|writer| {
        let (db, pattern) = (app.state.db.clone(), pattern.clone());
        tokio::spawn(async move {
            for at in 0..ROWS {
                let mut row = pattern.clone();
                row.id = format!("row-{writer}-{at}");
                row.seed_id = (writer * ROWS + at + 1) as i64;
                row.created_at_ms = u64::MAX >> 2;
                assert!(db.insert_asked(&row).await.unwrap());
                assert!(!db.insert_asked(&row).await.unwrap(), "once");
                assert!(
                    db.end_unqueued(&row, State::Cancelled, None, 1, None)
                        .await
                        .unwrap()
                );
                if at % 4 == 0 {
                    db.raise_life(&row.id, 1, 2).await.unwrap().unwrap();
                }
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let states = reader.await.unwrap();
    assert_eq!(states.len(), WRITERS * ROWS + 1);
    for (id, state) in states {
        let wanted = match id.rsplit_once('-') {
            Some((_, at)) if at.parse::<usize>().unwrap() % 4 == 0 => State::Queued,
            Some(_) => State::Cancelled,
            None => State::Created,
        };
        assert_eq!(state, wanted, "{id}");
    }
}

async fn uploads_are_nobodys_business(database: Database) {
    let app = start(database).await;
    let id = app.submit().await;
    app.post(&format!("/api/v1/transcriptions/{id}/cancel"))
        .await;
    app.wait_for(&id, "cancelled").await;
    assert_eq!(app.state.db.last_change().await.unwrap(), 0);
    assert_eq!(app.state.db.get(&id).await.unwrap().unwrap().operated, None);
    let shown = app.show(&id).await;
    assert_eq!(shown["source"]["kind"], "upload");
    assert!(
        shown.get("origin").is_none() && shown.get("suspended").is_none(),
        "{shown}"
    );
    assert_eq!(json!(shown["queue"]), "default");
}

//! Watches Redis from the side: what the queue says about its tasks, who is registered, who holds what, and what is left at the
//! end. It changes nothing but for `fsck`, which mends what it finds.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value as Json;

use crate::ledger::{Ledger, Leftovers, What, now};
use crate::resp::{Connection, Value, once};

const ANSWER: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(250);

pub(crate) type Shared = Rc<RefCell<Ledger>>;

/// Listens to the queue's channels for ever. After a lost connection it looks at every task, since what was said meanwhile is gone.
pub(crate) async fn listen(port: u16, ledger: Shared) {
    loop {
        // An error is a Redis that is away: it will be back.
        let _ = subscribe(port, &ledger).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn subscribe(port: u16, ledger: &Shared) -> anyhow::Result<()> {
    let mut connection = Connection::open(port).await?;
    let channels = [
        "SUBSCRIBE",
        "task:new",
        "task:claimed",
        "task:completed",
        "task:failed",
    ];
    connection.send(&channels).await?;
    for _ in &channels[1..] {
        connection.next().await?;
    }
    catch_up(port, ledger).await?;
    loop {
        let message = connection.next().await?.texts();
        let [_, channel, body] = message.as_slice() else {
            continue;
        };
        let body: Json = serde_json::from_str(body).unwrap_or_default();
        let Some(task) = body["id"].as_str() else {
            continue;
        };
        let what = match channel.as_str() {
            "task:new" if body["lease_lost"].is_u64() || body["released"].is_u64() => What::Back,
            "task:claimed" => What::Claimed {
                worker: body["worker"].as_str().unwrap_or_default().to_owned(),
                attempt: body["attempt"].as_u64().unwrap_or(0),
            },
            "task:completed" => What::Completed,
            "task:failed" => What::Failed,
            _ => continue,
        };
        ledger.borrow_mut().note(task, what);
    }
}

/// Claims and ends that were not heard of, as of now.
async fn catch_up(port: u16, ledger: &Shared) -> anyhow::Result<()> {
    let tasks: Vec<String> = {
        let ledger = ledger.borrow();
        let ended = ledger.ended();
        let known = ledger.events.iter().map(|event| event.task.as_str());
        let mut open: Vec<String> = known
            .filter(|task| !ended.contains(task))
            .map(str::to_owned)
            .collect();
        open.sort();
        open.dedup();
        open
    };
    let mut connection = Connection::open(port).await?;
    for task in tasks {
        let fields = [
            "HMGET",
            &format!("task:{task}"),
            "status",
            "attempt",
            "worker_id",
        ];
        let found = connection.ask(&fields, ANSWER).await?.list();
        let [status, attempt, worker] = found.as_slice() else {
            continue;
        };
        let attempt = attempt.number();
        let mut ledger = ledger.borrow_mut();
        let is_new = attempt > 0 && !ledger.knows(&task, attempt);
        match (status.text(), worker.text()) {
            (Some("processing"), Some(worker)) if is_new => {
                let worker = worker.to_owned();
                ledger.note(&task, What::Claimed { worker, attempt });
            }
            (Some("completed"), _) => ledger.note(&task, What::Completed),
            (Some("failed"), _) => ledger.note(&task, What::Failed),
            _ => {}
        }
    }
    Ok(())
}

/// Notes down each worker when it is registered for the first time: from then on it could take a task.
pub(crate) async fn roll_call(port: u16, ledger: Shared) {
    loop {
        if let Ok(found) = once(port, &["ZRANGE", "worker:index", "0", "-1"]).await {
            let mut ledger = ledger.borrow_mut();
            for worker in found.texts() {
                if !ledger.has_lived(&worker) {
                    ledger.lives_now(&worker, now());
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Every running task with its attempt, by worker.
pub(crate) async fn held(port: u16) -> anyhow::Result<BTreeMap<String, Vec<(String, u64)>>> {
    let mut connection = Connection::open(port).await?;
    let running = connection
        .ask(&["LRANGE", "task:processing", "0", "-1"], ANSWER)
        .await?;
    let mut held: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    for task in running.texts() {
        let fields = ["HMGET", &format!("task:{task}"), "worker_id", "attempt"];
        let found = connection.ask(&fields, ANSWER).await?.list();
        if let [Value::Text(worker), attempt] = found.as_slice() {
            held.entry(worker.clone())
                .or_default()
                .push((task, attempt.number()));
        }
    }
    Ok(held)
}

/// What lies about, and then what fsck finds.
pub(crate) async fn leftovers(port: u16) -> anyhow::Result<Leftovers> {
    let mut connection = Connection::open(port).await?;
    let mut number =
        async |words: &[&str]| anyhow::Ok(connection.ask(words, ANSWER).await?.number());
    let mut left = Leftovers {
        processing: number(&["LLEN", "task:processing"]).await?
            + number(&["ZCARD", "task:processing:time"]).await?,
        outbox: number(&["LLEN", "task:results"]).await?,
        completed: number(&["HGET", "task:stats", "completed"]).await?,
        fenced: number(&["HGET", "task:stats", "fenced"]).await?,
        ..Leftovers::default()
    };
    // A sum at zero leaves no field: each that is there is wrong.
    left.work = number(&["HLEN", "task:work"]).await?;
    left.inflight = number(&["HLEN", "task:inflight"]).await?;
    let config = queue::QueueConfig::new(format!("redis://127.0.0.1:{port}"));
    let found = queue::Queue::connect(&config).await?.fsck().await?;
    left.fsck =
        found.lost + found.ghosts + found.unleased + found.work_drift_ms + found.inflight_drift;
    Ok(left)
}

/// Runs that Redis counted for a task.
pub(crate) async fn attempts(port: u16, task: &str) -> anyhow::Result<u64> {
    Ok(once(port, &["HGET", &format!("task:{task}"), "attempt"])
        .await?
        .number())
}

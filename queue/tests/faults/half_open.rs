//! A connection that stays open while nothing passes any more. Every call on it must end in a time that can be named, and
//! the calls after it must get through where a new connection would.

use std::time::{Duration, Instant};

use queue::*;

use crate::bench::Bench;
use crate::calls::{id, request, task};
use crate::proxy::{Call, Cut, Proxy};

/// What a call may take beyond its own bound on a busy machine.
const SLACK: Duration = Duration::from_secs(2);
/// The client's two attempts to connect, 2 s each, and the pause between them.
const CONNECTING: Duration = Duration::from_millis(4_100);

#[tokio::test]
async fn a_silent_connection_costs_one_time_out_and_is_replaced() {
    let bench = Bench::new().await;
    let proxy = Proxy::before(bench.socket());
    let client = bench.client(proxy.url()).await;
    let bound = QueueConfig::new("").response_timeout;
    let connections = proxy.connections();

    proxy.cut_next(Call::Command("EVALSHA"), Cut::Silent);
    let begun = Instant::now();
    let error = client.enqueue(&task("a")).await.unwrap_err();
    let took = begun.elapsed();
    assert!(error.is_unavailable(), "{error}");
    assert!(
        (bound..bound + SLACK).contains(&took),
        "a call on a silent connection took {took:?}; its bound is {bound:?}"
    );
    // The connection never comes back to life: only another one helps.
    let begun = Instant::now();
    assert_eq!(client.enqueue(&task("a")).await.unwrap(), Enqueued::New);
    assert!(
        begun.elapsed() < bound,
        "the call after it took {:?}",
        begun.elapsed()
    );
    assert_eq!(proxy.connections(), connections + 1);
    println!("silent: {took:?}, then a new connection");
}

#[tokio::test]
async fn many_calls_on_a_silent_connection_make_one_new_one() {
    let bench = Bench::new().await;
    let proxy = Proxy::before(bench.socket());
    let config = QueueConfig {
        response_timeout: Duration::from_millis(300),
        ..QueueConfig::new(proxy.url())
    };
    let client = Queue::connect(&config).await.unwrap();
    let connections = proxy.connections();
    proxy.cut_next(Call::Command("HGETALL"), Cut::Silent);
    let ids = [id("a")];
    let asked = futures::future::join_all((0..20).map(|_| client.snapshots(&ids))).await;
    assert!(
        asked
            .iter()
            .all(|answer| answer.as_ref().is_err_and(Error::is_unavailable))
    );
    let asked = futures::future::join_all((0..20).map(|_| client.snapshots(&ids))).await;
    assert!(asked.iter().all(Result::is_ok), "{asked:?}");
    assert_eq!(proxy.connections(), connections + 1);
}

#[tokio::test]
async fn a_claim_whose_reply_fell_silent_is_brought_by_its_repetition() {
    let bench = Bench::new().await;
    let proxy = Proxy::before(bench.socket());
    let config = QueueConfig {
        response_timeout: Duration::from_millis(300),
        ..QueueConfig::new(proxy.url())
    };
    let client = Queue::connect(&config).await.unwrap();
    client.enqueue(&task("a")).await.unwrap();
    let asked = request("w1", 1);
    assert!(matches!(
        client.claim(&request("w0", 2)).await.unwrap(),
        ClaimAnswer::Claimed(_)
    ));
    client.enqueue(&task("b")).await.unwrap();
    proxy.cut_next(Call::Command("EVALSHA"), Cut::Silent);
    let error = client.claim(&asked).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    let answer = client.claim(&asked).await.unwrap();
    assert!(
        matches!(&answer, ClaimAnswer::Claimed(claim) if claim.id == id("b")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_server_that_takes_connections_and_never_answers_is_unavailable_in_bounded_time() {
    let bench = Bench::new().await;
    let proxy = Proxy::before(bench.socket());
    let client = bench.client(proxy.url()).await;
    let bound = QueueConfig::new("").response_timeout;
    proxy.set_deaf(true);
    proxy.cut_next(Call::Command("PING"), Cut::Silent);
    let (mut longest, begun) = (Duration::ZERO, Instant::now());
    for _ in 0..2 {
        let begun = Instant::now();
        let error = client.ping().await.unwrap_err();
        assert!(error.is_unavailable(), "{error}");
        longest = longest.max(begun.elapsed());
    }
    assert!(
        longest < bound.max(CONNECTING) + SLACK,
        "a call took {longest:?}"
    );
    let error = Queue::connect(&QueueConfig::new(proxy.url()))
        .await
        .unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    println!(
        "deaf: at most {longest:?} a call, {:?} in all",
        begun.elapsed()
    );
    proxy.set_deaf(false);
    crate::bench::until("an answer", async || client.ping().await.ok()).await;
}

//! The stream of hints over a bad wire: it subscribes again by itself, and what was missed is found by asking.

use std::time::{Duration, Instant};

use queue::*;

use crate::bench::Bench;
use crate::calls::{id, request, task};
use crate::proxy::{Call, Cut, Proxy};

/// Ten seconds of silence, three for the answer to a PING, and some for a busy machine.
const NOTICED: Duration = Duration::from_secs(10 + 3 + 7);

async fn next(events: &mut EventStream) -> Event {
    tokio::time::timeout(NOTICED, events.next())
        .await
        .expect("an event")
}

#[tokio::test]
async fn a_subscription_that_is_cut_comes_again() {
    for (cut, first) in [
        (Cut::BeforeRequest, Event::Connected),
        (Cut::AfterRequest, Event::Connected),
        (Cut::HalfReply, Event::Connected),
        // It had its reply, so it says that it was there; then it finds that it is not.
        (Cut::AfterReply, Event::Disconnected),
    ] {
        let bench = Bench::new().await;
        let proxy = Proxy::before(bench.socket());
        let client = bench.client(proxy.url()).await;
        proxy.cut_next(Call::Command("SUBSCRIBE"), cut);
        let mut events = client.events(Interest::NewTasks);
        if first == Event::Disconnected {
            assert_eq!(next(&mut events).await, Event::Connected, "{cut:?}");
            assert_eq!(next(&mut events).await, first, "{cut:?}");
        }
        assert_eq!(next(&mut events).await, Event::Connected, "{cut:?}");
        assert_eq!(proxy.cuts(), 1, "{cut:?}");
        client.enqueue(&task("a")).await.unwrap();
        assert_eq!(
            next(&mut events).await,
            Event::New { id: id("a") },
            "{cut:?}"
        );
    }
}

#[tokio::test]
async fn a_second_subscription_that_is_cut_comes_again_whole() {
    let bench = Bench::new().await;
    let proxy = Proxy::before(bench.socket());
    let client = bench.client(proxy.url()).await;
    proxy.cut_next(Call::Command("PSUBSCRIBE"), Cut::AfterRequest);
    let mut events = client.events(Interest::Everything);
    assert_eq!(next(&mut events).await, Event::Connected);
    assert_eq!(proxy.cuts(), 1);
    client.enqueue(&task("a")).await.unwrap();
    client.claim(&request("w1", 1)).await.unwrap();
    assert_eq!(next(&mut events).await, Event::New { id: id("a") });
    assert_eq!(next(&mut events).await, Event::Claimed { id: id("a") });
}

#[tokio::test]
async fn a_message_that_is_cut_is_lost_and_asking_finds_its_task() {
    for cut in [Cut::AfterRequest, Cut::HalfReply, Cut::AfterReply] {
        let bench = Bench::new().await;
        let proxy = Proxy::before(bench.socket());
        let client = bench.client(proxy.url()).await;
        let mut events = client.events(Interest::NewTasks);
        assert_eq!(next(&mut events).await, Event::Connected);
        proxy.cut_next(Call::Message, cut);
        bench.queue.enqueue(&task("a")).await.unwrap();
        if cut == Cut::AfterReply {
            assert_eq!(next(&mut events).await, Event::New { id: id("a") });
        }
        assert_eq!(next(&mut events).await, Event::Disconnected, "{cut:?}");
        assert_eq!(next(&mut events).await, Event::Connected, "{cut:?}");
        // What a reader does at `Connected`.
        let answer = client.claim(&request("w1", 1)).await.unwrap();
        assert!(
            matches!(&answer, ClaimAnswer::Claimed(claim) if claim.id == id("a")),
            "{cut:?}: {answer:?}"
        );
        bench.queue.enqueue(&task("b")).await.unwrap();
        assert_eq!(
            next(&mut events).await,
            Event::New { id: id("b") },
            "{cut:?}"
        );
    }
}

#[tokio::test]
async fn a_silent_subscription_is_noticed_and_comes_again() {
    let bench = Bench::new().await;
    let proxy = Proxy::before(bench.socket());
    let client = bench.client(proxy.url()).await;
    let mut events = client.events(Interest::NewTasks);
    assert_eq!(next(&mut events).await, Event::Connected);
    proxy.cut_next(Call::Message, Cut::Silent);
    bench.queue.enqueue(&task("a")).await.unwrap();
    let begun = Instant::now();
    assert_eq!(next(&mut events).await, Event::Disconnected);
    println!(
        "a silent subscription was noticed after {:?}",
        begun.elapsed()
    );
    assert_eq!(next(&mut events).await, Event::Connected);
    bench.queue.enqueue(&task("b")).await.unwrap();
    assert_eq!(next(&mut events).await, Event::New { id: id("b") });
}

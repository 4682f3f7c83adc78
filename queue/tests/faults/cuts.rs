//! Every row of the table with the wire cut at each of its places: what the client reports, and that its caller's repetition
//! ends in exactly one execution.

use queue::Queue;

use crate::bench::{Bench, difference, until};
use crate::calls::{Stage, Told};
use crate::cases::{Case, cases, sent};
use crate::proxy::{Call, Cut, Proxy};

/// A call that runs the script, or one that finds that the server has forgotten it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Run,
    Load,
}

const CUTS: [(At, Cut); 9] = [
    (At::Run, Cut::BeforeRequest),
    (At::Run, Cut::AfterRequest),
    (At::Run, Cut::HalfReply),
    (At::Run, Cut::AfterReply),
    (At::Run, Cut::Late),
    (At::Load, Cut::BeforeRequest),
    (At::Load, Cut::AfterRequest),
    (At::Load, Cut::HalfReply),
    (At::Load, Cut::AfterReply),
];

#[tokio::test]
async fn a_connection_cut_anywhere_in_any_script_leaves_exactly_one_execution() {
    let bench = Bench::new().await;
    let proxy = Proxy::before(bench.socket());
    let (mut done, mut wrong) = (0, Vec::new());
    for case in cases() {
        let once = execute_once(&bench, &case).await;
        for (at, cut) in CUTS {
            let what = format!("{} ({}), {at:?} {cut:?}", case.script, case.name);
            let before = proxy.cuts();
            wrong.extend(
                run(&bench, &proxy, &case, at, cut, &once)
                    .await
                    .into_iter()
                    .map(|found| format!("{what}: {found}")),
            );
            assert_eq!(proxy.cuts(), before + 1, "{what}: the wire was not cut");
            done += 1;
        }
    }
    assert!(wrong.is_empty(), "of {done} cuts: {wrong:#?}");
    println!("{done} cuts, {} rows", cases().len());
}

type Keys = std::collections::BTreeMap<String, String>;

/// The keys after one execution without any fault.
async fn execute_once(bench: &Bench, case: &Case) -> Keys {
    bench.wipe().await;
    let stage = (case.prepare)(bench).await;
    let answer = (case.call)(&bench.queue, &stage).await.unwrap();
    assert_eq!(answer, case.first, "{} ({})", case.script, case.name);
    bench.dump().await
}

async fn run(
    bench: &Bench,
    proxy: &Proxy,
    case: &Case,
    at: At,
    cut: Cut,
    once: &Keys,
) -> Vec<String> {
    bench.wipe().await;
    let stage = (case.prepare)(bench).await;
    let client = bench.client(proxy.url()).await;
    let script = sent(case.script);
    let call = match at {
        At::Run => {
            let loaded: String = bench.cmd(&["SCRIPT", "LOAD", &script.text]).await;
            assert_eq!(loaded, script.hash, "{}", case.script);
            Call::Script(script.hash)
        }
        At::Load => {
            bench.cmd::<String>(&["SCRIPT", "FLUSH"]).await;
            Call::Load(script.text)
        }
    };
    let untouched = bench.dump().await;
    proxy.cut_next(call, cut);
    let told = (case.call)(&client, &stage).await;
    let now = bench.dump().await;
    let mut wrong = Vec::new();

    // What the client reports, and what has happened by now.
    let happened =
        at == At::Run && matches!(cut, Cut::AfterRequest | Cut::HalfReply | Cut::AfterReply);
    match &told {
        Ok(answer) if at == At::Run && cut == Cut::AfterReply => {
            expect(&mut wrong, "the answer", case.first, answer);
        }
        Err(error) if error.is_unavailable() && !error.is_refused() => {}
        other => wrong.push(format!("the client reports {other:?}")),
    }
    let want = if happened { once } else { &untouched };
    wrong.extend(
        difference(want, &now)
            .into_iter()
            .map(|found| format!("right after the cut: {found}")),
    );

    // The caller goes on. After a whole reply it has nothing to repeat, but a caller that did not believe it would.
    let again = repeat(&client, case, &stage).await;
    let want = if happened { case.again } else { case.first };
    expect(&mut wrong, "the repetition's answer", want, &again);
    if cut == Cut::Late {
        assert_eq!(proxy.deliver_late().await, 1, "the request was held back");
    }
    let executed_twice = cut == Cut::Late || happened;
    let after = bench.dump().await;
    let moves = if executed_twice { case.moves } else { &[] };
    wrong.extend(
        difference(&without(once, moves), &without(&after, moves))
            .into_iter()
            .map(|found| format!("in the end: {found}")),
    );
    wrong.extend(bench.unsound().await);
    wrong
}

/// As the callers do: until there is an answer. Each failure on the way must be one that asks for that.
async fn repeat(client: &Queue, case: &Case, stage: &Stage) -> String {
    until("an answer", async || {
        let told: Told = (case.repeat)(client, stage).await;
        match told {
            Ok(answer) => Some(answer),
            Err(error) => {
                assert!(error.is_unavailable(), "{}: {error}", case.script);
                None
            }
        }
    })
    .await
}

fn expect(wrong: &mut Vec<String>, what: &str, want: &str, is: &str) {
    if want != is {
        wrong.push(format!("{what}: wanted {want}, is {is}"));
    }
}

/// Without the lines of these fields.
fn without(keys: &Keys, moves: &[(&str, &str)]) -> Keys {
    let moved = |line: &&str| {
        moves
            .iter()
            .any(|(field, _)| line.trim_start().starts_with(&format!("\"{field}\":")))
    };
    keys.iter()
        .map(|(key, value)| {
            let kept: Vec<&str> = value.lines().filter(|line| !moved(line)).collect();
            (key.clone(), kept.join("\n"))
        })
        .collect()
}

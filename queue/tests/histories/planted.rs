//! Bugs planted in the scripts, one at a time, each of which the random histories must find: or they prove nothing. A snippet
//! that is no longer there exactly once fails the test, so the list cannot rot.

use std::sync::Mutex;
use std::time::Instant;

use crate::run::{hunt, hunt_and_shrink, say};
use crate::world::Bug;

const STEPS: usize = 300;
/// A bug that survives so many is not found. Most show within three; the rarest needs fifty or so.
const HISTORIES: u64 = 500;

/// What is wrong, in which file of `scripts/`, the snippet, what it becomes.
const BUGS: &[(&str, &str, &str, &str)] = &[
    (
        "COMPLETE by a stranger",
        "complete",
        "h[2] ~= ARGV[4] or ",
        "",
    ),
    (
        "COMPLETE of a task that is final",
        "complete",
        " or h[1] ~= 'processing'",
        "",
    ),
    ("FAIL by a stranger", "fail", "h[2] ~= ARGV[4] or ", ""),
    (
        "FAIL forgets what it recorded",
        "fail",
        "if h[6] == ARGV[4] then return 3 end",
        "",
    ),
    (
        "FAIL retries without end",
        "fail",
        "and n <= num(h[4], 2)",
        "",
    ),
    (
        "FAIL forgets the parked field",
        "shared",
        "C('HEXISTS', task(id), 'parked') == 1",
        "false",
    ),
    (
        "RELEASE by a stranger",
        "release",
        "h[2] ~= ARGV[4] or ",
        "",
    ),
    (
        "RELEASE forgets what it recorded",
        "release",
        "if h[4] == ARGV[4] then return 3 end",
        "",
    ),
    (
        "RELEASE hands back to the end of the line",
        "release",
        "'RPUSH'",
        "'LPUSH'",
    ),
    (
        "ENQUEUE jumps the queue",
        "enqueue",
        "C('LPUSH', KEYS[",
        "C('RPUSH', KEYS[",
    ),
    (
        "RELEASE keeps the token",
        "release",
        "C('HDEL', KEYS[1], 'token', ",
        "C('HDEL', KEYS[1], ",
    ),
    (
        "HEARTBEAT of a stranger renews",
        "heartbeat",
        " or h[2] ~= ARGV[i + 1]",
        "",
    ),
    (
        "HEARTBEAT renews beyond the limit",
        "heartbeat",
        "now >= num(h[4], now + 1)",
        "false",
    ),
    (
        "PROGRESS of a stranger is stored",
        "progress",
        " or h[2] ~= ARGV[4]",
        "",
    ),
    (
        "CLAIM without a lease",
        "claim",
        "C('ZADD', KEYS[2],",
        "tostring(KEYS[2],",
    ),
    (
        "CLAIM ignores the nonce",
        "claim",
        "string.sub(last_token, -#nonce) == nonce then",
        "false then",
    ),
    (
        "CLAIM counts no attempt",
        "claim",
        "h[7] and I(num(h[7], 0) + 1) or '1'",
        "h[7] or '0'",
    ),
    (
        "CLAIM ignores the drain flags",
        "claim",
        "return {'draining'} end",
        "local _ end",
    ),
    (
        "CLAIM gives more to a worker that runs alone",
        "claim",
        "if last_alone and last_lives() then",
        "if false then",
    ),
    (
        "CLAIM gives what is parked",
        "claim",
        " and not h[4] and",
        " and",
    ),
    (
        "crashed tasks do not run alone",
        "shared",
        "num(h[3], 0) > 0 and 'alone' or ",
        "",
    ),
    (
        "a crash is not counted",
        "shared",
        "num(h[7], 0) + 1",
        "num(h[7], 0)",
    ),
    (
        "innocent tasks are poison",
        "shared",
        "h[9] == '1' or (h[12] and (h[10] or '1') == '1')",
        "true",
    ),
    (
        "strays are not adopted",
        "shared",
        "adopt(now, o.grace)",
        "0",
    ),
    (
        "REAP forgets the task's queue",
        "shared",
        "make_ready(id, 'RPUSH', now)",
        "C('RPUSH', P .. 'task:queue', id)",
    ),
    (
        "REAP saves a cancelled task",
        "shared",
        "if h[3] then",
        "if false then",
    ),
    ("the amnesty spares the dead", "shared", "'(0'", "'-inf'"),
    (
        "a promoted task adds no work",
        "shared",
        "make_ready(id, 'LPUSH', now)",
        "C('HDEL', task(id), 'due'); C('LPUSH', list_of('default', 'normal'), id)",
    ),
    (
        "in flight is not decremented",
        "ending",
        "bump('task:inflight', queue, '-1')",
        "bump('task:inflight', queue, '0')",
    ),
    (
        "a final task stays counted",
        "ending",
        ", 'counted', ''",
        "",
    ),
    (
        "a final state without an outbox entry",
        "shared",
        "C('LPUSH', P .. 'task:results',",
        "tostring(P .. 'task:results',",
    ),
    (
        "outbox numbers do not rise",
        "shared",
        "C('INCR', P .. 'task:seq')",
        "7",
    ),
    (
        "cancelled tasks are dead letters",
        "shared",
        "done or asked_for(kind)",
        "done",
    ),
    (
        "epochs are not compared",
        "shared",
        "tonumber(epoch) < known",
        "false",
    ),
    (
        "ENQUEUE begins a known task again",
        "enqueue",
        "C('EXISTS', KEYS[1]) == 1",
        "false",
    ),
    (
        "CANCEL leaves the id in its list",
        "cancel",
        "unqueue(id)",
        "",
    ),
    ("PARK leaves the id in its list", "park", "unqueue(id)", ""),
    (
        "UNPARK does not push",
        "unpark",
        "make_ready(id, 'RPUSH', now)",
        "",
    ),
    (
        "REPLAY leaves the dead letter",
        "replay",
        "C('LREM', KEYS[2], 0, id)",
        "",
    ),
    (
        "REPLAY does not raise the life",
        "replay",
        "'life', I(life)",
        "'life', I(current)",
    ),
    ("REPLAY keeps the crashes", "replay", "'crashes', 0, ", ""),
    (
        "EXPIRE_WORKER ends nothing",
        "expire_worker",
        "C('ZADD', KEYS[2], 0, id)",
        "tostring(id)",
    ),
    (
        "ACK_RESULTS takes more than was stored",
        "ack_results",
        "number > top",
        "false",
    ),
];

/// What caught it, or why that does not count.
fn look_for(
    bug: &(&str, &'static str, &'static str, &'static str),
    seed: u64,
) -> Result<String, String> {
    let (name, file, from, to) = *bug;
    let begun = Instant::now();
    let (steps, found) = hunt(Bug { file, from, to }, seed, HISTORIES, STEPS);
    let seconds = begun.elapsed().as_secs_f64();
    match found {
        // A script that does not even run proves nothing about the histories.
        Some(violation) if violation.rule == "error" => Err(format!("{name}: {}", violation.what)),
        Some(violation) => Ok(format!(
            "{name}: {} after {steps} steps, {seconds:.2} s",
            violation.rule
        )),
        None => Err(format!(
            "{name}: not found in {steps} steps, {seconds:.2} s"
        )),
    }
}

#[test]
fn every_planted_bug_is_found() {
    let seed = crate::seed();
    let begun = Instant::now();
    let (next, found) = (Mutex::new(BUGS.iter()), Mutex::new(vec![]));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let bug = next.lock().ok().and_then(|mut bugs| bugs.next());
                    let Some(bug) = bug else { return };
                    let result = look_for(bug, seed);
                    if let Ok(mut all) = found.lock() {
                        all.push(result);
                    }
                }
            });
        }
    });
    let all = found.into_inner().unwrap();
    let (caught, missed): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    for text in caught.iter().flatten() {
        say(text);
    }
    say(&format!(
        "{} of {} planted bugs found from QUEUE_TEST_SEED={seed} in {:.1} s",
        caught.len(),
        BUGS.len(),
        begun.elapsed().as_secs_f64()
    ));
    let missed: Vec<String> = missed.into_iter().filter_map(Result::err).collect();
    assert!(missed.is_empty(), "not found:\n{}", missed.join("\n"));
    assert_eq!(caught.len(), BUGS.len(), "a hunt ended by a panic");
}

#[test]
fn a_failing_history_becomes_small_and_can_be_repeated() {
    let seed = crate::seed();
    let bug = Bug {
        file: "claim",
        from: "C('ZADD', KEYS[2],",
        to: "tostring(KEYS[2],",
    };
    let first = hunt_and_shrink(bug, seed, STEPS).expect("a claim without a lease");
    assert_eq!(first.violation.rule, "S2", "{}", first.text());
    // A task, and its claim.
    assert_eq!(first.plan.steps.len(), 2, "{}", first.text());
    assert_eq!(first.whole, STEPS);
    assert!(!first.story.is_empty());
    let again = hunt_and_shrink(bug, seed, STEPS).expect("the same history");
    assert_eq!(first.text(), again.text());
}

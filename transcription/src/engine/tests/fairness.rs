//! Whose turn it is: songs of one network share its rows, and networks share the device.

use std::time::Duration;

use super::rig::{Numbers, Rig, Script, outcome};
use crate::engine::lane::Shared;

#[test]
fn a_short_song_is_not_kept_waiting_by_a_long_one() {
    let mut rig = Rig::new(Script::default(), "");
    let long = rig.submit(Numbers::new(0, 400, false));
    // All of it is ready when the device begins.
    let short = rig.submit(Numbers::new(10_000, 8, false));
    rig.go();
    outcome(short).unwrap();
    outcome(long).unwrap();
    let batches = rig.batches.lock().unwrap();
    let last = batches
        .iter()
        .rposition(|batch| batch.iter().any(|row| row.song == 1));
    // Six rows a batch, half of them the short one's.
    assert_eq!(last, Some(2), "{:?}", &batches[..4]);
    let first = &batches[0];
    assert_eq!(first.iter().filter(|row| row.song == 1).count(), 3);
}

#[test]
fn a_network_that_always_has_another_row_lets_the_others_in() {
    let scripts = [
        Script {
            greedy: true,
            ..Script::default()
        },
        Script::default(),
    ];
    let shared = Shared {
        quantum: Duration::from_millis(20),
        ..Shared::default()
    };
    let mut rig = Rig::of(&scripts, "", shared);
    // Never done: only a cancel ends it.
    let endless = rig.submit_to(0, Numbers::new(0, u64::MAX / 2, false));
    let other = rig.submit_to(1, Numbers::new(1 << 50, 30, false));
    rig.go();
    assert_eq!(outcome(other).unwrap().len(), 30);
    endless.cancel.cancel();
    assert_eq!(outcome(endless), Err("cancelled"));
}

#[test]
fn what_nobody_wants_any_more_is_not_ready() {
    let rig = Rig::new(Script::default(), "");
    let lane = &rig.lanes[0];
    let first = rig.submit(Numbers::new(0, 100, false));
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !lane.has_ready() {
        assert!(std::time::Instant::now() < end);
        std::thread::yield_now();
    }
    first.cancel.cancel();
    // The device's thread must sleep, not turn in circles, even before the song has left.
    assert!(!lane.has_ready());
}

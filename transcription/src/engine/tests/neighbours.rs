//! What a song comes to must not depend on its neighbours: under parity not in a bit, and never in whether it ends well.

use super::rig::{Numbers, Rig, Script, outcome};

const MIXING: Script = Script {
    mixes: true,
    poison: None,
    greedy: false,
};

fn alone(script: Script, numbers: Numbers) -> Vec<(u64, u64)> {
    let rig = Rig::new(script, "");
    let song = rig.submit(numbers);
    let mut rig = rig;
    rig.go();
    outcome(song).unwrap()
}

#[test]
fn under_parity_a_songs_bits_are_the_same_alone_and_beside_others() {
    let mine = Numbers::new(1000, 42, true);
    let expected = alone(MIXING, mine);
    let mut rig = Rig::new(MIXING, "");
    let others: Vec<_> = (0..5)
        .map(|other| {
            rig.submit(Numbers::new(
                10_000 * (other + 1),
                30 + other,
                other % 2 == 0,
            ))
        })
        .collect();
    let song = rig.submit(mine);
    rig.go();
    assert_eq!(outcome(song).unwrap(), expected);
    others.into_iter().for_each(|other| {
        outcome(other).unwrap();
    });
    // This network mixes its rows, so the test can fail: some batch of the songs without parity held several.
    let batches = rig.batches.lock().unwrap().clone();
    let mixed =
        |batch: &&Vec<crate::network::Ticket>| batch.iter().any(|row| row.song != batch[0].song);
    assert!(batches.iter().any(|batch| mixed(&batch)), "{batches:?}");
    // And each group holds the same rows in the same places: it begins at a multiple of its size.
    let groups = batches.iter().filter(|batch| batch[0].song == 5);
    for group in groups {
        assert!(group.iter().all(|row| row.song == 5), "{group:?}");
        let from = group[0].index;
        assert!(from.is_multiple_of(4), "{group:?}");
        let indices: Vec<usize> = group.iter().map(|row| row.index).collect();
        assert_eq!(indices, (from..42.min(from + 4)).collect::<Vec<_>>());
    }
}

#[test]
fn what_decoding_asks_for_disturbs_no_group() {
    let mine = Numbers {
        asks_every: Some(3),
        ..Numbers::new(1000, 41, true)
    };
    let expected = alone(MIXING, mine);
    assert_eq!(expected.len(), 41 + 13);
    for _ in 0..5 {
        let mut rig = Rig::new(MIXING, "");
        let other = rig.submit(Numbers::new(7, 60, false));
        let song = rig.submit(mine);
        rig.go();
        assert_eq!(outcome(song).unwrap(), expected);
        outcome(other).unwrap();
    }
}

#[test]
fn memory_that_runs_out_for_a_moment_changes_nothing() {
    for parity in [true, false] {
        let script = Script {
            mixes: parity,
            ..Script::default()
        };
        let songs: Vec<Numbers> = (1..4)
            .map(|song| Numbers::new(song * 1000, 20 + song, parity))
            .collect();
        let expected: Vec<_> = songs.iter().map(|song| Ok(alone(script, *song))).collect();
        let mut rig = Rig::new(script, "oom@2,oom@3,oom@9");
        let running: Vec<_> = songs.iter().map(|song| rig.submit(*song)).collect();
        rig.go();
        let got: Vec<_> = running.into_iter().map(outcome).collect();
        assert_eq!(got, expected, "parity {parity}");
    }
}

#[test]
fn a_song_that_no_memory_suffices_for_fails_alone() {
    for parity in [true, false] {
        let script = Script {
            mixes: parity,
            poison: Some((2013, "CUDA out of memory")),
            ..Script::default()
        };
        let songs = [1000, 2000, 3000].map(|first| Numbers::new(first, 25, parity));
        let healthy = Script {
            poison: None,
            ..script
        };
        let expected = songs.map(|song| alone(healthy, song));
        let mut rig = Rig::new(script, "");
        let running = songs.map(|song| rig.submit(song));
        rig.go();
        let got = running.map(outcome);
        assert_eq!(got[1], Err("out_of_memory"), "parity {parity}");
        assert_eq!(got[0].as_ref(), Ok(&expected[0]), "parity {parity}");
        assert_eq!(got[2].as_ref(), Ok(&expected[2]), "parity {parity}");
    }
}

#[test]
fn an_exception_is_the_failure_of_the_song_that_causes_it() {
    for parity in [true, false] {
        let script = Script {
            mixes: parity,
            poison: Some((2013, "the sizes do not match")),
            ..Script::default()
        };
        let healthy = Script {
            poison: None,
            ..script
        };
        let songs = [1000, 2000, 3000].map(|first| Numbers::new(first, 25, parity));
        let expected = songs.map(|song| alone(healthy, song));
        let mut rig = Rig::new(script, "");
        let running = songs.map(|song| rig.submit(song));
        rig.go();
        let got = running.map(outcome);
        assert_eq!(got[1], Err("internal"));
        assert_eq!(got[0].as_ref(), Ok(&expected[0]));
        assert_eq!(got[2].as_ref(), Ok(&expected[2]));
    }
}

#[test]
fn a_broken_recording_and_a_cancel_in_the_middle_change_nothing() {
    let songs = [1000, 3000].map(|first| Numbers::new(first, 40, true));
    let expected = songs.map(|song| alone(MIXING, song));
    let mut rig = Rig::new(MIXING, "");
    let first = rig.submit(songs[0]);
    let broken = rig.submit(Numbers {
        broken_at: Some(9),
        ..Numbers::new(5000, 40, true)
    });
    let cancelled = rig.submit(Numbers::new(7000, 1_000_000, true));
    let second = rig.submit(songs[1]);
    rig.go();
    // It runs when it has shown a step.
    let runs = cancelled.events.iter().find(|event| {
        matches!(event, crate::SongEvent::Progress { stage: crate::Stage::Inference, current, .. } if *current >= 4)
    });
    assert!(runs.is_some());
    cancelled.cancel.cancel();
    assert_eq!(outcome(cancelled), Err("cancelled"));
    assert_eq!(outcome(broken), Err("audio_undecodable"));
    assert_eq!(outcome(first).unwrap(), expected[0]);
    assert_eq!(outcome(second).unwrap(), expected[1]);
}

#[test]
fn after_a_sticky_error_every_song_is_told_that_the_device_is_gone() {
    let mut rig = Rig::new(MIXING, "sticky@3");
    let songs: Vec<_> = (0..3)
        .map(|song| rig.submit(Numbers::new(song * 1000, 50, false)))
        .collect();
    rig.go();
    for song in songs {
        match song.events.into_iter().last() {
            Some(crate::SongEvent::Done(Err(error))) => assert!(error.poisons_device(), "{error}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(!rig.shared.bell.healthy());
}

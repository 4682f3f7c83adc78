//! The engine from outside: songs in, events out, and how it answers what goes wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::Cursor;

use audio::Limits;
use serde_json::{Map, Value, json};
use transcription::{Engine, Error, Finished, Song, SongEvent};

fn song(bytes: Vec<u8>, options: Value) -> Song {
    let Value::Object(options) = options else {
        panic!("options are an object")
    };
    Song {
        source: Box::new(Cursor::new(bytes)),
        extension: None,
        model: "basic-pitch".into(),
        options,
        limits: Limits::default(),
        parity: true,
    }
}

fn fixture_song(name: &str) -> Song {
    let folder = common::fixture(name);
    let file = ["audio.wav", "audio.flac"]
        .iter()
        .map(|name| folder.join(name))
        .find(|file| file.is_file())
        .unwrap();
    song(fs_err::read(file).unwrap(), json!({}))
}

/// Follows a song to its end; checks on the way that progress never falls and `Done` is the last word.
fn finish(engine: &Engine, song: Song) -> Result<Box<Finished>, Error> {
    let submission = engine.submit(song);
    let mut seen = 0;
    let mut outcome = None;
    for event in submission.events {
        assert!(outcome.is_none(), "an event after the end: {event:?}");
        match event {
            SongEvent::Progress {
                stage: transcription::Stage::Inference,
                current,
                total,
            } => {
                assert!(current >= seen, "{current} after {seen}");
                assert!(total.is_none_or(|total| total >= current));
                seen = current;
            }
            SongEvent::Progress { .. } => {}
            SongEvent::Done(result) => outcome = Some(result),
        }
    }
    outcome.expect("a song without an end")
}

fn package_note_count(name: &str) -> usize {
    let notes: Value =
        serde_json::from_slice(&fs_err::read(common::fixture(name).join("notes.json")).unwrap())
            .unwrap();
    notes["notes"].as_array().unwrap().len()
}

#[test]
fn several_songs_at_once_each_get_their_own_notes() {
    let engine = common::engine();
    let names = ["piano", "telephone", "three-hops-22k05", "piano"];
    let songs: Vec<_> = names
        .iter()
        .map(|name| engine.submit(fixture_song(name)))
        .collect();
    for (name, submission) in names.iter().zip(songs) {
        let finished = submission.events.iter().find_map(|event| match event {
            SongEvent::Done(result) => Some(result.unwrap()),
            SongEvent::Progress { .. } => None,
        });
        assert_eq!(
            finished.unwrap().transcript.notes.len(),
            package_note_count(name),
            "{name}"
        );
    }
}

#[test]
fn busy_time_never_sums_to_more_than_wall_time() {
    let engine = common::engine();
    let started = std::time::Instant::now();
    let songs: Vec<_> = (0..3)
        .map(|_| engine.submit(fixture_song("piano")))
        .collect();
    let busy: std::time::Duration = songs
        .into_iter()
        .map(|song| match song.events.iter().last() {
            Some(SongEvent::Done(Ok(finished))) => finished.busy,
            other => panic!("{other:?}"),
        })
        .sum();
    assert!(busy <= started.elapsed(), "{busy:?}");
    assert!(!busy.is_zero());
}

#[test]
fn the_transcript_says_how_it_came_to_be() {
    let finished = finish(&common::engine(), fixture_song("short-half-second")).unwrap();
    let provenance = &finished.transcript.provenance;
    assert_eq!(provenance["model"]["name"], "basic-pitch");
    assert_eq!(
        provenance["model"]["digest"],
        finished.model_digest.as_str()
    );
    assert_eq!(provenance["profile"], "parity");
    assert_eq!(provenance["options"]["onset_threshold"], 0.5);
    assert!((finished.audio_seconds - 0.5).abs() < 1e-6);
    assert_eq!(finished.transcript.notes.len(), 1);
}

#[test]
fn the_default_keeps_the_tail_that_the_package_loses() {
    let mut whole = fixture_song("last-note-22k05");
    whole.parity = false;
    let engine = common::engine();
    let whole = finish(&engine, whole).unwrap().transcript.notes;
    let package = finish(&engine, fixture_song("last-note-22k05"))
        .unwrap()
        .transcript
        .notes;
    let end = |notes: &[music::Note]| notes.iter().map(|note| note.offset).fold(0.0, f64::max);
    assert!(
        end(&whole) >= end(&package),
        "{} and {}",
        end(&whole),
        end(&package)
    );
}

#[test]
fn silence_succeeds_with_a_warning() {
    let finished = finish(&common::engine(), fixture_song("silence")).unwrap();
    assert!(finished.transcript.notes.is_empty());
    assert!(
        finished
            .warnings
            .iter()
            .any(|warning| warning.contains("silent")),
        "{:?}",
        finished.warnings
    );
}

#[test]
fn bad_songs_fail_by_code_and_hurt_no_neighbour() {
    let engine = common::engine();
    let good = engine.submit(fixture_song("piano"));
    for (bytes, code) in [
        (b"just some words, no music".to_vec(), "audio_undecodable"),
        (Vec::new(), "audio_empty"),
    ] {
        let error = finish(&engine, song(bytes, json!({}))).unwrap_err();
        assert_eq!((error.code(), error.retryable()), (code, false), "{error}");
    }
    let error = finish(&engine, song(Vec::new(), json!({"onset_threshold": 7}))).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("options_invalid", "input"));
    let unknown = Song {
        model: "mp3-to-gold".into(),
        ..fixture_song("piano")
    };
    assert_eq!(
        finish(&engine, unknown).unwrap_err().code(),
        "model_unavailable"
    );
    assert!(matches!(
        good.events.iter().last(),
        Some(SongEvent::Done(Ok(_)))
    ));
    assert!(engine.healthy());
}

#[test]
fn a_song_over_the_limit_ends_while_it_is_read() {
    let limits = Limits {
        max_seconds: Some(2.0),
        ..Limits::default()
    };
    let error = finish(
        &common::engine(),
        Song {
            limits,
            ..fixture_song("piano")
        },
    )
    .unwrap_err();
    assert_eq!(error.code(), "audio_too_long");
}

#[test]
fn a_cancelled_song_ends_as_cancelled() {
    let engine = common::engine();
    let submission = engine.submit(fixture_song("piano"));
    submission.cancel.cancel();
    match submission.events.iter().last() {
        Some(SongEvent::Done(Err(Error::Cancelled))) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_model_is_said_with_its_cure() {
    let empty = tempfile::tempdir().unwrap();
    let models = transcription::registry::Store::new(empty.path());
    let engine = Engine::start(transcription::EngineConfig::new(models)).unwrap();
    let error = finish(
        &engine,
        Song {
            options: Map::new(),
            ..fixture_song("piano")
        },
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("wtt models pull basic-pitch"),
        "{error}"
    );
}

#[test]
fn songs_left_behind_by_a_dropped_engine_are_told() {
    let engine = common::engine();
    let submission = engine.submit(fixture_song("piano"));
    drop(engine);
    assert!(matches!(
        submission.events.iter().last(),
        Some(SongEvent::Done(_))
    ));
}

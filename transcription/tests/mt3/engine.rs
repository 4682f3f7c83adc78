//! MT3 in the engine: songs that share rows, what one song's trouble means for the others, options, and weights that were installed.

use std::io::Cursor;
use std::sync::Mutex;

use serde_json::{Value, json};
use transcription::mt3::Profile;
use transcription::registry::{Brought, Store};
use transcription::{Engine, EngineConfig, Error, Finished, Song, SongEvent, Submission};

use super::file;

/// The sizes, with shorter segments of tokens: random networks seldom end by themselves.
fn config() -> String {
    super::config().replacen(
        "\"max_decoder_length\": 1024",
        "\"max_decoder_length\": 100",
        1,
    )
}

fn store() -> Store {
    Store::new("nowhere").with_mt3(Brought {
        file: file("weights.safetensors"),
        config: Some(config()),
        profile: Some(Profile::Seed),
    })
}

fn engine(faults: &str) -> Engine {
    let mut config = EngineConfig::new(store());
    config.faults = faults.parse().unwrap();
    Engine::start(config).unwrap()
}

/// The recording so many times over, at 16 kHz in 16 bits; `shift` leaves samples out in front, which makes it another one.
fn wav(times: usize, shift: usize) -> Vec<u8> {
    let whole = fs_err::read(file("audio.wav")).unwrap();
    let samples = whole[44..].repeat(times)[2 * shift..].to_vec();
    let mut wav = whole[..44].to_vec();
    let size = u32::try_from(samples.len()).unwrap();
    wav[4..8].copy_from_slice(&(size + 36).to_le_bytes());
    wav[40..44].copy_from_slice(&size.to_le_bytes());
    wav.extend(samples);
    wav
}

fn song(wav: Vec<u8>, parity: bool, options: Value) -> Song {
    let Value::Object(options) = options else {
        panic!("options are an object")
    };
    Song {
        source: Box::new(Cursor::new(wav)),
        extension: None,
        model: "mt3".into(),
        options,
        limits: audio::Limits::default(),
        parity,
    }
}

fn end(submission: Submission) -> Result<Box<Finished>, Error> {
    let mut seen = 0;
    for event in submission.events {
        match event {
            SongEvent::Progress {
                stage: transcription::Stage::Inference,
                current,
                ..
            } => {
                assert!(current >= seen, "{current} after {seen}");
                seen = current;
            }
            SongEvent::Progress { .. } => {}
            SongEvent::Done(result) => return result,
        }
    }
    panic!("a song without an end")
}

fn notes(engine: &Engine, song: Song) -> Vec<music::Note> {
    end(engine.submit(song)).unwrap().transcript.notes
}

#[test]
fn songs_share_the_rows_and_each_gets_the_notes_that_it_has_alone() {
    let engine = engine("");
    let shifts: Vec<usize> = (0..10).map(|number| number * 700).collect();
    let alone: Vec<_> = shifts
        .iter()
        .map(|shift| notes(&engine, song(wav(1, *shift), false, json!({}))))
        .collect();
    assert!(alone.iter().any(|notes| !notes.is_empty()));
    // More segments than rows, before the ten short ones come.
    let long = engine.submit(song(wav(30, 0), false, json!({})));
    let short: Vec<_> = shifts
        .iter()
        .map(|shift| engine.submit(song(wav(1, *shift), false, json!({}))))
        .collect();
    let order = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let order = &order;
        scope.spawn(move || {
            end(long).unwrap();
            order.lock().unwrap().push(None);
        });
        for (number, submission) in short.into_iter().enumerate() {
            let alone = &alone[number];
            scope.spawn(move || {
                assert_eq!(
                    end(submission).unwrap().transcript.notes,
                    *alone,
                    "song {number}"
                );
                order.lock().unwrap().push(Some(number));
            });
        }
    });
    assert_eq!(
        order.lock().unwrap().last(),
        Some(&None),
        "the long song held up a short one"
    );
}

#[test]
fn under_parity_neighbours_change_no_bit() {
    let engine = engine("");
    let alone: Vec<_> = [0, 500]
        .iter()
        .map(|shift| notes(&engine, song(wav(2, *shift), true, json!({}))))
        .collect();
    let others: Vec<_> = (0..4)
        .map(|number| engine.submit(song(wav(3, number * 900), number % 2 == 0, json!({}))))
        .collect();
    let again: Vec<_> = [0, 500]
        .iter()
        .map(|shift| engine.submit(song(wav(2, *shift), true, json!({}))))
        .collect();
    for (submission, alone) in again.into_iter().zip(alone) {
        assert_eq!(end(submission).unwrap().transcript.notes, alone);
    }
    others.into_iter().for_each(|other| {
        end(other).unwrap();
    });
}

#[test]
fn trouble_on_the_device_and_bad_neighbours_change_no_notes() {
    let calm = engine("");
    let expected: Vec<_> = [0, 700, 1_400]
        .iter()
        .map(|shift| notes(&calm, song(wav(3, *shift), false, json!({}))))
        .collect();
    for faults in ["oom@1", "oom@40,oom@90", "error@60"] {
        let engine = engine(faults);
        let mut songs: Vec<_> = [0, 700, 1_400]
            .iter()
            .map(|shift| engine.submit(song(wav(3, *shift), false, json!({}))))
            .collect();
        let cancelled = engine.submit(song(wav(30, 0), false, json!({})));
        let broken = engine.submit(song(b"RIFF and then nothing".to_vec(), false, json!({})));
        assert_eq!(end(broken).unwrap_err().kind(), "decode");
        for (number, submission) in songs.drain(..).enumerate() {
            assert_eq!(
                end(submission).unwrap().transcript.notes,
                expected[number],
                "song {number} with {faults}"
            );
            cancelled.cancel.cancel();
        }
        assert!(matches!(end(cancelled), Err(Error::Cancelled)));
        assert!(engine.healthy());
    }
}

#[test]
fn options_hold_and_tell_themselves() {
    let engine = engine("");
    let with = |options: Value| end(engine.submit(song(wav(2, 0), false, options))).unwrap();
    let all = with(json!({}));
    let kinds = |finished: &Finished, drums: bool| {
        let notes = finished.transcript.notes.iter();
        notes.filter(|note| note.is_drum == drums).count()
    };
    assert!(!all.transcript.notes.is_empty());
    assert_eq!(all.transcript.provenance["options"]["profile"], "seed");
    let drums = with(json!({"instruments": "drums"}));
    let few = with(json!({"instruments": "bass,100-101"}));
    assert_eq!(kinds(&few, true), 0);
    // Before any program was said it is zero, whatever is allowed.
    let allowed = |note: &music::Note| {
        (32..40).contains(&note.program) || [0, 100, 101].contains(&note.program)
    };
    assert!(few.transcript.notes.iter().all(allowed));
    assert!(
        drums
            .transcript
            .notes
            .iter()
            .all(|note| note.is_drum || note.program == 0)
    );
    let steady = with(json!({"stable_programs": true}));
    let mut families = std::collections::HashMap::new();
    for note in steady.transcript.notes.iter().filter(|note| !note.is_drum) {
        assert_eq!(
            *families.entry(note.program / 8).or_insert(note.program),
            note.program
        );
    }
    let long = with(json!({"minimum_note_length": 200}));
    assert!(kinds(&long, false) <= kinds(&all, false));
    assert_eq!(kinds(&long, true), kinds(&all, true));
    // As a file: programs, and drums where drums belong.
    let read = music::midi::read(&transcription::midi(&all.transcript)).unwrap();
    let programs = |notes: &[music::Note]| -> std::collections::BTreeSet<(bool, u8)> {
        notes
            .iter()
            .map(|note| (note.is_drum, note.program))
            .collect()
    };
    assert_eq!(programs(&read), programs(&all.transcript.notes));
}

#[test]
fn weights_are_installed_once_and_known_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let missing = store.installed("mt3").unwrap_err();
    assert!(
        missing.to_string().contains("wtt models pull mt3"),
        "{missing}"
    );
    store
        .install_mt3(&Brought {
            file: file("checkpoint.pt"),
            config: Some(config()),
            profile: Some(Profile::Seed),
        })
        .unwrap();
    assert!(
        store
            .list()
            .iter()
            .any(|model| model.name == "mt3" && model.installed)
    );
    let installed = Engine::start(EngineConfig::new(store.clone())).unwrap();
    let brought = engine("");
    let of = |engine: &Engine| notes(engine, song(wav(1, 0), false, json!({})));
    assert_eq!(of(&installed), of(&brought));
    // Other bytes are other weights.
    let path = store.installed("mt3").unwrap().file;
    let mut bytes = fs_err::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs_err::write(&path, bytes).unwrap();
    let damaged = Store::new(folder.path()).installed("mt3").unwrap_err();
    assert!(matches!(damaged, Error::ModelDamaged { .. }), "{damaged}");
}

#[test]
fn a_recording_shorter_than_a_window_has_no_notes_and_says_why() {
    let mut short = wav(1, 0);
    short.truncate(44 + 2 * 1_000);
    short[4..8].copy_from_slice(&(2_000u32 + 36).to_le_bytes());
    short[40..44].copy_from_slice(&2_000u32.to_le_bytes());
    let finished = end(engine("").submit(song(short, false, json!({})))).unwrap();
    assert!(finished.transcript.notes.is_empty());
    assert!(
        finished
            .warnings
            .iter()
            .any(|warning| warning.contains("0.128 s")),
        "{:?}",
        finished.warnings
    );
}

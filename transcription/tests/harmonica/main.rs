//! Harmonica stage by stage against what the published package gave with random weights for the recording in `fixtures/harmonica/`
//! (`scripts/parity/harmonica/record_fixtures.py` made them): neither the package nor its weights are needed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;
mod notes;
mod odd;
mod resampler;
mod sizes;

use std::path::PathBuf;

use safetensors::SafeTensors;
use transcription::harmonica::config::{BINS, CHUNK, KEPT, PITCHES, SIZES};
use transcription::harmonica::cpu::{Isa, Model};
use transcription::harmonica::decoding::Maps;
use transcription::harmonica::reference::Reference;
use transcription::harmonica::{Chunks, own_model_for};
use transcription::network::Segments;
use transcription::registry::convert_harmonica;

/// Places of the stages and samples that the fixture holds.
const STEP: usize = 997;
/// Frames of the spectrum that the fixture holds.
const FRAMES: [usize; 8] = [0, 1, 25, 26, 77, 78, 120, 153];

fn expected(name: &str) -> Vec<f32> {
    common::read_npz(&common::fixture("harmonica").join("expected.npz"), name)
}

fn recording() -> PathBuf {
    common::fixture("harmonica").join("recording.wav")
}

fn chunks() -> Chunks {
    let source = Box::new(std::fs::File::open(recording()).unwrap());
    Chunks::new(audio::Recording::open(source, None, audio::Limits::default()).unwrap())
}

fn all_chunks() -> Vec<Vec<f32>> {
    let mut chunks = chunks();
    std::iter::from_fn(|| chunks.next().unwrap())
        .map(|chunk| chunk.spectrum)
        .collect()
}

fn checkpoint() -> Vec<u8> {
    fs_err::read(common::fixture("harmonica").join("random-nano.pt")).unwrap()
}

pub(crate) fn weights() -> Vec<u8> {
    convert_harmonica(&SIZES[0], &checkpoint()).unwrap()
}

fn own(isa: Isa, threads: usize) -> Model {
    let bytes = weights();
    own_model_for(
        isa,
        &SIZES[0],
        &SafeTensors::deserialize(&bytes).unwrap(),
        threads,
    )
    .unwrap()
}

fn maps_of(maps: &[f32], frames: usize) -> Maps {
    let mut joined = Maps::default();
    for chunk in maps.chunks_exact(3 * KEPT * PITCHES) {
        joined.push(chunk);
    }
    joined.cut(frames);
    joined
}

fn gap(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter()
        .zip(theirs)
        .map(|(ours, theirs)| (ours - theirs).abs())
        .fold(0.0, f32::max)
}

#[test]
fn the_file_gives_the_packages_samples_and_spectrum() {
    let (samples, spectrum) = chunks().front_end().unwrap();
    assert_eq!(samples.len() as f32, expected("sample_count")[0]);
    let some: Vec<f32> = samples.iter().step_by(STEP).copied().collect();
    assert!(gap(&some, &expected("samples")) <= 1e-6);
    let theirs = expected("spectrum");
    for (frame, theirs) in FRAMES.iter().zip(theirs.chunks_exact(BINS)) {
        let gap = gap(&spectrum[frame * BINS..(frame + 1) * BINS], theirs);
        assert!(gap <= 1e-6, "frame {frame}: {gap:e}");
    }
}

#[test]
fn every_stage_is_the_packages() {
    let chunk = &all_chunks()[0];
    for isa in Isa::all() {
        let (stages, _) = own(isa, 1).stages(chunk);
        assert_eq!(stages.len(), 8);
        for (name, numbers) in stages {
            let theirs = expected(&format!("stage.{name}"));
            let (mean, some) = theirs.split_last().unwrap();
            let ours: Vec<f32> = numbers.iter().step_by(STEP).copied().collect();
            let gap = gap(&ours, some);
            assert!(gap <= 5e-5, "{isa:?} {name}: {gap:e}");
            let size: f64 = numbers.iter().map(|number| f64::from(number.abs())).sum();
            let size = size / numbers.len() as f64;
            assert!(
                (size / f64::from(*mean) - 1.0).abs() < 1e-5,
                "{isa:?} {name}: {size} and {mean}"
            );
        }
    }
}

#[test]
fn the_maps_are_the_packages_on_every_kind_of_processor_and_in_libtorch() {
    let chunks = all_chunks();
    let chunks: Vec<&[f32]> = chunks.iter().map(Vec::as_slice).collect();
    let frames = expected("onset").len() / PITCHES;
    let check = |who: &str, maps: &[f32]| {
        let maps = maps_of(maps, frames);
        for (name, ours) in [
            ("onset", &maps.onset),
            ("sustain", &maps.sustain),
            ("velocity", &maps.velocity),
        ] {
            let gap = gap(ours, &expected(name));
            assert!(gap <= 1e-5, "{who}, {name}: {gap:e}");
        }
    };
    for isa in Isa::all() {
        check(&format!("{isa:?}"), &own(isa, 2).forward(&chunks));
    }
    let bytes = weights();
    let weights = SafeTensors::deserialize(&bytes).unwrap();
    let reference = Reference::load(&SIZES[0], &weights, tch::Device::Cpu).unwrap();
    check("libtorch", &reference.forward(&chunks, None).unwrap());
}

/// What a GPU runs with `--precision bf16`, as far as a CPU can say: the layers' types go together, and the maps are rough, not wrong.
#[test]
fn under_autocast_the_maps_are_the_packages_to_bfloat16() {
    let chunks = all_chunks();
    let chunks: Vec<&[f32]> = chunks.iter().map(Vec::as_slice).collect();
    let frames = expected("onset").len() / PITCHES;
    let bytes = weights();
    let weights = SafeTensors::deserialize(&bytes).unwrap();
    let reference = Reference::load(&SIZES[0], &weights, tch::Device::Cpu).unwrap();
    let autocast = transcription::Autocast::bf16(tch::Device::Cpu);
    let maps = maps_of(&reference.forward(&chunks, None).unwrap(), frames);
    drop(autocast);
    for (name, ours) in [("onset", &maps.onset), ("velocity", &maps.velocity)] {
        let gap = gap(ours, &expected(name));
        assert!((1e-5..0.1).contains(&gap), "{name}: {gap:e}");
    }
}

/// A WAV file of 16-bit samples, the same in every channel.
pub(crate) fn wav(rate: u32, channels: u16, frames: usize, sample: impl Fn(f64) -> f64) -> Vec<u8> {
    let data: Vec<u8> = (0..frames)
        .flat_map(|at| {
            let value = (sample(at as f64 / f64::from(rate)) * 32_000.0) as i16;
            std::iter::repeat_n(value.to_le_bytes(), channels.into()).flatten()
        })
        .collect();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * u32::from(channels) * 2).to_le_bytes());
    bytes.extend((channels * 2).to_le_bytes());
    bytes.extend(b"\x10\0data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn recordings_of_any_rate_and_length_become_chunks() {
    let tone = |seconds: f64| 0.5 * (std::f64::consts::TAU * 440.0 * seconds).sin();
    let mut loudest = Vec::new();
    for (rate, channels, seconds, count, silent) in [
        (44_100, 1, 0.05, 1, false),
        (8_000, 1, 3.0, 2, false),
        (96_000, 6, 3.0, 2, false),
        (16_000, 2, 3.0, 2, true),
        (44_100, 1, 8.0, 4, false),
    ] {
        let frames = (seconds * f64::from(rate)) as usize;
        let bytes = wav(
            rate,
            channels,
            frames,
            |at| if silent { 0.0 } else { tone(at) },
        );
        let source = Box::new(std::io::Cursor::new(bytes));
        let recording = audio::Recording::open(source, None, audio::Limits::default()).unwrap();
        let mut chunks = Chunks::new(recording);
        assert_eq!(chunks.expected(), Some(count), "{rate} Hz");
        let mut seen = 0;
        let mut top = (0, 0f32);
        while let Some(chunk) = chunks.next().unwrap() {
            seen += 1;
            assert_eq!(chunk.song_frames.is_some(), seen == count);
            if let Some(frames) = chunk.song_frames {
                assert_eq!(frames, (seconds * 16_000.0) as usize / 512 + 1);
            }
            assert_eq!(silent, chunk.spectrum.iter().all(|value| *value == 0.0));
            for (at, value) in chunk.spectrum.iter().enumerate() {
                if *value > top.1 {
                    top = (at / CHUNK, *value);
                }
            }
        }
        assert_eq!(seen, count, "{rate} Hz, {seconds} s");
        loudest.push(top.0);
    }
    // A4 lies 48 semitones above the lowest key, in the middle bin of its three, whatever the rate and the channels.
    assert!(
        loudest[1..3]
            .iter()
            .chain(&loudest[4..])
            .all(|bin| *bin == 145),
        "{loudest:?}"
    );
}

#[test]
fn the_engine_says_what_is_missing_and_what_is_wrong() {
    let empty = tempfile::tempdir().unwrap();
    let engine = transcription::Engine::start(transcription::EngineConfig {
        threads: 1,
        ..transcription::EngineConfig::new(transcription::registry::Store::new(empty.path()))
    })
    .unwrap();
    let say = |model: &str, options: serde_json::Value| {
        let submission = engine.submit(transcription::Song {
            source: Box::new(std::fs::File::open(recording()).unwrap()),
            extension: None,
            model: model.into(),
            options: options.as_object().unwrap().clone(),
            limits: audio::Limits::default(),
            parity: false,
        });
        match submission.events.iter().last() {
            Some(transcription::SongEvent::Done(Err(error))) => (error.code(), error.to_string()),
            other => panic!("{other:?}"),
        }
    };
    let (code, text) = say("harmonica", serde_json::json!({}));
    assert_eq!(code, "model_unavailable");
    assert!(text.contains("wtt models pull harmonica:medium"), "{text}");
    let (_, text) = say("harmonica:huge", serde_json::json!({}));
    assert!(text.contains("harmonica:x-large"), "{text}");
    let (code, text) = say("harmonica:nano", serde_json::json!({"melodia": true}));
    assert_eq!(code, "options_invalid");
    assert!(text.contains("harmonica:nano"), "{text}");
}

#[test]
fn neighbours_and_threads_change_no_bit() {
    let chunk = all_chunks().swap_remove(0);
    let silence = vec![0f32; BINS * CHUNK];
    let alone = own(Isa::detect(), 1).forward(&[&chunk]);
    let model = own(Isa::detect(), 3);
    for batch in [
        vec![&chunk[..], &silence, &chunk, &chunk],
        vec![&silence, &silence, &silence, &silence, &chunk],
    ] {
        let maps = model.forward(&batch);
        for (chunk_maps, given) in maps.chunks_exact(alone.len()).zip(&batch) {
            assert_eq!(chunk_maps == alone, *given == &chunk[..]);
        }
    }
}

#[test]
fn checkpoints_of_another_kind_are_refused_by_what_is_wrong() {
    let original = checkpoint();
    let other = convert_harmonica(&SIZES[1], &original).unwrap_err();
    assert!(other.contains("size small"), "{other}");
    for (find, replace, what) in [
        (&b"shift_aggregate"[..], &b"stacking_______"[..], "kind"),
        (
            b"stem.conv1.weight",
            b"stem.conv1.wrong_",
            "stem.conv1.weight",
        ),
        (
            b"_rebuild_tensor_v2",
            b"_rebuild_tensor_v9",
            "_rebuild_tensor_v9",
        ),
    ] {
        let at = original
            .windows(find.len())
            .position(|window| window == find)
            .unwrap();
        let mut changed = original.clone();
        changed[at..at + find.len()].copy_from_slice(replace);
        repair_checksum(&mut changed);
        let error = convert_harmonica(&SIZES[0], &changed).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
    for length in [0, 100, original.len() / 2, original.len() - 1] {
        assert!(convert_harmonica(&SIZES[0], &original[..length]).is_err());
    }
}

/// The zip's checksum of `data.pkl`, in its local and its central header, after the pickle was changed.
fn repair_checksum(bytes: &mut [u8]) {
    let name = b"random-nano/data.pkl";
    let headers: Vec<usize> = bytes
        .windows(name.len())
        .enumerate()
        .filter(|(_, window)| *window == name)
        .map(|(at, _)| at)
        .collect();
    let local = headers[0] - 30;
    let word = |bytes: &[u8], at: usize| {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    };
    let central = headers[1] - 46;
    let size = word(bytes, central + 20);
    let extra = usize::from(u16::from_le_bytes(
        bytes[local + 28..local + 30].try_into().unwrap(),
    ));
    let start = headers[0] + name.len() + extra;
    let mut crc = u32::MAX;
    for byte in &bytes[start..start + size] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    let crc = (!crc).to_le_bytes();
    bytes[central + 16..central + 20].copy_from_slice(&crc);
    bytes[local + 14..local + 18].copy_from_slice(&crc);
    // torch writes checksum and sizes once more behind the data; nobody reads them there.
}

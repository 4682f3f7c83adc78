//! MT3 stage by stage against what its PyTorch port gave for a small network with random weights (`fixtures/mt3-tiny/`), and profile
//! `magenta` against a second computation in numpy. No trained weights are needed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;
mod engine;
mod files;

use std::path::PathBuf;

use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;
use transcription::mt3::{Mt3, Passage, Passages, Profile, Rules, Setup, Weights, notes};
use transcription::network::Segments;

/// Tokens of the golden run at most.
const GOLDEN_LIMIT: usize = 300;
/// Frames of the whole recording.
const FRAMES: usize = 773;
/// Frames of each segment that the oracle's fixture holds.
const ORACLE_STEP: usize = 16;

#[derive(Deserialize)]
struct Golden {
    segments: Vec<Segment>,
}

#[derive(Deserialize)]
struct Segment {
    start_time: f64,
    tokens: Vec<i64>,
}

fn file(name: &str) -> PathBuf {
    common::fixture("mt3-tiny").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs_err::read(file(name)).unwrap()
}

fn golden() -> Golden {
    serde_json::from_slice(&bytes("golden.json")).unwrap()
}

fn config() -> String {
    String::from_utf8(bytes("golden.json")).unwrap()
}

fn weights(name: &str) -> Weights {
    Weights::read(&bytes(name), Some(&config())).unwrap()
}

fn network(profile: Profile, libtorch: bool, rows: usize) -> Mt3 {
    let setup = Setup {
        device: tch::Device::Cpu,
        profile,
        threads: 2,
        rows: Some(rows),
        libtorch,
    };
    Mt3::new(&weights("weights.safetensors"), setup).unwrap()
}

fn passages(profile: Profile, limit: usize) -> Vec<Passage> {
    let source = Box::new(std::fs::File::open(file("audio.wav")).unwrap());
    let recording = audio::Recording::open(source, None, audio::Limits::default()).unwrap();
    let rules = Rules {
        limit: Some(limit),
        ..Rules::default()
    };
    let shape = weights("weights.safetensors").shape;
    let mut cut = Passages::new(recording, profile, &shape, rules).unwrap();
    std::iter::from_fn(|| cut.next().unwrap()).collect()
}

fn expected(name: &str) -> Vec<f32> {
    let bytes = bytes("tensors.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let numbers = view.data().chunks_exact(4);
    numbers
        .map(|number| f32::from_le_bytes(number.try_into().unwrap()))
        .collect()
}

fn gap(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let gaps = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    gaps.fold(0.0, f32::max)
}

/// Close in amplitude; in logarithms, as close as float32 allows next to nothing (the port's own Fourier transform rounds there).
fn same_spectrum(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        let (one, other) = (ours.exp(), theirs.exp());
        assert!(
            (one - other).abs() < 1e-5 * (1.0 + other),
            "{ours} and {theirs}"
        );
        assert!((ours - theirs).abs() < 0.02, "{ours} and {theirs}");
    }
}

#[test]
fn every_stage_is_the_ports() {
    let golden = golden();
    let theirs = expected("frames");
    for libtorch in [false, true] {
        let mut network = network(Profile::Seed, libtorch, 64);
        let passages = passages(Profile::Seed, GOLDEN_LIMIT);
        assert_eq!(passages.len(), golden.segments.len());
        for (index, (passage, segment)) in passages.iter().zip(&golden.segments).enumerate() {
            assert_eq!(passage.start, segment.start_time);
            let mut frames = network.frames(passage).unwrap();
            // The fixture has the first segment's frames and the last one's.
            let own = match index {
                0 => Some(&theirs[..256 * 512]),
                3 => Some(&theirs[256 * 512..]),
                _ => None,
            };
            if let Some(theirs) = own {
                same_spectrum(&frames[..passage.frames * 512], theirs);
                frames[..theirs.len()].copy_from_slice(theirs);
            }
            // From the port's own frames the rest is the same to the last digits (scores are up to some tens); else it begins with their
            // rounding.
            let (near, far) = if own.is_some() {
                (1e-5, 3e-4)
            } else {
                (5e-3, 5e-2)
            };
            let encoded = network.encode(&frames).unwrap();
            let off = gap(&encoded, &expected(&format!("encoder_{index}")));
            assert!(off < near, "encoder of segment {index}: {off}");
            let scores = network
                .scores(&frames, &segment.tokens[..16.min(segment.tokens.len())])
                .unwrap();
            let off = gap(&scores.concat(), &expected(&format!("logits_{index}")));
            assert!(off < far, "scores of segment {index}: {off}");
        }
        assert_eq!(
            passages.iter().map(|passage| passage.frames).sum::<usize>(),
            FRAMES
        );
        let spoken = network.speak(passages).unwrap();
        assert_eq!(spoken.len(), golden.segments.len());
        for (spoken, segment) in spoken.iter().zip(&golden.segments) {
            assert_eq!(spoken.tokens, segment.tokens, "libtorch: {libtorch}");
        }
    }
}

#[test]
fn rows_say_the_same_however_many_there_are_and_whatever_joins_them() {
    let golden = golden();
    for libtorch in [false, true] {
        for (rows, times) in [(1, 1), (3, 2), (5, 6)] {
            // The song again and again: rows are refilled all the time, at all positions.
            let one = passages(Profile::Seed, GOLDEN_LIMIT);
            let many: Vec<Passage> = std::iter::repeat_with(|| one.clone())
                .take(times)
                .flatten()
                .collect();
            let spoken = network(Profile::Seed, libtorch, rows).speak(many).unwrap();
            assert_eq!(spoken.len(), times * golden.segments.len());
            for (at, spoken) in spoken.iter().enumerate() {
                let segment = &golden.segments[at % golden.segments.len()];
                assert_eq!(spoken.start, segment.start_time);
                assert_eq!(
                    spoken.tokens, segment.tokens,
                    "row {at} of {rows}, libtorch: {libtorch}"
                );
            }
        }
    }
}

#[test]
fn limits_count_the_first_token_and_forced_rows_do_not_end() {
    let mut network = network(Profile::Seed, false, 8);
    let said = |network: &mut Mt3, rules: Rules| {
        let mut passages = passages(Profile::Seed, GOLDEN_LIMIT);
        passages
            .iter_mut()
            .for_each(|passage| passage.rules = std::sync::Arc::new(rules.clone()));
        network.speak(passages).unwrap()
    };
    let golden = golden();
    for limit in [1, 2, 19, 20] {
        let rules = Rules {
            limit: Some(limit),
            ..Rules::default()
        };
        for (spoken, segment) in said(&mut network, rules).iter().zip(&golden.segments) {
            let length = limit.min(segment.tokens.len());
            assert_eq!(spoken.tokens, segment.tokens[..length], "{limit}");
        }
    }
    let forced = Rules {
        limit: Some(260),
        forced: true,
        allowed: None,
    };
    for (spoken, segment) in said(&mut network, forced).iter().zip(&golden.segments) {
        assert_eq!(spoken.tokens.len(), 260);
        assert!(spoken.tokens[1..].iter().all(|token| *token != 1));
        // As far as the end, it is what would have been said.
        let common = segment.tokens.len().min(260) - 1;
        assert_eq!(spoken.tokens[..common], segment.tokens[..common]);
    }
    // Only one row is ruled, the others are not.
    let mut allowed = vec![true; 1_536];
    allowed[3..].fill(false);
    allowed[7] = true;
    let mut mixed = passages(Profile::Seed, GOLDEN_LIMIT);
    mixed[1].rules = std::sync::Arc::new(Rules {
        limit: Some(9),
        forced: true,
        allowed: Some(allowed),
    });
    let spoken = network.speak(mixed).unwrap();
    assert!(
        spoken[1].tokens[1..]
            .iter()
            .all(|token| [0, 2, 7].contains(token))
    );
    assert_eq!(spoken[2].tokens, golden.segments[2].tokens);
}

#[test]
fn a_network_of_another_shape_says_the_same_in_both_ways() {
    // Widths that fill no vector, one head and several, more layers here than there, short segments.
    for (heads, head_width, width, encoder, decoder, frames) in [
        (3, 20, 52, 1, 3, 256),
        (1, 7, 33, 3, 1, 64),
        (2, 64, 64, 0, 2, 100),
        (5, 48, 80, 2, 2, 256),
    ] {
        let shape = transcription::mt3::Shape {
            vocabulary: 1_536,
            width,
            heads,
            head_width,
            encoder_layers: encoder,
            decoder_layers: decoder,
            mlp_width: 70,
            frames,
            positions: 90,
        };
        let weights = Weights::random(shape, 7);
        let spoken: Vec<_> = [(false, 2), (true, 64)]
            .into_iter()
            .map(|(libtorch, rows)| {
                let setup = Setup {
                    device: tch::Device::Cpu,
                    profile: Profile::Magenta,
                    threads: 2,
                    rows: Some(rows),
                    libtorch,
                };
                let source = Box::new(std::fs::File::open(file("audio.wav")).unwrap());
                let recording =
                    audio::Recording::open(source, None, audio::Limits::default()).unwrap();
                let mut cut =
                    Passages::new(recording, Profile::Magenta, &shape, Rules::default()).unwrap();
                let passages = std::iter::from_fn(|| cut.next().unwrap()).collect();
                Mt3::new(&weights, setup).unwrap().speak(passages).unwrap()
            })
            .collect();
        assert_eq!(spoken[0].len(), (100_800 / 128 + 1usize).div_ceil(frames));
        assert!(spoken[0].iter().all(|spoken| spoken.tokens.len() <= 90));
        assert_eq!(spoken[0], spoken[1], "{shape:?}");
    }
}

#[test]
fn notes_are_the_originals_in_all_cases() {
    #[derive(Deserialize)]
    struct Case {
        segments: Vec<Segment>,
        notes: Vec<(u8, f64, f64, u8, u8, bool)>,
    }
    let cases: Vec<Case> = serde_json::from_slice(&bytes("decode_cases.json")).unwrap();
    assert_eq!(cases.len(), 40);
    for (number, case) in cases.into_iter().enumerate() {
        let segments: Vec<(f64, Vec<i64>)> = case
            .segments
            .into_iter()
            .map(|segment| (segment.start_time, segment.tokens))
            .collect();
        let ours = notes::decode(&segments).0;
        assert_eq!(ours.len(), case.notes.len(), "case {number}");
        for (ours, (pitch, start, end, velocity, program, is_drum)) in ours.iter().zip(&case.notes)
        {
            assert_eq!(
                (ours.pitch, ours.velocity, ours.program, ours.is_drum),
                (*pitch, *velocity, *program, *is_drum),
                "case {number}"
            );
            assert!(
                (ours.start - start).abs() < 1e-9 && (ours.end - end).abs() < 1e-9,
                "case {number}: {ours:?}"
            );
        }
    }
}

#[test]
fn magenta_is_what_a_second_computation_gives() {
    let oracle = |name: &str| common::read_npz(&file("magenta.npz"), name);
    let passages = passages(Profile::Magenta, 48);
    assert_eq!(passages.len(), 4);
    let mut network = network(Profile::Magenta, false, 64);
    let width = 64;
    for (index, passage) in passages.iter().enumerate() {
        let frames = network.frames(passage).unwrap();
        let encoded = network.encode(&frames).unwrap();
        let every = |numbers: &[f32], width: usize| -> Vec<f32> {
            let rows = numbers.chunks_exact(width).step_by(ORACLE_STEP);
            rows.flatten().copied().collect()
        };
        let off = gap(&every(&frames, 512), &oracle(&format!("frames_{index}")));
        assert!(off < 1e-4, "frames of segment {index}: {off}");
        let off = gap(
            &every(&encoded, width),
            &oracle(&format!("encoder_{index}")),
        );
        assert!(off < 1e-4, "encoder of segment {index}: {off}");
    }
    for (index, spoken) in network.speak(passages).unwrap().iter().enumerate() {
        let tokens: Vec<i64> = oracle(&format!("tokens_{index}"))
            .iter()
            .map(|token| *token as i64)
            .collect();
        assert_eq!(spoken.tokens, tokens, "segment {index}");
    }
    let gelu = tch::Tensor::from_slice(&oracle("gelu_at")).gelu("tanh");
    let gelu = Vec::<f32>::try_from(gelu).unwrap();
    assert!(gap(&gelu, &oracle("gelu")) < 1e-6);
    let steps: Vec<f32> = (0..600)
        .map(|segment| {
            (notes::on_grid(Profile::Magenta.start_time(segment, 256)) * 100.0).round() as f32
        })
        .collect();
    assert_eq!(steps, oracle("start_steps"));
}

#[test]
fn the_profiles_differ_where_they_should() {
    let encode = |profile| {
        let network = network(profile, false, 1);
        let passage = &passages(profile, 2)[0];
        network.frames(passage).unwrap()
    };
    let (seed, magenta) = (encode(Profile::Seed), encode(Profile::Magenta));
    let differ = |frames: std::ops::Range<usize>| {
        let range = frames.start * 512..frames.end * 512;
        let pairs = seed[range.clone()].iter().zip(&magenta[range]);
        // What is next to nothing is floored by the one and not by the other.
        let loud = pairs.filter(|(seed, _)| **seed > -7.0);
        loud.map(|(seed, magenta)| (seed - magenta).abs())
            .fold(0.0, f32::max)
    };
    // The last frames of a segment see what follows, or nothing.
    assert!(differ(0..240) < 0.1, "{}", differ(0..240));
    assert!(differ(241..256) > 0.5, "{}", differ(241..256));
}

#[test]
fn the_fixture_says_what_it_is() {
    let config: Value = serde_json::from_str(&config()).unwrap();
    assert_eq!(config["config"]["num_heads"], 4);
}

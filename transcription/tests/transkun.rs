//! Transkun stage by stage against what the published package gave with a small network of random weights
//! (`scripts/parity/transkun/record_fixtures.py` made `fixtures/transkun/`): neither the package nor its weights are needed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use safetensors::SafeTensors;
use transcription::network::Segments;
use transcription::registry::convert_transkun;
use transcription::transkun::reference::{Reference, Stages};
use transcription::transkun::semi_crf::path;
use transcription::transkun::stitching::Stitcher;
use transcription::transkun::{Candidates, Cut, Isa, Model, Segment, Shape, own_model};

const SHAPE: Shape = Shape {
    base: 16,
    layers: 2,
    inner: 32,
    hop_seconds: 1,
};
/// Places of the stages and samples that the fixture holds.
const STEP: usize = 997;
/// The segment whose stages it holds.
const SEGMENT: usize = 2;

fn expected(name: &str) -> Vec<f32> {
    common::read_npz(&common::fixture("transkun").join("expected.npz"), name)
}

fn segments() -> Vec<Segment> {
    let file = common::fixture("harmonica").join("recording.wav");
    let source = Box::new(std::fs::File::open(file).unwrap());
    let recording = audio::Recording::open(source, None, audio::Limits::default()).unwrap();
    let mut cut = Cut::new(SHAPE, recording).unwrap();
    let count = cut.expected().unwrap();
    let segments: Vec<Segment> = std::iter::from_fn(|| cut.next().unwrap()).collect();
    assert_eq!(segments.len() as u64, count);
    segments
}

fn checkpoint() -> Vec<u8> {
    fs_err::read(common::fixture("transkun").join("random-small.pt")).unwrap()
}

fn own(isa: Isa, threads: usize) -> Model {
    let bytes = convert_transkun(&SHAPE, &checkpoint()).unwrap();
    let weights = SafeTensors::deserialize(&bytes).unwrap();
    own_model(isa, threads, SHAPE, &weights).unwrap()
}

fn reference() -> Reference {
    let bytes = convert_transkun(&SHAPE, &checkpoint()).unwrap();
    let weights = SafeTensors::deserialize(&bytes).unwrap();
    Reference::load(SHAPE, &weights, tch::Device::Cpu).unwrap()
}

/// Every stage's numbers lie within a share of their mean size of the package's.
fn assert_stage(who: &str, name: &str, ours: &[f32]) {
    let mut theirs = expected(name);
    let size = theirs.pop().unwrap();
    assert_eq!(theirs.len(), ours.len().div_ceil(STEP), "{who}: {name}");
    for (at, (ours, theirs)) in ours.iter().step_by(STEP).zip(&theirs).enumerate() {
        let gap = (ours - theirs).abs();
        assert!(
            gap <= 5e-5 * size,
            "{who}: {name}, place {at}: {ours}, not {theirs}, of {size}"
        );
    }
    let mean = ours
        .iter()
        .map(|number| f64::from(number.abs()))
        .sum::<f64>()
        / ours.len() as f64;
    assert!(
        (mean / f64::from(size) - 1.0).abs() < 1e-5,
        "{who}: {name} has the size {mean}"
    );
}

fn assert_path(who: &str, candidates: &Candidates) {
    let expected = expected("path");
    let expected: Vec<(usize, u16, u16)> = expected
        .chunks_exact(3)
        .map(|triple| (triple[0] as usize, triple[1] as u16, triple[2] as u16))
        .collect();
    let mut found = Vec::new();
    for (symbol, track) in candidates.tracks.iter().enumerate() {
        for at in path(&track.intervals, SHAPE.frames(), 0) {
            found.push((symbol, track.intervals[at].0, track.intervals[at].1));
        }
    }
    assert_eq!(found, expected, "{who}");
}

/// All of them: the same keys, pedals and velocities, at the same times but for the last digits.
fn assert_events(who: &str, found: Vec<Candidates>) {
    let mut stitcher = Stitcher::new(SHAPE);
    found.iter().for_each(|candidates| stitcher.add(candidates));
    let mut ours = stitcher.finish();
    let file = common::fixture("transkun").join("events.json");
    let mut theirs: Vec<(f64, f64, i32, u8)> =
        serde_json::from_slice(&fs_err::read(file).unwrap()).unwrap();
    assert_eq!(ours.len(), theirs.len(), "{who}");
    // Events of two keys that begin together may come in either order.
    ours.sort_by(|a, b| a.symbol.cmp(&b.symbol).then(a.start.total_cmp(&b.start)));
    theirs.sort_by(|a, b| a.2.cmp(&b.2).then(a.0.total_cmp(&b.0)));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let gap = (ours.start - theirs.0)
            .abs()
            .max((ours.end - theirs.1).abs());
        assert!(gap < 1e-4, "{who}: {ours:?}, not {theirs:?}");
        assert_eq!((ours.symbol, ours.velocity), (theirs.2, theirs.3), "{who}");
    }
}

#[test]
fn samples_are_the_packages() {
    let (lead, step) = (SHAPE.lead(), SHAPE.step());
    let segments = segments();
    let whole: Vec<f32> = segments
        .iter()
        .flat_map(|segment| segment.channel(0).concat()[..step].to_vec())
        .collect();
    let count = expected("sample_count")[0] as usize;
    assert!(whole[lead + count..].iter().all(|sample| *sample == 0.0));
    for (ours, theirs) in whole[lead..][..count]
        .iter()
        .step_by(STEP)
        .zip(expected("samples"))
    {
        assert!((ours - theirs).abs() < 1e-6, "{ours}, {theirs}");
    }
}

#[test]
fn our_own_network_gives_each_stage_on_every_kind_of_processor() {
    let segments = segments();
    for isa in Isa::all() {
        let (model, who) = (own(isa, 2), format!("{isa:?}"));
        let [features, sound, symbols] = model.stages(&segments[SEGMENT]);
        assert_stage(&who, "features", &features);
        assert_stage(&who, "sound", &sound);
        assert_stage(&who, "symbols", &symbols);
        assert_path(&who, &model.forward(&segments[SEGMENT]));
    }
}

#[test]
fn our_own_network_finds_every_event_whatever_the_threads() {
    let segments = segments();
    let run = |threads| -> Vec<Candidates> {
        let model = own(Isa::detect(), threads);
        segments
            .iter()
            .map(|segment| model.forward(segment))
            .collect()
    };
    let alone = run(1);
    // To the last bit, and no trace of the segment before in the buffers that are used again.
    assert_eq!(alone, run(3));
    let model = own(Isa::detect(), 2);
    for (segment, alone) in segments.iter().zip(&alone).rev() {
        assert_eq!(model.forward(segment), *alone);
    }
    assert_events("our own", alone);
}

#[test]
fn libtorchs_operations_give_each_stage_and_every_event() {
    let (reference, segments) = (reference(), segments());
    let mut stages = Stages::new();
    let found = reference
        .forward(&[&segments[SEGMENT]], Some(&mut stages))
        .unwrap();
    for (name, tensor) in &stages {
        let numbers = Vec::<f32>::try_from(tensor.contiguous().flatten(0, -1)).unwrap();
        assert_stage("libtorch", name, &numbers);
    }
    assert_eq!(stages.len(), 4);
    assert_path("libtorch", &found[0]);
    // All of a song's segments as one batch.
    let segments: Vec<&Segment> = segments.iter().collect();
    assert_events("libtorch", reference.forward(&segments, None).unwrap());
}

#[test]
fn other_networks_are_refused_by_name() {
    let checkpoint = checkpoint();
    for (shape, name) in [
        (Shape { layers: 3, ..SHAPE }, "encoderLayers.2."),
        (Shape { layers: 1, ..SHAPE }, "encoderLayers.1."),
        (Shape { inner: 64, ..SHAPE }, "velocityPredictor.0.weight"),
    ] {
        let error = convert_transkun(&shape, &checkpoint).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
    assert!(convert_transkun(&SHAPE, &checkpoint[..100_000]).is_err());
}

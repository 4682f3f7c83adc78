//! Every size with random weights: our own code against libtorch's operations, and against itself with other numbers of threads. The
//! package's numbers are there for nano alone; here it is the other widths' tiles, strides and packed weights that could be wrong.
//!
//! Large and x-large have one harmonic layer of their five and six, with its residual block: the others are the same once more, and a chunk
//! of the whole x-large takes a slow processor half a minute. X-large sees one chunk, which one thread takes whatever their number.

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use transcription::harmonica::config::{SIZES, Size};
use transcription::harmonica::cpu::Isa;
use transcription::harmonica::own_model_for;
use transcription::harmonica::reference::Reference;

use crate::{all_chunks, gap};

/// As that of nano's maps beside the package's.
const TOLERANCE: f32 = 1e-5;

/// Weights that keep every layer's numbers around one and spread the maps over most of 0 to 1; the same at every run.
fn random_weights(size: &Size) -> Vec<u8> {
    let mut state = size.channels as u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // As many bits as a float32 holds, from -1 to 1.
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, shape) in size.tensors() {
        let inputs: usize = shape[1..].iter().product();
        let narrow = 1.0 / (inputs as f32).sqrt();
        let (middle, spread): (f32, f32) = match shape.len() {
            1 if name.contains("norm") && name.ends_with(".weight") => (1.0, 0.5),
            1 if name.contains("norm") => (0.0, 0.2),
            1 => (0.0, 0.1),
            _ if name.ends_with(".linear.weight") => (0.0, 6.0 * narrow),
            _ => (0.0, narrow),
        };
        let count: usize = shape.iter().product();
        let mut bytes = Vec::with_capacity(4 * count);
        for _ in 0..count {
            let number: f32 = middle + spread * random();
            bytes.extend(number.to_le_bytes());
        }
        tensors.push((name, shape, bytes));
    }
    let views: Vec<(&String, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
            (name, view)
        })
        .collect();
    safetensors::serialize(views, None).unwrap()
}

/// Runs as many of the fixture's chunks as asked on these instructions and in libtorch; several chunks also with one thread and with three.
fn own_code_and_libtorch_agree(size: &Size, isas: &[Isa], count: usize) {
    let chunks = all_chunks();
    let chunks: Vec<&[f32]> = chunks.iter().take(count).map(Vec::as_slice).collect();
    assert_eq!(chunks.len(), count);
    let bytes = random_weights(size);
    let weights = SafeTensors::deserialize(&bytes).unwrap();
    let reference = Reference::load(size, &weights, tch::Device::Cpu).unwrap();
    let theirs = reference.forward(&chunks, None).unwrap();
    drop(reference);
    let least = theirs.iter().copied().fold(f32::INFINITY, f32::min);
    let most = theirs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    assert!(
        most - least > 0.3,
        "{}: maps from {least} to {most} say little",
        size.name
    );

    let forward = |isa: Isa, threads: usize, chunks: &[&[f32]]| {
        let model = own_model_for(isa, size, &weights, threads).unwrap();
        let ours = model.forward(chunks);
        let gap = gap(&ours, &theirs[..ours.len()]);
        assert!(
            gap <= TOLERANCE,
            "{}, {isa:?}, {threads} threads: {gap:e}",
            size.name
        );
        ours
    };
    let alone = forward(isas[0], 1, &chunks);
    if count > 1 {
        let shared = forward(isas[0], 3, &chunks);
        assert!(alone == shared, "{}: threads change a bit", size.name);
    }
    for isa in &isas[1..] {
        forward(*isa, 1, &chunks[..1]);
    }
}

#[test]
fn nano_small_and_medium_are_what_libtorch_computes_on_every_kind_of_processor() {
    for size in &SIZES[..3] {
        own_code_and_libtorch_agree(size, &Isa::all(), 2);
    }
}

#[test]
fn larges_widths_are_what_libtorch_computes() {
    let size = Size {
        blocks: 1,
        ..SIZES[3]
    };
    own_code_and_libtorch_agree(&size, &[Isa::detect()], 2);
}

#[test]
fn x_larges_widths_are_what_libtorch_computes() {
    let size = Size {
        blocks: 1,
        ..SIZES[4]
    };
    own_code_and_libtorch_agree(&size, &[Isa::detect()], 1);
}

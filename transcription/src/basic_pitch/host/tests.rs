//! The whole network with weights and samples made of noise: every kind of instructions against libtorch, and windows against
//! batches.

use safetensors::tensor::{Dtype, TensorView};

use super::*;
use crate::basic_pitch::config::WINDOW;
use crate::basic_pitch::on_device::OnDevice;
use crate::cpu::noise::noise;

/// Names, shapes, and the size of the noise that keeps each layer's sums around one.
const WEIGHTS: [(&str, &[usize], f32); 18] = [
    ("cqt.real", &[36, 1, 256], 0.1),
    ("cqt.imaginary", &[36, 1, 256], 0.1),
    ("cqt.low_pass", &[1, 1, 256], 0.2),
    ("cqt.scale", &[309, 1], 1.0),
    ("norm.scale", &[1], 2.0),
    ("norm.bias", &[1], 1.0),
    ("contour_hidden.weight", &[8, 8, 3, 39], 0.1),
    ("contour_hidden.bias", &[8], 1.0),
    ("contour.weight", &[1, 8, 5, 5], 0.5),
    ("contour.bias", &[1], 1.0),
    ("note_hidden.weight", &[32, 1, 7, 7], 0.5),
    ("note_hidden.bias", &[32], 1.0),
    ("note.weight", &[1, 32, 7, 3], 0.2),
    ("note.bias", &[1], 1.0),
    ("onset_hidden.weight", &[32, 8, 5, 5], 0.2),
    ("onset_hidden.bias", &[32], 1.0),
    ("onset.weight", &[1, 33, 3, 3], 0.2),
    ("onset.bias", &[1], 1.0),
];

fn with_weights<T>(work: impl FnOnce(&SafeTensors<'_>) -> T) -> T {
    let bytes = WEIGHTS.iter().zip(1..).map(|((_, shape, size), seed)| {
        let numbers = noise(seed, shape.iter().product());
        let numbers = numbers.iter().map(|number| number * size);
        numbers.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()
    });
    let bytes: Vec<Vec<u8>> = bytes.collect();
    let views = WEIGHTS.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap();
        ((*name).to_owned(), view)
    });
    let file = safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap();
    work(&SafeTensors::deserialize(&file).unwrap())
}

fn windows(count: u32) -> Vec<Vec<f32>> {
    (0..count).map(|seed| noise(100 + seed, WINDOW)).collect()
}

fn bits(maps: &WindowMaps) -> (Vec<u32>, Vec<i8>) {
    let numbers = [&maps.note, &maps.onset, &maps.contour];
    let numbers = numbers.into_iter().flatten().map(|number| number.to_bits());
    (numbers.collect(), maps.bend.clone())
}

#[test]
fn every_kind_of_instructions_gives_what_libtorch_gives() {
    let windows = windows(2);
    let samples: Vec<&[f32]> = windows.iter().map(Vec::as_slice).collect();
    with_weights(|weights| {
        let torch = OnDevice::load(weights, tch::Device::Cpu).unwrap();
        let expected = torch.forward(&samples, true).unwrap();
        for isa in Isa::all() {
            let ours = Host::load(weights, isa).unwrap().forward(&samples, 2, true);
            for (ours, expected) in ours.iter().zip(&expected) {
                for (name, ours, expected) in [
                    ("note", &ours.note, &expected.note),
                    ("onset", &ours.onset, &expected.onset),
                    ("contour", &ours.contour, &expected.contour),
                ] {
                    assert_eq!(ours.len(), expected.len(), "{name}");
                    let range = expected.iter().fold((1f32, 0f32), |(low, high), number| {
                        (low.min(*number), high.max(*number))
                    });
                    assert!(
                        range.1 - range.0 > 0.05,
                        "{name} says too little: {range:?}"
                    );
                    let gaps = ours.iter().zip(expected).map(|(a, b)| (a - b).abs());
                    let gap = gaps.fold(0f32, f32::max);
                    assert!(gap < 1e-5, "{isa:?}: {name} differs by {gap}");
                }
                let same = ours
                    .bend
                    .iter()
                    .zip(&expected.bend)
                    .filter(|(a, b)| a == b)
                    .count();
                assert!(
                    same * 1000 >= ours.bend.len() * 999,
                    "bends differ only at close calls"
                );
                assert!((ours.log_spread_db - expected.log_spread_db).abs() < 1e-3);
            }
        }
    });
}

#[test]
fn a_windows_bits_do_not_depend_on_its_batch_nor_on_threads() {
    let windows = windows(5);
    let samples: Vec<&[f32]> = windows.iter().map(Vec::as_slice).collect();
    with_weights(|weights| {
        let host = Host::load(weights, Isa::detect()).unwrap();
        let together = host.forward(&samples, 3, true);
        let backwards: Vec<&[f32]> = samples.iter().rev().copied().collect();
        let backwards = host.forward(&backwards, 2, true);
        for (index, window) in samples.iter().enumerate() {
            let alone = Host::load(weights, Isa::detect())
                .unwrap()
                .forward(&[window], 1, true);
            assert_eq!(bits(&alone[0]), bits(&together[index]), "window {index}");
            assert_eq!(
                bits(&alone[0]),
                bits(&backwards[4 - index]),
                "window {index}"
            );
        }
        assert_ne!(bits(&together[0]), bits(&together[1]));
    });
}

//! Down-mix and resampling against what numpy and soxr (as librosa.load uses them) made of the same samples.

use audio::{Resampler, downmix};

use crate::support;

fn resample(input: &[f32], from_hz: u32, blocks: impl IntoIterator<Item = usize>) -> Vec<f32> {
    let mut resampler = Resampler::new(from_hz, 22_050).unwrap();
    let mut output = Vec::new();
    let mut rest = input;
    for block in blocks {
        let (now, later) = rest.split_at(block.min(rest.len()));
        resampler.process(now, &mut output).unwrap();
        rest = later;
    }
    resampler.process(rest, &mut output).unwrap();
    resampler.finish(&mut output).unwrap();
    output
}

fn recorded(rate: u32) -> (Vec<f32>, Vec<f32>) {
    let input = support::bytes(&format!("from-{rate}.i16"))
        .chunks_exact(2)
        .map(|two| f32::from(i16::from_le_bytes([two[0], two[1]])) / 32768.0)
        .collect();
    (input, support::floats(&format!("from-{rate}-to-22050.f32")))
}

#[test]
fn resampling_equals_the_reference() {
    for rate in [44_100, 48_000, 8_000, 96_000, 11_025] {
        let (input, expected) = recorded(rate);
        let output = resample(&input, rate, []);
        assert_eq!(output.len(), expected.len(), "{rate} Hz");
        let worst = output
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0f32, f32::max);
        let exact = output.iter().zip(&expected).filter(|(a, b)| a == b).count();
        eprintln!(
            "{rate} Hz: largest difference {worst:e}, {exact} of {} equal",
            expected.len()
        );
        assert!(worst <= f32::EPSILON, "{rate} Hz: {worst:e}");
    }
}

#[test]
fn odd_blocks_equal_one_call() {
    let mut random = support::Random::new();
    for rate in [44_100, 48_000, 8_000, 96_000, 11_025, 22_050] {
        let (mut input, _) = recorded(if rate == 22_050 { 44_100 } else { rate });
        for _ in 0..5 {
            input.extend_from_within(..);
        }
        let whole = resample(&input, rate, []);
        let pieces = resample(
            &input,
            rate,
            std::iter::repeat_with(|| [0, 1, 2, 7, 333, 1152, 4096][random.below(7)]).take(400),
        );
        assert_eq!(whole, pieces, "{rate} Hz");
        assert_eq!(
            whole.len(),
            (input.len() as f64 * (22_050.0 / f64::from(rate))).ceil() as usize
        );
    }
}

#[test]
fn short_inputs_have_the_right_length() {
    for (count, from_hz, expected) in [
        (0, 44_100, 0),
        (1, 44_100, 1),
        (1, 8_000, 3),
        (3, 96_000, 1),
        (5, 22_050, 5),
    ] {
        assert_eq!(
            resample(&vec![0.5; count], from_hz, []).len(),
            expected,
            "{count} samples at {from_hz} Hz"
        );
    }
    assert!(Resampler::new(0, 22_050).is_err());
}

#[test]
fn downmix_equals_numpy() {
    for (name, channels) in [("two", 2), ("six", 6), ("eight", 8), ("ten", 10)] {
        let mut mono = Vec::new();
        downmix(
            &support::floats(&format!("{name}.f32")),
            channels,
            &mut mono,
        );
        assert_eq!(
            mono,
            support::floats(&format!("{name}-mono.f32")),
            "{name} channels"
        );
    }
}

//! The resampler against scipy's at rates below, above and far above the network's own; `scripts/parity/harmonica/record_resampler.py`
//! recorded what scipy gave for the sounds that are made here again.

use std::f64::consts::TAU;

use transcription::harmonica::resample::Resampler;

use crate::{common, gap};

/// Every so many samples are in the fixture, and the last ones.
const STEP: usize = 13;
const LAST: usize = 32;
/// Samples that come at once: whole seconds and single samples are the unit tests' business.
const PIECE: usize = 1_000;

/// A quarter of a second and a sample of a tone and of noise.
fn sound(rate: u32) -> Vec<f32> {
    let mut state = 1u32;
    (0..=rate / 4)
        .map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let tone = (TAU * 440.0 * f64::from(at) / f64::from(rate)).sin();
            let noise = f64::from(state) / f64::from(1u32 << 31) - 1.0;
            (0.5 * tone + 0.25 * noise) as f32
        })
        .collect()
}

#[test]
fn every_rate_is_resampled_as_scipy_does_it() {
    let file = common::fixture("harmonica").join("resampler.npz");
    for rate in [8_000, 44_100, 48_000, 96_000] {
        let expected = |part: &str| common::read_npz(&file, &format!("{rate}.{part}"));
        let mut resampler = Resampler::new(rate);
        let mut samples = Vec::new();
        for piece in sound(rate).chunks(PIECE) {
            resampler.process(piece, &mut samples);
        }
        resampler.finish(&mut samples);
        assert_eq!(samples.len() as f32, expected("count")[0], "{rate} Hz");
        let some: Vec<f32> = samples.iter().step_by(STEP).copied().collect();
        for (what, ours) in [
            ("some", &some[..]),
            ("last", &samples[samples.len() - LAST..]),
        ] {
            let gap = gap(ours, &expected(what));
            assert!(gap <= 1e-6, "{rate} Hz, {what}: {gap:e}");
        }
    }
}

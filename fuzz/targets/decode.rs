//! Any bytes as a recording: probed, decoded to the end of what the limits allow, mixed down and resampled. No panic that `audio` does not catch, no sample that is
//! not a number, no block without a bound, no more seconds than allowed.
#![no_main]

use std::io::Cursor;

use audio::{Limits, Recording, Resampler, Source};
use libfuzzer_sys::fuzz_target;

const MOST_SECONDS: f64 = 20.0;
/// In samples of all channels.
const LARGEST_BLOCK: usize = 1 << 22;
const EXTENSIONS: &[Option<&str>] = &[None, Some("mp3"), Some("wav"), Some("flac"), Some("ogg"), Some("m4a"), Some("aac"), Some("aiff")];

// A panic of a decoder that `audio` catches is a refusal; only what gets past it ends the process.
fuzz_target!(init: drop(std::panic::take_hook()), |input: &[u8]| {
    let Some((first, bytes)) = input.split_first() else {
        return;
    };
    let extension = EXTENSIONS[usize::from(*first) % EXTENSIONS.len()];
    let source = || -> Box<dyn Source> { Box::new(Cursor::new(bytes.to_vec())) };
    if let Ok(probe) = audio::probe(source(), extension) {
        assert!(probe.duration_seconds.is_none_or(|seconds| seconds.is_finite() && seconds >= 0.0));
    }
    let limits = Limits {
        max_seconds: Some(MOST_SECONDS),
        ..Limits::default()
    };
    let Ok(mut recording) = Recording::open(source(), extension, limits) else {
        return;
    };
    let (mut mono, mut out, mut resampler) = (Vec::new(), Vec::new(), None::<Resampler>);
    while let Ok(Some(block)) = recording.next_block() {
        assert!(block.samples.len() <= LARGEST_BLOCK, "a block of {}", block.samples.len());
        assert!(block.samples.iter().all(|sample| sample.is_finite()));
        mono.clear();
        audio::downmix(&block.samples, recording.channels(), &mut mono);
        let rate = recording.sample_rate();
        if resampler.is_none() {
            resampler = Resampler::new(rate, 22_050).ok();
        }
        if let Some(resampler) = &mut resampler {
            out.clear();
            resampler.process(&mono, &mut out).expect("blocks of one rate can be resampled");
        }
        // A block may pass the limit; the next call tells.
        assert!(recording.seconds_read() < MOST_SECONDS + 60.0, "{} s", recording.seconds_read());
    }
    if let Some(resampler) = &mut resampler {
        resampler.finish(&mut out).expect("a resampler can always end");
    }
});

//! Every format that is promised: its name, its length and the place of a click, against what ffmpeg found (expected.txt).

use audio::{Limits, Recording, probe};

use crate::support;

/// file, format, codec, frames of music, whether the probe knows the length, how far the click may be from ffmpeg's.
const FILES: &[(&str, &str, &str, usize, bool, usize)] = &[
    ("click.mp3", "mp3", "mp3", 13_230, true, 1),
    ("cbr.mp3", "mp3", "mp3", 14_976, true, 1),
    ("vbr.mp3", "mp3", "mp3", 14_976, true, 1),
    ("click.mp2", "mp2", "mp2", 13_824, true, 1),
    ("click.flac", "flac", "flac", 13_230, true, 0),
    // The edit list names 13,230; ffmpeg 5 left the padding in.
    ("click.m4a", "m4a", "aac", 13_230, true, 1),
    ("smpb.m4a", "m4a", "aac", 13_230, true, 1),
    // ADTS has nowhere to say how long the warm-up is.
    ("click.aac", "aac", "aac", 14_336, true, 1),
    ("alac.m4a", "m4a", "alac", 13_230, true, 0),
    ("alac.caf", "caf", "alac", 13_230, true, 0),
    ("click.mka", "mkv", "flac", 13_230, true, 0),
    ("clusters.mka", "mkv", "flac", 13_230, true, 0),
    ("flac.oga", "ogg", "flac", 13_230, true, 0),
    ("mulaw.wav", "wav", "pcm_mulaw", 13_230, true, 0),
    ("adpcm.wav", "wav", "adpcm_ima_wav", 14_287, true, 0),
    ("click.ogg", "ogg", "vorbis", 13_230, true, 1),
    // ffmpeg 5 overlooks the edit list of a fragmented file, so its click is 1,024 samples late; the length is in no header.
    ("pages.ogg", "ogg", "vorbis", 13_230, true, 1),
    ("fragmented.m4a", "m4a", "aac", 13_312, false, 1_024),
    // ffmpeg 5 writes no codec delay.
    ("aac.mka", "mkv", "aac", 14_336, true, 1),
];

fn expected(name: &str) -> (usize, usize) {
    let text = String::from_utf8(support::bytes("expected.txt")).unwrap();
    let line = text
        .lines()
        .find(|line| line.split(' ').next() == Some(name))
        .unwrap();
    let mut numbers = line.split(' ').skip(1).map(|word| word.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn loudest(samples: &[f32]) -> usize {
    (0..samples.len())
        .max_by(|a, b| samples[*a].abs().total_cmp(&samples[*b].abs()))
        .unwrap()
}

#[test]
fn every_format_has_its_length_and_its_click() {
    let mut wrong = Vec::new();
    for &(name, format, codec, frames, is_known, slack) in FILES {
        let probed = probe(support::source(support::bytes(name)), None)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut recording = support::open(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let samples = support::drain(&mut recording).unwrap();
        let (_, click) = expected(name);
        let found = loudest(&samples);
        eprintln!(
            "{name}: {probed:?}, {} frames, click at {found} (ffmpeg {:?}), {:?}",
            samples.len(),
            expected(name),
            recording.warnings()
        );
        if samples.len() != frames
            || (probed.format, probed.codec.as_str()) != (format, codec)
            || found.abs_diff(click) > slack
            || !recording.warnings().is_empty()
        {
            wrong.push(name);
        }
        assert_eq!((probed.sample_rate, probed.channels), (44_100, 1), "{name}");
        assert_eq!(
            (recording.sample_rate(), recording.channels()),
            (44_100, 1),
            "{name}"
        );
        assert_eq!(
            recording.duration_seconds(),
            probed.duration_seconds,
            "{name}"
        );
        let seconds = frames as f64 / 44_100.0;
        assert!(
            (recording.seconds_read() - samples.len() as f64 / 44_100.0).abs() < 1e-9,
            "{name}"
        );
        if probed.duration_seconds.is_some() != is_known
            || probed.duration_seconds.is_some_and(|known| {
                (known - seconds).abs()
                    > if matches!(format, "mkv" | "caf") {
                        0.1
                    } else {
                        1e-9
                    }
            })
        {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_warm_up_of_aac_is_dropped_to_the_sample() {
    // Three ways to say it: an edit list, Apple's comment, an edit list in a fragmented file. Without them 5,436.
    for name in ["click.m4a", "smpb.m4a", "fragmented.m4a"] {
        let samples = support::drain(&mut support::open(name).unwrap()).unwrap();
        assert_eq!(loudest(&samples), 4_412, "{name}");
    }
}

#[test]
fn the_content_decides_not_the_extension() {
    for (name, _, _, frames, _, _) in FILES {
        for extension in ["mp3", "wav", "txt", "m4a"] {
            let mut recording = Recording::open(
                support::source(support::bytes(name)),
                Some(extension),
                Limits::default(),
            )
            .unwrap();
            assert_eq!(
                support::drain(&mut recording).unwrap().len(),
                *frames,
                "{name} as .{extension}"
            );
        }
    }
}

#[test]
fn integers_and_floats_are_exactly_what_soundfile_reads() {
    for name in [
        "u8.wav", "s16.wav", "s24.wav", "s32.wav", "f32.wav", "f64.wav", "s16.flac", "s24.flac",
        "s24.aiff", "s16.caf",
    ] {
        let mut recording = support::open(name).unwrap();
        assert_eq!(
            (recording.sample_rate(), recording.channels()),
            (8_000, 2),
            "{name}"
        );
        assert_eq!(
            support::drain(&mut recording).unwrap(),
            support::floats(&format!("{name}.f32")),
            "{name}"
        );
        assert!(recording.warnings().is_empty(), "{name}");
        assert_eq!(recording.duration_seconds(), Some(0.015), "{name}");
    }
}

#[test]
fn codecs_that_cannot_be_decoded_are_named() {
    for (name, word) in [
        ("opus.ogg", "Opus"),
        ("opus.webm", "Opus"),
        ("he-aac.m4a", "HE-AAC"),
        ("click.wma", "WMA"),
    ] {
        for error in [
            support::open(name).map(|_| ()).unwrap_err(),
            probe(support::source(support::bytes(name)), None).unwrap_err(),
        ] {
            assert_eq!(error.code(), "codec_unsupported", "{name}: {error}");
            assert!(error.to_string().contains(word), "{name}: {error}");
        }
    }
}

//! Files that are cut, damaged, empty, endless or no recordings at all: a clear code or what can be saved, never a panic, a hang or much memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use audio::{Error, Limits, Recording, Warning, probe};

use crate::support;

struct Counting;
static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[expect(
    unsafe_code,
    reason = "the only way to count the bytes that the decoders ask for"
)]
// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(
            NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size(),
            Ordering::Relaxed,
        );
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NAMES: &[&str] = &[
    "click.mp3",
    "cbr.mp3",
    "vbr.mp3",
    "click.mp2",
    "click.flac",
    "click.m4a",
    "smpb.m4a",
    "fragmented.m4a",
    "click.aac",
    "alac.m4a",
    "alac.caf",
    "click.mka",
    "aac.mka",
    "flac.oga",
    "mulaw.wav",
    "adpcm.wav",
    "click.ogg",
    "u8.wav",
    "s24.wav",
    "f32.wav",
    "f64.wav",
    "s24.flac",
    "s24.aiff",
    "s16.caf",
    "opus.ogg",
    "opus.webm",
    "he-aac.m4a",
    "click.wma",
];

/// Everything that can happen to a file, except a panic: the count of samples or the code.
fn try_all(data: &[u8]) -> Result<usize, &'static str> {
    let limits = || Limits {
        max_seconds: Some(30.0),
        ..Limits::default()
    };
    let probed = probe(support::source(data.to_vec()), None);
    let mut recording = Recording::open(support::source(data.to_vec()), None, limits())
        .map_err(|error| error.code())?;
    assert!(
        probed.is_ok(),
        "what can be opened can be probed: {probed:?}"
    );
    count(&mut recording).map_err(|error| error.code())
}

fn wav(sample_rate: u32, channels: u16, bits: u16, format: u16, data: &[u8]) -> Vec<u8> {
    let align = channels * (bits / 8);
    let bytes = |text: &[u8], number: u32| [text, &number.to_le_bytes()].concat();
    let length = u32::try_from(data.len()).unwrap();
    let fmt = [
        &format.to_le_bytes()[..],
        &channels.to_le_bytes(),
        &sample_rate.to_le_bytes(),
        &(sample_rate * u32::from(align)).to_le_bytes(),
        &align.to_le_bytes(),
        &bits.to_le_bytes(),
    ]
    .concat();
    [
        bytes(b"RIFF", 36 + length),
        bytes(b"WAVEfmt ", 16),
        fmt,
        bytes(b"data", length),
        data.to_vec(),
    ]
    .concat()
}

/// Decodes without keeping anything.
fn count(recording: &mut Recording) -> Result<usize, Error> {
    let mut samples = 0;
    while let Some(block) = recording.next_block()? {
        samples += block.samples.len();
    }
    Ok(samples)
}

fn code(data: Vec<u8>, limits: Limits) -> &'static str {
    match Recording::open(support::source(data), Some("mp3"), limits)
        .and_then(|mut recording| count(&mut recording))
    {
        Ok(samples) => panic!("{samples} samples"),
        Err(error) => {
            eprintln!("{}: {error}", error.code());
            error.code()
        }
    }
}

#[test]
fn what_is_no_recording_has_a_code() {
    assert_eq!(code(Vec::new(), Limits::default()), "audio_empty");
    assert_eq!(
        code(
            b"Dear diary, today I renamed this to song.mp3.\n".repeat(3000),
            Limits::default()
        ),
        "audio_undecodable"
    );
    assert_eq!(code(b"x".to_vec(), Limits::default()), "audio_undecodable");
    assert_eq!(
        code(vec![0; 100_000], Limits::default()),
        "audio_undecodable"
    );
    assert_eq!(
        code(support::bytes("make.py"), Limits::default()),
        "audio_undecodable"
    );
    assert_eq!(
        code(wav(44_100, 1, 16, 1, &[]), Limits::default()),
        "audio_empty"
    );
    assert_eq!(
        code(
            b"MThd\0\0\0\x06\0\x01\0\x02\0\xdc".to_vec(),
            Limits::default()
        ),
        "codec_unsupported"
    );
}

#[test]
fn shapes_outside_the_limits_are_refused_before_decoding() {
    let samples = [0u8; 1200];
    assert_eq!(
        code(wav(44_100, 10, 16, 1, &samples), Limits::default()),
        "audio_limits"
    );
    assert_eq!(
        code(
            wav(44_100, 2, 16, 1, &samples),
            Limits {
                max_channels: 1,
                ..Limits::default()
            }
        ),
        "audio_limits"
    );
    assert_eq!(
        code(wav(1_000, 1, 16, 1, &samples), Limits::default()),
        "audio_limits"
    );
    assert_eq!(
        code(wav(4_000_000, 1, 16, 1, &samples), Limits::default()),
        "audio_limits"
    );
    assert_eq!(
        code(wav(0, 1, 16, 1, &samples), Limits::default()),
        "audio_undecodable"
    );
}

#[test]
fn the_limit_is_on_decoded_seconds() {
    let second = vec![1u8; 8_000 * 2];
    let limits = |max_seconds| Limits {
        max_seconds: Some(max_seconds),
        ..Limits::default()
    };
    assert_eq!(
        code(wav(8_000, 1, 16, 1, &second), limits(0.999)),
        "audio_too_long"
    );
    let mut recording = Recording::open(
        support::source(wav(8_000, 1, 16, 1, &second)),
        None,
        limits(1.0),
    )
    .unwrap();
    assert_eq!(support::drain(&mut recording).unwrap().len(), 8_000);
}

#[test]
fn hours_of_silence_stop_at_the_limit() {
    // One FLAC frame of constant silence, 65,535 samples in 14 bytes, as in a bomb: the numbers of the frames are patched, and their checksums.
    let started = Instant::now();
    let data = silent_flac(20_000);
    assert!(data.len() < 400_000, "{}", data.len());
    assert_eq!(
        code(
            data,
            Limits {
                max_seconds: Some(600.0),
                ..Limits::default()
            }
        ),
        "audio_too_long"
    );
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

/// A mono FLAC at 44.1 kHz of `count` frames of 65,535 zero samples (`count` * 1.49 s), made here because the point is its length.
fn silent_flac(count: u32) -> Vec<u8> {
    let mut data = b"fLaC\x80\0\0\x22".to_vec();
    let mut info = vec![0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0];
    // 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of length (0 = unknown).
    let packed = (44_100u64 << 44) | (15 << 36);
    info.extend(packed.to_be_bytes());
    info.extend([0; 16]);
    data.extend(info);
    for number in 0..count {
        let mut frame = vec![0xff, 0xf8, 0x70 | 9, 0x08];
        frame.extend(utf8(number));
        frame.extend(0xfffeu16.to_be_bytes());
        frame.push(crc(&frame, 0x07, 8) as u8);
        // A constant subframe: one zero sample.
        frame.extend([0, 0, 0]);
        let checksum = crc(&frame, 0x8005, 16);
        frame.extend((checksum as u16).to_be_bytes());
        data.extend(frame);
    }
    data
}

fn utf8(number: u32) -> Vec<u8> {
    if number < 0x80 {
        vec![number as u8]
    } else {
        char::from_u32(number)
            .map(|c| c.to_string().into_bytes())
            .unwrap()
    }
}

fn crc(bytes: &[u8], polynomial: u32, bits: u32) -> u32 {
    bytes.iter().fold(0, |mut crc, byte| {
        crc ^= u32::from(*byte) << (bits - 8);
        for _ in 0..8 {
            crc = if crc >> (bits - 1) & 1 == 1 {
                crc << 1 ^ polynomial
            } else {
                crc << 1
            };
        }
        crc & ((1 << bits) - 1)
    })
}

#[test]
fn one_sample_is_a_recording() {
    let mut recording = support::open_bytes(wav(44_100, 1, 16, 1, &[0, 64])).unwrap();
    assert_eq!(support::drain(&mut recording).unwrap(), [0.5]);
    assert!(recording.warnings().is_empty());
}

#[test]
fn samples_that_are_no_numbers_become_silence() {
    let samples: Vec<u8> = [0.25f32, f32::NAN, f32::INFINITY, -0.5, f32::NEG_INFINITY]
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    let mut recording = support::open_bytes(wav(44_100, 1, 32, 3, &samples)).unwrap();
    assert_eq!(
        support::drain(&mut recording).unwrap(),
        [0.25, 0.0, 0.0, -0.5, 0.0]
    );
    assert_eq!(
        recording.warnings(),
        [Warning::NonFiniteSamples { count: 3 }]
    );
}

#[test]
fn a_cut_file_gives_what_is_there_and_a_warning() {
    for name in [
        "click.mp3",
        "click.flac",
        "pages.ogg",
        "flac.oga",
        "click.m4a",
        "alac.m4a",
        "clusters.mka",
        "mulaw.wav",
        "s16.wav",
        "s24.aiff",
        "s16.caf",
        "fragmented.m4a",
    ] {
        let mut data = support::bytes(name);
        let whole = support::drain(&mut support::open(name).unwrap()).unwrap();
        if name.ends_with(".m4a") && name != "fragmented.m4a" {
            // Its index stands at the end; the samples are cut instead.
            let index = data
                .windows(4)
                .position(|window| window == b"moov")
                .unwrap()
                - 4;
            let samples = data
                .windows(4)
                .position(|window| window == b"mdat")
                .unwrap()
                - 4;
            data = [
                &data[..samples],
                &data[index..],
                &data[samples..index - 900],
            ]
            .concat();
            move_chunks(&mut data, samples, index);
        } else {
            let last = match name {
                // Mostly headers.
                "pages.ogg" => 400,
                "s16.caf" => 300,
                _ => data.len() / 4,
            };
            data.truncate(data.len() - last);
        }
        let mut recording =
            support::open_bytes(data).unwrap_or_else(|error| panic!("{name}: {error}"));
        let samples = support::drain(&mut recording).unwrap();
        eprintln!(
            "{name}: {} of {} samples, {:?}",
            samples.len(),
            whole.len(),
            recording.warnings()
        );
        assert!(
            samples.len() < whole.len() && samples.len() * 3 > whole.len(),
            "{name}: {} of {}",
            samples.len(),
            whole.len()
        );
        assert!(
            recording.warnings().contains(&Warning::Truncated),
            "{name}: {:?}",
            recording.warnings()
        );
        let same = samples
            .iter()
            .zip(&whole)
            .take_while(|(a, b)| a == b)
            .count();
        assert!(
            same + 2_500 > samples.len(),
            "{name}: the first {same} of {} are the same",
            samples.len()
        );
    }
}

/// The samples moved behind the index: the chunk offsets follow.
fn move_chunks(data: &mut [u8], samples: usize, index: usize) {
    let by = u32::try_from(data.len() - samples).unwrap()
        - u32::try_from(index - samples - 900).unwrap();
    let at = data
        .windows(4)
        .position(|window| window == b"stco")
        .unwrap()
        + 8;
    let count = u32::from_be_bytes(data[at..at + 4].try_into().unwrap()) as usize;
    for entry in data[at + 4..at + 4 + 4 * count].chunks_exact_mut(4) {
        let offset = u32::from_be_bytes(entry.try_into().unwrap()) + by;
        entry.copy_from_slice(&offset.to_be_bytes());
    }
}

#[test]
fn damage_in_the_middle_becomes_silence_and_keeps_the_time() {
    for name in ["click.flac", "click.mp3", "click.mp2"] {
        let mut data = support::bytes(name);
        let whole = support::drain(&mut support::open(name).unwrap()).unwrap();
        let mut middle = data.len() / 2;
        if name != "click.flac" {
            // A frame whose header is gone leaves no trace in an MP3; its body does.
            middle += 40
                + data[middle..]
                    .windows(2)
                    .position(|window| window[0] == 0xff && window[1] >= 0xf0)
                    .unwrap();
        }
        data[middle..middle + 60].fill(0xa5);
        let mut recording = support::open_bytes(data).unwrap();
        let samples = support::drain(&mut recording).unwrap();
        eprintln!(
            "{name}: {} of {} samples, {:?}",
            samples.len(),
            whole.len(),
            recording.warnings()
        );
        let tail = whole.len() - 1_000;
        assert_eq!(samples.len(), whole.len(), "{name}");
        assert!(
            samples[tail..]
                .iter()
                .zip(&whole[tail..])
                .all(|(a, b)| (a - b).abs() < 1e-6),
            "{name}: the end is where it was"
        );
    }
}

#[test]
fn random_bytes_and_random_damage_are_survived() {
    let mut random = support::Random::new();
    std::panic::set_hook(Box::new(|info| {
        // The decoders may panic; what is ours may not.
        if !info
            .location()
            .is_some_and(|place| place.file().contains("symphonia"))
        {
            eprintln!("{info}");
        }
    }));
    let started = Instant::now();
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let mut codes = std::collections::BTreeMap::<&str, usize>::new();
    let mut slowest = (Duration::ZERO, String::new());
    let mut run = |name: &str, data: &[u8]| {
        let began = Instant::now();
        let outcome = try_all(data);
        *codes
            .entry(outcome.map_or_else(|code| code, |_| "decoded"))
            .or_default() += 1;
        if began.elapsed() > slowest.0 {
            slowest = (began.elapsed(), name.to_owned());
        }
    };
    for round in 0..40 {
        for name in NAMES {
            let mut data = support::bytes(name);
            match round % 4 {
                0 => (0..1 + random.below(8)).for_each(|_| {
                    let at = random.below(data.len());
                    data[at] = random.next() as u8;
                }),
                // Headers are where decoders trust.
                1 => (0..1 + random.below(12)).for_each(|_| {
                    let at = random.below(data.len().min(300));
                    data[at] = [0, 0xff, 0x7f, 0x80, random.next() as u8][random.below(5)];
                }),
                2 => data.truncate(random.below(data.len())),
                _ => {
                    let (from, to) = (random.below(data.len()), random.below(data.len()));
                    let piece: Vec<u8> = data[from.min(to)..from.max(to)].to_vec();
                    let at = random.below(data.len());
                    data.splice(at..at, piece);
                }
            }
            run(name, &data);
        }
        let magic = [
            b"".as_slice(),
            b"fLaC",
            b"OggS",
            b"RIFF....WAVE",
            b"\0\0\0\x20ftypM4A ",
            b"caff\0\x01",
            b"\x1a\x45\xdf\xa3",
            b"ID3\x04",
            b"\xff\xfb\x90\xc0",
            b"FORM....AIFF",
        ][random.below(10)];
        let mut data = magic.to_vec();
        data.extend((0..random.below(60_000)).map(|_| random.next() as u8));
        run("random bytes", &data);
    }
    let _ = std::panic::take_hook();
    let peak = PEAK.load(Ordering::Relaxed) - before;
    eprintln!(
        "{codes:?}, slowest {slowest:?}, peak {} KiB, {:?}",
        peak >> 10,
        started.elapsed()
    );
    assert!(slowest.0 < Duration::from_secs(10), "{slowest:?}");
    // Tests beside this one allocate too; a bomb would ask for gigabytes.
    assert!(peak < 64 << 20, "{peak} bytes at once");
    assert!(codes.len() >= 3, "{codes:?}");
}

#[test]
fn a_source_that_fails_is_unreadable() {
    struct Broken(std::io::Cursor<Vec<u8>>, usize);
    impl std::io::Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 = self
                .1
                .checked_sub(1)
                .ok_or_else(|| std::io::Error::other("the store is away"))?;
            self.0.read(buffer)
        }
    }
    impl std::io::Seek for Broken {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }
    impl audio::Source for Broken {
        fn byte_len(&self) -> Option<u64> {
            None
        }
    }
    let mut codes = std::collections::BTreeSet::new();
    for reads in 0..60 {
        let data = wav(44_100, 2, 16, 1, &vec![1; 2_000_000]);
        let broken = Box::new(Broken(std::io::Cursor::new(data), reads));
        let outcome = Recording::open(broken, None, Limits::default())
            .and_then(|mut recording| support::drain(&mut recording));
        codes.insert(outcome.map_or_else(|error: Error| error.code(), |_| "decoded"));
    }
    assert!(
        codes.contains("audio_unreadable") && !codes.contains("audio_undecodable"),
        "{codes:?}"
    );
}

//! Each network on the device: segments cut beforehand, rounds timed until the device is at rest, then one more with marks between its
//! parts.

use std::path::Path;
use std::time::Instant;

use tch::Device;
use transcription::Error;
use transcription::basic_pitch::config as windows;
use transcription::basic_pitch::{BasicPitch, Model, Window, Windows};
use transcription::device::synchronise;
use transcription::mt3::config::{PUBLISHED, SAMPLE_RATE};
use transcription::mt3::segments::Cutter;
use transcription::mt3::{self, Mt3, Passage, Passages, Profile, Rules, Weights, notes};
use transcription::network::{Feed, Network, Segments, Sink, Ticket};
use transcription::stages::{Spent, measured};
use transcription::transkun::{self, Cut, Segment, Shape, Transkun};

use crate::plan::Plan;
use crate::report::Measured;
use crate::roofline::Roofline;
use crate::sounds;

pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// Seconds of the recording that segments come from, again and again.
pub(crate) const SOURCE_SECONDS: usize = 64;
/// Multiply-adds of a window of Basic Pitch as it is written.
const WINDOW_PRODUCTS: f64 = 0.525e9;
/// Bytes that go into and out of its layers, each once.
const WINDOW_BYTES: f64 = 14.1e6;

/// What is cut, drained by a network.
struct Waiting<S>(std::vec::IntoIter<(Ticket, S)>);

impl<S> Feed<S> for Waiting<S> {
    fn pull(&mut self, rows: usize) -> Vec<(Ticket, S)> {
        self.0.by_ref().take(rows).collect()
    }

    fn cancelled(&self, _: Ticket) -> bool {
        false
    }
}

struct Outputs<O>(Vec<(Ticket, O)>);

impl<O> Sink<O> for Outputs<O> {
    fn emit(&mut self, finished: Vec<(Ticket, O)>) {
        self.0.extend(finished);
    }
}

/// All segments through the network, as the engine would have it; outputs in order.
pub(crate) fn drain<N: Network>(
    network: &mut N,
    segments: Vec<N::Segment>,
) -> Result<Vec<N::Output>, Error> {
    let ticket = |(index, segment)| (Ticket { song: 0, index }, segment);
    let tickets: Vec<_> = segments.into_iter().enumerate().map(ticket).collect();
    let (mut waiting, mut outputs) = (Waiting(tickets.into_iter()), Outputs(Vec::new()));
    while waiting.0.len() > 0 {
        network.run(&mut waiting, &mut outputs)?;
    }
    outputs.0.sort_by_key(|(ticket, _)| ticket.index);
    Ok(outputs.0.into_iter().map(|(_, output)| output).collect())
}

/// Seconds of each round, and what a further one spends on what. The first round of all warms up.
pub(crate) fn rounds<T>(
    device: Device,
    count: usize,
    mut prepare: impl FnMut() -> T,
    mut work: impl FnMut(T) -> Result<(), Error>,
) -> Result<(Vec<f64>, Spent), Error> {
    let mut seconds = Vec::new();
    for round in 0..=count {
        let input = prepare();
        synchronise(device)?;
        let begun = Instant::now();
        work(input)?;
        synchronise(device)?;
        if round > 0 {
            seconds.push(begun.elapsed().as_secs_f64());
        }
    }
    let input = prepare();
    let ((), spent) = measured(device, || work(input))?;
    Ok((seconds, spent))
}

/// The source's segments, and again, until there are so many.
fn again<S: Clone>(source: &[S], count: usize) -> Vec<S> {
    source.iter().cycle().take(count).cloned().collect()
}

pub(crate) fn all<S>(mut cut: impl Segments<Segment = S>) -> Result<Vec<S>, Error> {
    std::iter::from_fn(|| cut.next().transpose()).collect()
}

fn of_mt3(device: Device, plan: &Plan) -> Result<Mt3, Error> {
    mt3::set_threads(plan.threads);
    let setup = mt3::Setup {
        device,
        profile: Profile::default(),
        threads: plan.threads,
        rows: plan.mt3_rows,
        libtorch: true,
    };
    Mt3::new(&Weights::random(PUBLISHED, 1), setup)
}

fn forced(tokens: usize) -> Rules {
    Rules {
        limit: Some(tokens),
        forced: true,
        allowed: None,
    }
}

/// All segments to their tokens; fails where one has another number than was forced.
fn speak(
    network: &mut Mt3,
    passages: Vec<Passage>,
    tokens: usize,
) -> Result<Vec<mt3::Spoken>, Error> {
    let spoken = drain(network, passages)?;
    if let Some(other) = spoken.iter().find(|spoken| spoken.tokens.len() != tokens) {
        let message = format!(
            "a segment has {} tokens, {tokens} were forced",
            other.tokens.len()
        );
        return Err(Error::Device {
            message,
            sticky: false,
        });
    }
    Ok(spoken)
}

/// The least time that arithmetic and memory allow: all rows of a wave are at the same position.
fn least_of_mt3(roofline: &Roofline, segments: usize, rows: usize, tokens: usize) -> f64 {
    let listening = (segments * PUBLISHED.listening_products()) as f64 / roofline.products;
    let wave = |rows: usize| -> f64 {
        let step = |at: usize| {
            let products = (rows * PUBLISHED.step_products(at)) as f64 / roofline.products;
            let bytes = PUBLISHED.step_bytes(rows, at) as f64 / roofline.bytes_a_second;
            products.max(bytes)
        };
        (0..tokens - 1).map(step).sum()
    };
    let whole = (segments / rows) as f64 * wave(rows);
    let rest = segments % rows;
    listening + whole + if rest > 0 { wave(rest) } else { 0.0 }
}

pub(crate) fn mt3(device: Device, plan: &Plan) -> Fallible<Measured> {
    let mut network = of_mt3(device, plan)?;
    let (count, tokens) = (plan.mt3_segments, plan.mt3_tokens);
    let recording = sounds::recording(SOURCE_SECONDS)?;
    let source = all(Passages::new(
        recording,
        Profile::default(),
        &PUBLISHED,
        forced(tokens),
    )?)?;
    let rows = network.rows().min(count);
    let prepare = || again(&source, count);
    let (seconds, profile) = rounds(device, plan.rounds, prepare, |passages| {
        speak(&mut network, passages, tokens).map(drop)
    })?;
    Ok(Measured {
        name: format!("mt3, {tokens} tokens a segment"),
        rows,
        audio_seconds: count as f64 * PUBLISHED.frames as f64 * 128.0 / f64::from(SAMPLE_RATE),
        seconds,
        aim: Some(500.0),
        products: (count * PUBLISHED.products(tokens)) as f64,
        least: Box::new(move |roofline| least_of_mt3(roofline, count, rows, tokens)),
        profile,
    })
}

/// From the samples of a whole song to its notes, nothing else on the device.
pub(crate) fn mt3_alone(device: Device, plan: &Plan) -> Fallible<Measured> {
    let mut network = of_mt3(device, plan)?;
    let tokens = plan.mt3_tokens;
    let song = samples(plan.lone_seconds)?;
    let cut = || {
        let mut cutter = Cutter::new(Profile::default(), &PUBLISHED, forced(tokens));
        cutter.samples().extend_from_slice(&song);
        let mut passages: Vec<Passage> = std::iter::from_fn(|| cutter.full()).collect();
        passages.extend(std::iter::from_fn(|| cutter.last()));
        passages
    };
    let count = cut().len();
    let rows = network.rows().min(count);
    let (seconds, profile) = rounds(
        device,
        plan.rounds,
        || (),
        |()| {
            let spoken = speak(&mut network, cut(), tokens)?;
            let segments: Vec<(f64, Vec<i64>)> = spoken
                .into_iter()
                .map(|spoken| (spoken.start, spoken.tokens))
                .collect();
            drop(notes::decode(&segments));
            Ok(())
        },
    )?;
    Ok(Measured {
        name: format!("mt3, a song of {} s alone", plan.lone_seconds),
        rows,
        audio_seconds: plan.lone_seconds as f64,
        seconds,
        aim: Some(150.0),
        products: (count * PUBLISHED.products(tokens)) as f64,
        least: Box::new(move |roofline| least_of_mt3(roofline, count, rows, tokens)),
        profile,
    })
}

/// A decoded song at 16 kHz.
fn samples(seconds: usize) -> Result<Vec<f32>, Error> {
    let mut recording = sounds::recording(seconds)?;
    let mut resampler = audio::Resampler::new(recording.sample_rate(), SAMPLE_RATE)?;
    let (mut mono, mut song) = (Vec::new(), Vec::new());
    while let Some(block) = recording.next_block()? {
        audio::downmix(&block.samples, recording.channels(), &mut mono);
        resampler.process(&mono, &mut song)?;
    }
    resampler.finish(&mut song)?;
    Ok(song)
}

pub(crate) fn transkun(device: Device, plan: &Plan, weights: &Path) -> Fallible<Measured> {
    let setup = transkun::Setup {
        device,
        threads: plan.threads,
        rows: plan.transkun_rows,
        libtorch: true,
    };
    let mut network = Transkun::load(weights, setup)?;
    let shape = Shape::PUBLISHED;
    let source: Vec<Segment> = all(Cut::new(shape, sounds::recording(SOURCE_SECONDS)?)?)?;
    let count = plan.transkun_segments;
    let prepare = || again(&source, count);
    let (seconds, profile) = rounds(device, plan.rounds, prepare, |segments| {
        drain(&mut network, segments).map(drop)
    })?;
    let products = (count * shape.products()) as f64;
    Ok(Measured {
        name: "transkun".into(),
        rows: plan.transkun_rows,
        audio_seconds: (count * shape.step()) as f64 / f64::from(transkun::config::SAMPLE_RATE),
        seconds,
        aim: Some(600.0),
        products,
        least: Box::new(move |roofline| products / roofline.products),
        profile,
    })
}

pub(crate) fn basic_pitch(device: Device, plan: &Plan, weights: &Path) -> Fallible<Measured> {
    tch::set_num_threads(i32::try_from(plan.threads).unwrap_or(1));
    let mut network = BasicPitch::new(Model::load_in_libtorch(weights, device)?, plan.window_rows);
    let source: Vec<Window> = all(Windows::new(sounds::recording(SOURCE_SECONDS)?)?)?;
    let count = plan.windows;
    let prepare = || -> Vec<Window> {
        let copy = |window: &Window| Window {
            samples: window.samples.clone(),
            song_samples: window.song_samples,
        };
        source.iter().cycle().take(count).map(copy).collect()
    };
    let (seconds, profile) = rounds(device, plan.rounds, prepare, |segments| {
        drain(&mut network, segments).map(drop)
    })?;
    let (products, bytes) = (count as f64 * WINDOW_PRODUCTS, count as f64 * WINDOW_BYTES);
    Ok(Measured {
        name: "basic-pitch".into(),
        rows: plan.window_rows,
        audio_seconds: (count * windows::WINDOW_HOP) as f64 / f64::from(windows::SAMPLE_RATE),
        seconds,
        aim: Some(5_000.0),
        products,
        least: Box::new(move |roofline| {
            (products / roofline.products).max(bytes / roofline.bytes_a_second)
        }),
        profile,
    })
}

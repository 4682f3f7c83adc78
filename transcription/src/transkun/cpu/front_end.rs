//! A segment becomes six pictures of its loudness, one for each window: frames, Fourier transforms, powers, mel bands, logarithms.
//!
//! Two windows of a frame travel through one complex transform of 4096 = 64 x 64 points, done as 64 transforms of 64 points down the columns of
//! a square, twice, with a turn in between: neighbouring columns lie side by side, so there is nothing to shuffle.

use std::f64::consts::TAU;

use super::image::Image;
use crate::cpu::crew::Crew;
use crate::cpu::{Isa, Lanes, Work};
use crate::transkun::config::{BINS, HOP, MELS, Shape, VIEWS, WINDOW};
use crate::transkun::segments::Segment;

/// The side of the square.
const SIDE: usize = 64;
/// A side again is eight by eight.
const EIGHT: usize = 8;
/// What the logarithm of nothing is taken of.
const FLOOR: f32 = 1e-5;

/// Windows, turns and mel bands.
pub(super) struct FrontEnd {
    shape: Shape,
    windows: Vec<f32>,
    /// `[row][column]`, cosines and sines of the turns between the two passes, and between the two halves of a pass.
    turns: [Vec<f32>; 2],
    inner: [[[f32; 2]; EIGHT]; EIGHT],
    /// Each band's first frequency and the weights from it on.
    bands: Vec<(usize, Vec<f32>)>,
    /// The frequencies that any band asks for.
    bins: usize,
}

impl FrontEnd {
    /// `windows`: `[VIEWS][WINDOW]`; `mels`: `[BINS][MELS]`.
    pub(super) fn new(shape: Shape, windows: Vec<f32>, mels: &[f32]) -> Self {
        let angle = |times: usize, points: usize| -TAU * times as f64 / points as f64;
        let square = |f: &dyn Fn(f64) -> f64| {
            (0..WINDOW)
                .map(|at| f(angle(at / SIDE * (at % SIDE), WINDOW)) as f32)
                .collect()
        };
        let bands: Vec<(usize, Vec<f32>)> = (0..MELS)
            .map(|mel| {
                let column: Vec<f32> = (0..BINS).map(|bin| mels[bin * MELS + mel]).collect();
                let first = column.iter().position(|weight| *weight != 0.0);
                let last = column.iter().rposition(|weight| *weight != 0.0);
                match (first, last) {
                    (Some(first), Some(last)) => (first, column[first..=last].to_vec()),
                    _ => (0, Vec::new()),
                }
            })
            .collect();
        FrontEnd {
            shape,
            windows,
            turns: [square(&f64::cos), square(&f64::sin)],
            inner: std::array::from_fn(|row| {
                std::array::from_fn(|column| {
                    let angle = angle(row * column, SIDE);
                    [angle.cos() as f32, angle.sin() as f32]
                })
            }),
            bins: bands
                .iter()
                .map(|(first, weights)| first + weights.len())
                .max()
                .unwrap_or(0),
            bands,
        }
    }

    /// Fills `features`, one pixel's channels being the six windows.
    pub(super) fn run(&self, crew: Crew, isa: Isa, segment: &Segment, features: &mut Image) {
        let channels = self.levelled(segment);
        crew.share(features.rows_mut(), Desk::default, |desk, frame, row| {
            desk.powers.fill(0.0);
            for channel in &channels {
                let samples = &channel[frame * HOP..][..WINDOW];
                for pair in 0..VIEWS / 2 {
                    isa.run(Pair {
                        front_end: self,
                        samples,
                        windows: &self.windows[2 * pair * WINDOW..][..2 * WINDOW],
                        powers: &mut desk.powers[2 * pair * BINS..][..2 * BINS],
                        squares: &mut desk.squares,
                    });
                }
            }
            self.bands(&desk.powers, channels.len(), row);
        });
    }

    /// The channels with their borders of silence, of mean zero and deviation one over all frames, in which most samples come four times.
    fn levelled(&self, segment: &Segment) -> Vec<Vec<f32>> {
        let frames = self.shape.frames();
        let length = (frames - 1) * HOP + WINDOW;
        let border = WINDOW / 2;
        let times = |at: usize| {
            let last = (at / HOP).min(frames - 1);
            let first = (at + 1).saturating_sub(WINDOW).div_ceil(HOP);
            (last + 1 - first) as f64
        };
        let times: Vec<f64> = (0..length).map(times).collect();
        let channels = segment.channels();
        let mut padded: Vec<Vec<f32>> = (0..channels)
            .map(|channel| {
                let mut padded = vec![0f32; border];
                segment
                    .channel(channel)
                    .into_iter()
                    .for_each(|part| padded.extend_from_slice(part));
                padded.resize(length, 0.0);
                padded
            })
            .collect();
        let count = (channels * frames * WINDOW) as f64;
        let over_all = |term: &dyn Fn(f64) -> f64| -> f64 {
            padded
                .iter()
                .map(|samples| {
                    let terms = samples.iter().zip(&times);
                    terms
                        .map(|(sample, times)| times * term(f64::from(*sample)))
                        .sum::<f64>()
                })
                .sum()
        };
        let mean = over_all(&|sample| sample) / count;
        let variance = over_all(&|sample| (sample - mean) * (sample - mean)) / (count - 1.0);
        let (mean, deviation) = (mean as f32, variance.sqrt() as f32 + 1e-8);
        for sample in padded.iter_mut().flatten() {
            *sample = (*sample - mean) / deviation;
        }
        padded
    }

    /// `powers`: `[VIEWS][BINS]`, summed over the channels.
    fn bands(&self, powers: &[f32], channels: usize, row: &mut [f32]) {
        // The transform's norm, the mean of the channels, and the half that splits two real signals, squared.
        let factor = 1.0 / (WINDOW * channels * 4) as f32;
        let floor = FLOOR.ln();
        for (view, powers) in powers.chunks_exact(BINS).enumerate() {
            for (mel, (first, weights)) in self.bands.iter().enumerate() {
                let terms = weights.iter().zip(&powers[*first..]);
                let sum: f32 = terms.map(|(weight, power)| weight * power).sum();
                row[mel * VIEWS + view] = ((sum * factor + FLOOR).ln() - floor) / -floor;
            }
        }
    }
}

/// What one thread works on.
struct Desk {
    powers: Vec<f32>,
    /// Real and imaginary squares, before and after a pass.
    squares: [Vec<f32>; 4],
}

impl Default for Desk {
    fn default() -> Self {
        Desk {
            powers: vec![0.0; VIEWS * BINS],
            squares: std::array::from_fn(|_| vec![0.0; WINDOW]),
        }
    }
}

/// Two windows of one frame: adds four times the power of each frequency that is asked for.
struct Pair<'a> {
    front_end: &'a FrontEnd,
    samples: &'a [f32],
    windows: &'a [f32],
    powers: &'a mut [f32],
    squares: &'a mut [Vec<f32>; 4],
}

impl Work for Pair<'_> {
    type Out = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let [real, imaginary, other_real, other_imaginary] = self.squares;
        let (first, second) = self.windows.split_at(WINDOW);
        for (out, (sample, window)) in real.iter_mut().zip(self.samples.iter().zip(first)) {
            *out = sample * window;
        }
        for (out, (sample, window)) in imaginary.iter_mut().zip(self.samples.iter().zip(second)) {
            *out = sample * window;
        }
        let front_end = self.front_end;
        pass::<V>(
            &front_end.inner,
            (real, imaginary),
            (other_real, other_imaginary),
        );
        let [cosines, sines] = &front_end.turns;
        for at in 0..WINDOW {
            let (re, im) = (other_real[at], other_imaginary[at]);
            real[at] = re * cosines[at] - im * sines[at];
            imaginary[at] = re * sines[at] + im * cosines[at];
        }
        transpose(real, other_real);
        transpose(imaginary, other_imaginary);
        pass::<V>(
            &front_end.inner,
            (other_real, other_imaginary),
            (real, imaginary),
        );
        let (first, second) = self.powers.split_at_mut(BINS);
        for bin in 0..front_end.bins {
            let mirror = (WINDOW - bin) % WINDOW;
            let sum = [real[bin] + real[mirror], imaginary[bin] + imaginary[mirror]];
            let difference = [real[bin] - real[mirror], imaginary[bin] - imaginary[mirror]];
            first[bin] += sum[0] * sum[0] + difference[1] * difference[1];
            second[bin] += sum[1] * sum[1] + difference[0] * difference[0];
        }
    }
}

#[inline(always)]
fn transpose(from: &[f32], to: &mut [f32]) {
    const TILE: usize = 8;
    for rows in (0..SIDE).step_by(TILE) {
        for columns in (0..SIDE).step_by(TILE) {
            for row in rows..rows + TILE {
                for column in columns..columns + TILE {
                    to[column * SIDE + row] = from[row * SIDE + column];
                }
            }
        }
    }
}

/// Transforms of 64 points down each of 64 columns: eight of every eighth row, a turn, and eight of eight neighbours.
#[inline(always)]
fn pass<V: Lanes>(
    turns: &[[[f32; 2]; EIGHT]; EIGHT],
    from: (&[f32], &[f32]),
    to: (&mut [f32], &mut [f32]),
) {
    let mut column = 0;
    while column < SIDE {
        let mut between = [[[V::splat(0.0); 2]; EIGHT]; EIGHT];
        for start in 0..EIGHT {
            let mut points = [[V::splat(0.0); 2]; EIGHT];
            for (at, point) in points.iter_mut().enumerate() {
                let place = (at * EIGHT + start) * SIDE + column;
                *point = [V::read(from.0, place), V::read(from.1, place)];
            }
            let points = eight::<V>(points);
            for (at, [re, im]) in points.into_iter().enumerate() {
                let [cosine, sine] = turns[start][at];
                let (cosine, sine) = (V::splat(cosine), V::splat(sine));
                between[at][start] = [
                    re.mul(cosine).sub(im.mul(sine)),
                    re.mul(sine).add(im.mul(cosine)),
                ];
            }
        }
        for (first, points) in between.into_iter().enumerate() {
            for (at, [re, im]) in eight::<V>(points).into_iter().enumerate() {
                let place = (first + EIGHT * at) * SIDE + column;
                re.write(to.0, place);
                im.write(to.1, place);
            }
        }
        column += V::LANES;
    }
}

#[inline(always)]
fn add<V: Lanes>(a: [V; 2], b: [V; 2]) -> [V; 2] {
    [a[0].add(b[0]), a[1].add(b[1])]
}

#[inline(always)]
fn sub<V: Lanes>(a: [V; 2], b: [V; 2]) -> [V; 2] {
    [a[0].sub(b[0]), a[1].sub(b[1])]
}

/// A quarter of a turn back.
#[inline(always)]
fn turn<V: Lanes>(a: [V; 2]) -> [V; 2] {
    [a[1], V::splat(0.0).sub(a[0])]
}

/// A transform of eight points, in order.
#[inline(always)]
fn eight<V: Lanes>(x: [[V; 2]; EIGHT]) -> [[V; 2]; EIGHT] {
    let root = V::splat(std::f32::consts::FRAC_1_SQRT_2);
    let (a0, a4) = (add(x[0], x[4]), sub(x[0], x[4]));
    let (a2, a6) = (add(x[2], x[6]), turn(sub(x[2], x[6])));
    let (a1, a5) = (add(x[1], x[5]), sub(x[1], x[5]));
    let (a3, a7) = (add(x[3], x[7]), turn(sub(x[3], x[7])));
    let (b0, b2) = (add(a0, a2), sub(a0, a2));
    let (b1, b3) = (add(a4, a6), sub(a4, a6));
    let (c0, c2) = (add(a1, a3), turn(sub(a1, a3)));
    let (c1, c3) = (add(a5, a7), sub(a5, a7));
    // Eighths of a turn.
    let c1 = [c1[0].add(c1[1]).mul(root), c1[1].sub(c1[0]).mul(root)];
    let c3 = [
        c3[1].sub(c3[0]).mul(root),
        V::splat(0.0).sub(c3[0].add(c3[1])).mul(root),
    ];
    [
        add(b0, c0),
        add(b1, c1),
        add(b2, c2),
        add(b3, c3),
        sub(b0, c0),
        sub(b1, c1),
        sub(b2, c2),
        sub(b3, c3),
    ]
}

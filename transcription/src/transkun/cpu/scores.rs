//! The scores of a symbol's intervals, never more than a panel of them at a time, and the intervals that may sound.
//!
//! A frame is one of eight in its row of the transformer: its numbers are a product of the row's with one of eight matrices. Where only
//! scores are wanted, those matrices are multiplied with the scorer's own beforehand.

use crate::cpu::Isa;
use crate::cpu::product::{Finish, PANEL, Packed, Rows, product};
use crate::transkun::config::{PATCH, Shape};
use crate::transkun::semi_crf::{Scored, best_of};

/// From a row of the transformer to its eight frames.
pub(super) struct Scorer {
    shape: Shape,
    /// What a frame is like as an interval's end, as its beginning, and by itself.
    end: Projection,
    begin: Projection,
    single: Projection,
}

/// `[row's numbers][frame of the row][numbers]`
struct Projection {
    weights: Packed,
    bias: Vec<f32>,
    /// Numbers of a frame.
    width: usize,
}

/// A matrix that gives `width` numbers of a frame, `[input][frame of the row][width]`, and what is added to them.
fn compose(up: &[f32], up_bias: &[f32], rows: &[f32], bias: &[f32], factor: f64) -> Projection {
    let inputs = up_bias.len();
    let width = bias.len();
    // The sums run along `middle`; its columns side by side let a processor do many at once.
    let turned: Vec<f64> = (0..inputs * width)
        .map(|at| f64::from(rows[at % width * inputs + at / width]) * factor)
        .collect();
    let mut whole = vec![0f32; inputs * PATCH * width];
    let mut sums = vec![0f64; width];
    for (place, out) in whole.chunks_exact_mut(width).enumerate() {
        let (input, frame) = (place / PATCH, place % PATCH);
        sums.fill(0.0);
        for (middle, terms) in turned.chunks_exact(width).enumerate() {
            let weight = f64::from(up[(input * inputs + middle) * PATCH + frame]);
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum += weight * term;
            }
        }
        for (out, sum) in out.iter_mut().zip(&sums) {
            *out = *sum as f32;
        }
    }
    let bias = (0..width)
        .map(|at| {
            let through: f64 = (0..inputs)
                .map(|middle| f64::from(up_bias[middle]) * turned[middle * width + at])
                .sum();
            (f64::from(bias[at]) * factor + through) as f32
        })
        .collect();
    let columns = PATCH * width;
    Projection {
        weights: Packed::new(inputs, columns, |input, column| {
            whole[input * columns + column]
        }),
        bias,
        width,
    }
}

impl Scorer {
    /// `up`: `[input][output][frame]`; `map`: `[output][input]`, ends first, then beginnings, then one row for frames by themselves.
    pub(super) fn new(shape: Shape, up: (&[f32], &[f32]), map: (&[f32], &[f32])) -> Self {
        let width = shape.width();
        let part = |from: usize, count: usize, factor: f64| {
            let rows = &map.0[from * width..(from + count) * width];
            compose(up.0, up.1, rows, &map.1[from..from + count], factor)
        };
        Scorer {
            shape,
            end: part(0, width, 1.0 / (width as f64).sqrt()),
            begin: part(width, width, 1.0),
            single: part(2 * width, 1, 1.0),
        }
    }

    /// The intervals that may sound, by ascending begin. `symbol` is one symbol's rows of the transformer.
    pub(super) fn intervals(&self, isa: Isa, desk: &mut Desk, symbol: &[f32]) -> Vec<(u16, u16)> {
        let (frames, width) = (self.shape.frames(), self.shape.width());
        self.end.frames(isa, symbol, &mut desk.rows);
        turn(&desk.rows[..frames * width], width, &mut desk.ends);
        self.single.frames(isa, symbol, &mut desk.single);
        self.begin.frames(isa, symbol, &mut desk.rows);
        desk.positive.clear();
        for panel in 0..frames.div_ceil(PANEL) {
            let end = panel * PANEL;
            // Whoever begins after the panel's last end is not asked.
            let count = (end + PANEL - 1).min(frames);
            let mut collect = Collect {
                positive: &mut desk.positive,
                end,
                count: PANEL.min(frames - end),
            };
            let rows = Rows::plain(&desk.rows, width, width, count);
            let ends = &desk.ends[panel * width * PANEL..][..width * PANEL];
            product(isa, rows, ends, &mut collect);
        }
        desk.positive
            .sort_unstable_by_key(|scored| (scored.begin, scored.end));
        best_of(&desk.positive, &desk.single[..frames])
            .all()
            .collect()
    }
}

impl Projection {
    /// A symbol's rows become frames, `[frame][width]`.
    fn frames(&self, isa: Isa, symbol: &[f32], out: &mut [f32]) {
        let depth = self.weights.depth;
        let rows = Rows::plain(symbol, depth, depth, symbol.len() / depth);
        for panel in 0..self.weights.panels() {
            let columns = PANEL.min(self.weights.columns - panel * PANEL);
            let mut finish = Spread {
                out: &mut out[panel * PANEL..],
                stride: PATCH * self.width,
                columns,
                bias: &self.bias,
                first: panel * PANEL,
            };
            product(isa, rows, self.weights.panel(panel), &mut finish);
        }
    }
}

/// What one thread works on.
pub(super) struct Desk {
    rows: Vec<f32>,
    /// `[panel of frames][number][PANEL]`
    ends: Vec<f32>,
    single: Vec<f32>,
    positive: Vec<Scored>,
}

impl Desk {
    pub(super) fn new(shape: &Shape) -> Self {
        let frames = (shape.rows() - 1) * PATCH;
        Desk {
            rows: vec![0.0; frames * shape.width()],
            ends: vec![0.0; frames.next_multiple_of(PANEL) * shape.width()],
            single: vec![0.0; frames],
            positive: Vec::new(),
        }
    }
}

/// Rows of frames become panels of columns.
fn turn(rows: &[f32], width: usize, panels: &mut [f32]) {
    let blocks = rows.chunks(PANEL * width);
    for (block, panel) in blocks.zip(panels.chunks_exact_mut(PANEL * width)) {
        for (at, row) in block.chunks_exact(width).enumerate() {
            for (number, column) in row.iter().zip(panel.chunks_exact_mut(PANEL)) {
                column[at] = *number;
            }
        }
    }
}

struct Spread<'a> {
    out: &'a mut [f32],
    stride: usize,
    columns: usize,
    bias: &'a [f32],
    first: usize,
}

impl Finish for Spread<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize, sums: &[f32; PANEL]) {
        let out = &mut self.out[row * self.stride..][..self.columns];
        let width = self.bias.len();
        if width.is_multiple_of(PANEL) {
            let bias = &self.bias[self.first % width..][..PANEL];
            for ((out, sum), bias) in out.iter_mut().zip(sums).zip(bias) {
                *out = sum + bias;
            }
        } else {
            for (at, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
                *out = sum + self.bias[(self.first + at) % width];
            }
        }
    }
}

/// Keeps the positive scores of intervals that end after they begin. A score is a sum times the interval's length.
struct Collect<'a> {
    positive: &'a mut Vec<Scored>,
    /// The panel's first frame.
    end: usize,
    /// Its frames.
    count: usize,
}

impl Finish for Collect<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize, sums: &[f32; PANEL]) {
        let mut highest = [f32::NEG_INFINITY; 16];
        for half in sums.as_chunks::<16>().0 {
            for (highest, sum) in highest.iter_mut().zip(half) {
                *highest = if *sum > *highest { *sum } else { *highest };
            }
        }
        if highest.iter().fold(false, |any, sum| any | (*sum > 0.0)) {
            self.keep(row, sums);
        }
    }
}

impl Collect<'_> {
    #[inline(never)]
    fn keep(&mut self, begin: usize, sums: &[f32; PANEL]) {
        for (at, sum) in sums.iter().enumerate().take(self.count) {
            let end = self.end + at;
            if end > begin && *sum > 0.0 {
                self.positive.push(Scored {
                    begin: begin as u16,
                    end: end as u16,
                    score: sum * (end - begin) as f32,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::noise::noise;
    use crate::transkun::semi_crf::best_of_all;

    #[test]
    fn intervals_are_those_of_the_whole_program_over_every_score() {
        let shape = Shape {
            base: 16,
            layers: 1,
            inner: 8,
            hop_seconds: 1,
        };
        let (width, frames, rows) = (shape.width(), shape.frames(), shape.rows() - 1);
        let up = noise(1, width * width * PATCH);
        let up_bias = noise(2, width);
        let map = noise(3, (2 * width + 1) * width);
        for (seed, lift) in [(4, 0.0), (5, 0.4), (6, 1.0)] {
            let mut bias = noise(seed, 2 * width + 1);
            // More or fewer positive scores.
            bias[..width].iter_mut().for_each(|bias| *bias += lift);
            bias[width..].iter_mut().for_each(|bias| *bias += lift);
            let scorer = Scorer::new(shape, (&up, &up_bias), (&map, &bias));
            let symbol = noise(seed + 10, rows * width);
            let frame = |at: usize| -> Vec<f64> {
                (0..width)
                    .map(|out| {
                        let sum: f64 = (0..width)
                            .map(|input| {
                                f64::from(symbol[at / PATCH * width + input])
                                    * f64::from(up[(input * width + out) * PATCH + at % PATCH])
                            })
                            .sum();
                        sum + f64::from(up_bias[out])
                    })
                    .collect()
            };
            let mapped: Vec<Vec<f64>> = (0..frames)
                .map(|at| {
                    let frame = frame(at);
                    (0..=2 * width)
                        .map(|out| {
                            let row = &map[out * width..][..width];
                            let terms = row.iter().zip(&frame);
                            terms.map(|(a, b)| f64::from(*a) * b).sum::<f64>()
                                + f64::from(bias[out])
                        })
                        .collect()
                })
                .collect();
            let mut scores = vec![0f32; frames * frames];
            for begin in 0..frames {
                for end in begin + 1..frames {
                    let ends = mapped[end][..width].iter();
                    let dot: f64 = ends.zip(&mapped[begin][width..]).map(|(a, b)| a * b).sum();
                    scores[begin * frames + end] =
                        (dot / (width as f64).sqrt() * (end - begin) as f64) as f32;
                }
            }
            let single: Vec<f32> = mapped.iter().map(|frame| frame[2 * width] as f32).collect();
            let expected: Vec<(u16, u16)> = best_of_all(&scores, &single).all().collect();
            for isa in Isa::all() {
                let found = scorer.intervals(isa, &mut Desk::new(&shape), &symbol);
                assert_eq!(found, expected, "{isa:?}, lifted by {lift}");
            }
            assert!(!expected.is_empty());
        }
    }
}

//! Products of rows and packed matrices: `sum over taps and depth of a[row][tap][depth] * b[tap][depth][column]`. A convolution over pixels
//! whose channels lie side by side is such a product, its taps the neighbours; a plain product has one tap.
//!
//! The right side comes in panels of 32 columns ([`Packed`]), so that a panel stays in the nearest cache while the rows pass. Each sum is one
//! chain along taps and depth, whatever the vectors' width and however many rows are taken at once.

#![expect(
    unsafe_code,
    reason = "the innermost loop reads what was checked once before it"
)]

use crate::cpu::aligned::Aligned;
use crate::cpu::{Isa, Lanes, Work};

/// Columns of a panel.
pub(crate) const PANEL: usize = 32;
/// Rows that the widest vectors take at once.
const MOST: usize = 12;

/// A matrix in panels of [`PANEL`] columns, the last one filled with zeros: `[panel][depth][PANEL]`.
pub(crate) struct Packed {
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    numbers: Aligned,
}

impl Packed {
    /// `at(depth, column)` gives the matrix.
    pub(crate) fn new(depth: usize, columns: usize, at: impl Fn(usize, usize) -> f32) -> Self {
        let panels = columns.div_ceil(PANEL);
        let mut numbers = Aligned::zeros(panels * depth * PANEL);
        for (panel, block) in numbers.chunks_exact_mut(depth * PANEL).enumerate() {
            for (depth, row) in block.chunks_exact_mut(PANEL).enumerate() {
                for (column, number) in row.iter_mut().enumerate() {
                    if panel * PANEL + column < columns {
                        *number = at(depth, panel * PANEL + column);
                    }
                }
            }
        }
        Packed {
            depth,
            columns,
            numbers,
        }
    }

    pub(crate) fn panels(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    pub(crate) fn panel(&self, panel: usize) -> &[f32] {
        &self.numbers[panel * self.depth * PANEL..][..self.depth * PANEL]
    }
}

/// Rows of the left side: row `r` begins at `start + r * stride`, its tap `t` another `taps[t]` further on.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) numbers: &'a [f32],
    pub(crate) start: usize,
    pub(crate) stride: usize,
    pub(crate) taps: &'a [usize],
    /// Numbers of a tap.
    pub(crate) depth: usize,
    pub(crate) count: usize,
}

impl<'a> Rows<'a> {
    /// Rows of a plain matrix.
    pub(crate) fn plain(numbers: &'a [f32], stride: usize, depth: usize, count: usize) -> Self {
        Rows {
            numbers,
            start: 0,
            stride,
            taps: &[0],
            depth,
            count,
        }
    }
}

/// What becomes of the sums: called with a panel's row, [`PANEL`] sums side by side.
pub(crate) trait Finish {
    /// Must be `#[inline(always)]`, to be compiled for each kind of processor.
    fn row(&mut self, row: usize, sums: &[f32; PANEL]);
}

/// All rows times one panel.
pub(crate) fn product<F: Finish>(isa: Isa, rows: Rows<'_>, panel: &[f32], finish: &mut F) {
    let reach = rows.taps.iter().copied().max().unwrap_or(0) + rows.depth;
    assert!(
        rows.count == 0
            || rows.start + (rows.count - 1) * rows.stride + reach <= rows.numbers.len(),
        "a row ends outside of its numbers"
    );
    assert!(
        rows.taps.len() * rows.depth * PANEL <= panel.len(),
        "a panel has a row for each number of a row"
    );
    isa.run(Checked {
        rows,
        panel,
        finish,
    });
}

struct Checked<'a, F> {
    rows: Rows<'a>,
    panel: &'a [f32],
    finish: &'a mut F,
}

macro_rules! rest {
    ($vector:ty, $left:expr, $rows:expr, $row:expr, $panel:expr, $finish:expr, $($count:literal)*) => {
        match $left {
            $($count => tile::<$vector, F, $count>($rows, $row, $panel, $finish),)*
            _ => {}
        }
    };
}

impl<F: Finish> Work for Checked<'_, F> {
    type Out = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Checked {
            rows,
            panel,
            finish,
        } = self;
        let mut row = 0;
        if V::LANES == 16 {
            while row + MOST <= rows.count {
                tile::<V, F, MOST>(&rows, row, panel, finish);
                row += MOST;
            }
            rest!(V, rows.count - row, &rows, row, panel, finish, 1 2 3 4 5 6 7 8 9 10 11);
        } else {
            while row + 6 <= rows.count {
                tile::<V, F, 6>(&rows, row, panel, finish);
                row += 6;
            }
            rest!(V, rows.count - row, &rows, row, panel, finish, 1 2 3 4 5);
        }
    }
}

/// `R` rows by the panel, two vectors of columns at a time.
#[inline(always)]
fn tile<V: Lanes, F: Finish, const R: usize>(
    rows: &Rows<'_>,
    row: usize,
    panel: &[f32],
    finish: &mut F,
) {
    let mut out = [[0f32; PANEL]; R];
    let mut column = 0;
    while column < PANEL {
        let mut sums = [[V::splat(0.0); 2]; R];
        // SAFETY: `product` checked that the last row's last tap ends inside the numbers, and that the panel has enough rows.
        unsafe {
            let first = rows.numbers.as_ptr().add(rows.start + row * rows.stride);
            let mut right = panel.as_ptr().add(column);
            for tap in rows.taps {
                let left = first.add(*tap);
                for at in 0..rows.depth {
                    let columns = [V::load(right), V::load(right.add(V::LANES))];
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let factor = V::splat(*left.add(r * rows.stride + at));
                        sums[0] = factor.mul_add(columns[0], sums[0]);
                        sums[1] = factor.mul_add(columns[1], sums[1]);
                    }
                    right = right.add(PANEL);
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            sums[0].write(out, column);
            sums[1].write(out, column + V::LANES);
        }
        column += 2 * V::LANES;
    }
    for (at, sums) in out.iter().enumerate() {
        finish.row(row + at, sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::noise::noise;

    struct Keep<'a>(&'a mut [f32]);

    impl Finish for Keep<'_> {
        #[inline(always)]
        fn row(&mut self, row: usize, sums: &[f32; PANEL]) {
            self.0[row * PANEL..][..PANEL].copy_from_slice(sums);
        }
    }

    #[test]
    fn every_kind_of_processor_gives_the_sums_of_the_definition() {
        let (depth, stride, taps) = (7, 9, [0, 3, 40]);
        let columns = 45;
        for count in [1, 5, 6, 11, 12, 13, 29] {
            let numbers = noise(1, 2 + (count - 1) * stride + 40 + depth);
            let weights = noise(2, taps.len() * depth * columns);
            let packed = Packed::new(taps.len() * depth, columns, |depth, column| {
                weights[depth * columns + column]
            });
            let rows = Rows {
                numbers: &numbers,
                start: 2,
                stride,
                taps: &taps,
                depth,
                count,
            };
            for isa in Isa::all() {
                for panel in 0..packed.panels() {
                    let mut out = vec![f32::NAN; count * PANEL];
                    product(isa, rows, packed.panel(panel), &mut Keep(&mut out));
                    for row in 0..count {
                        for column in 0..PANEL {
                            let whole = panel * PANEL + column;
                            let exact: f64 = (0..taps.len() * depth)
                                .filter(|_| whole < columns)
                                .map(|at| {
                                    let left =
                                        numbers[2 + row * stride + taps[at / depth] + at % depth];
                                    f64::from(left) * f64::from(weights[at * columns + whole])
                                })
                                .sum();
                            let gap = (f64::from(out[row * PANEL + column]) - exact).abs();
                            assert!(gap < 1e-6, "{isa:?}, {count} rows: {row}, {whole}");
                        }
                    }
                }
            }
        }
    }
}

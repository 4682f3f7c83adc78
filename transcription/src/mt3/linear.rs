//! A layer's matrix. On the CPU it is packed once for products of our own, which take half as long there as libtorch's and whose sums do
//! not depend on what other rows there are; elsewhere it is a tensor.

use tch::Tensor;

use super::cache::numbers;
use crate::Error;
use crate::cpu::Isa;
use crate::cpu::crew::Crew;
use crate::cpu::product::{Finish, PANEL, Packed, Rows, product};

/// Rows that are taken through all panels at once: as many as stay in a cache beside one panel.
const BLOCK: usize = 96;
/// With fewer rows for each thread, threads share the columns instead.
const FEW: usize = 8;
/// Below so many products a second thread costs more than it does.
const WORTH_A_THREAD: usize = 1 << 19;

/// `[columns, depth]` as the network writes it.
pub(super) enum Linear {
    Tensor(Tensor),
    Own(Box<Own>),
}

impl Linear {
    /// `threads`: of our own products; none for libtorch's.
    pub(super) fn new(weight: Tensor, threads: Option<usize>) -> Result<Self, Error> {
        let Some(threads) = threads else {
            return Ok(Linear::Tensor(weight));
        };
        let [columns, depth] = weight.size()[..] else {
            return Ok(Linear::Tensor(weight));
        };
        let (columns, depth) = (columns as usize, depth as usize);
        let plain = numbers(&weight)?;
        Ok(Linear::Own(Box::new(Own {
            packed: Packed::new(depth, columns, |at, column| plain[column * depth + at]),
            isa: Isa::detect(),
            threads,
        })))
    }

    /// `[.., depth]` -> `[.., columns]`.
    pub(super) fn forward(&self, xs: &Tensor) -> Result<Tensor, Error> {
        match self {
            Linear::Tensor(weight) => Ok(xs.f_linear(weight, None::<Tensor>)?),
            Linear::Own(own) => {
                let xs = xs.f_contiguous()?;
                let mut size = xs.size();
                let out = own.forward(numbers(&xs)?);
                if let Some(last) = size.last_mut() {
                    *last = own.packed.columns as i64;
                }
                Ok(Tensor::f_from_slice(&out)?.f_view(&size[..])?)
            }
        }
    }
}

pub(super) struct Own {
    packed: Packed,
    isa: Isa,
    threads: usize,
}

impl Own {
    fn forward(&self, xs: &[f32]) -> Vec<f32> {
        let (depth, columns) = (self.packed.depth, self.packed.columns);
        let rows = xs.len() / depth;
        let mut out = vec![0f32; rows * columns];
        let work = rows * depth * columns;
        let threads = self.threads.min(work / WORTH_A_THREAD).max(1);
        if rows >= threads * FEW || threads == 1 {
            let block = rows.div_ceil(threads).clamp(1, BLOCK);
            let pieces = out
                .chunks_mut(block * columns)
                .zip(xs.chunks(block * depth));
            Crew(threads).share(
                pieces,
                || (),
                |(), _, (out, xs)| {
                    self.columns(xs, 0..self.packed.panels(), columns, out);
                },
            );
            return out;
        }
        let panels = self.packed.panels();
        let part = panels.div_ceil(threads);
        let mut parts: Vec<(usize, Vec<f32>)> = (0..panels)
            .step_by(part)
            .map(|first| (first, vec![0f32; rows * part * PANEL]))
            .collect();
        Crew(threads).share(
            &mut parts,
            || (),
            |(), _, (first, out)| {
                let last = (*first + part).min(panels);
                self.columns(xs, *first..last, part * PANEL, out);
            },
        );
        for (first, part_out) in &parts {
            let first = first * PANEL;
            let width = (part * PANEL).min(columns - first);
            let rows = out
                .chunks_exact_mut(columns)
                .zip(part_out.chunks_exact(part * PANEL));
            for (row, part_row) in rows {
                row[first..first + width].copy_from_slice(&part_row[..width]);
            }
        }
        out
    }

    /// Some panels of all rows of `xs`, into rows of `stride`.
    fn columns(&self, xs: &[f32], panels: std::ops::Range<usize>, stride: usize, out: &mut [f32]) {
        let depth = self.packed.depth;
        let rows = Rows::plain(xs, depth, depth, xs.len() / depth);
        let begin = panels.start;
        for panel in panels {
            let mut write = Write {
                column: (panel - begin) * PANEL,
                width: PANEL.min(self.packed.columns - panel * PANEL),
                stride,
                out: &mut *out,
            };
            product(self.isa, rows, self.packed.panel(panel), &mut write);
        }
    }
}

struct Write<'a> {
    column: usize,
    width: usize,
    stride: usize,
    out: &'a mut [f32],
}

impl Finish for Write<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize, sums: &[f32; PANEL]) {
        self.out[row * self.stride + self.column..][..self.width]
            .copy_from_slice(&sums[..self.width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::noise::noise;

    /// Few rows and many, one thread and several, columns that fill their panels and that do not.
    #[test]
    fn own_products_are_those_of_libtorch() {
        for (rows, depth, columns) in [(1, 64, 70), (3, 512, 1_152), (64, 512, 512), (200, 48, 33)]
        {
            let xs = Tensor::from_slice(&noise(1, rows * depth)).view([rows as i64, depth as i64]);
            let weight =
                Tensor::from_slice(&noise(2, columns * depth)).view([columns as i64, depth as i64]);
            let plain = Linear::new(weight.shallow_clone(), None).unwrap();
            let expected = plain.forward(&xs).unwrap();
            for threads in [1, 2, 3] {
                let own = Linear::new(weight.shallow_clone(), Some(threads)).unwrap();
                let found = own.forward(&xs).unwrap();
                assert_eq!(found.size(), expected.size());
                let gap = (&found - &expected).abs().max().double_value(&[]);
                assert!(
                    gap < 1e-4,
                    "{gap}: {rows} rows, {columns} columns, {threads} threads"
                );
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_beside_whatever_others() {
        let (depth, columns) = (512, 1_152);
        let weight =
            Tensor::from_slice(&noise(2, columns * depth)).view([columns as i64, depth as i64]);
        let own = Linear::new(weight, Some(2)).unwrap();
        let rows = noise(1, 70 * depth);
        let forward = |rows: &[f32]| -> Vec<f32> {
            let xs = Tensor::from_slice(rows).view([-1, depth as i64]);
            own.forward(&xs).unwrap().flatten(0, -1).try_into().unwrap()
        };
        let all = forward(&rows);
        for row in [0, 33, 69] {
            let alone = forward(&rows[row * depth..][..depth]);
            assert_eq!(alone, all[row * columns..][..columns], "row {row}");
        }
    }
}

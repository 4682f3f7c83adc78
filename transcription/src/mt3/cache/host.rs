//! The cache in memory of our own. What is not in use costs nothing: the operating system gives pages when they are first written.

use tch::Tensor;

use super::Step;
use super::kernel::{Head, Scratch};
use crate::Error;
use crate::cpu::Isa;
use crate::mt3::config::Shape;

/// Below so many products a second thread costs more than it does.
const WORTH_A_THREAD: usize = 1 << 19;

struct Layer {
    /// `[rows][heads][positions][head_width]`.
    keys: Vec<f32>,
    values: Vec<f32>,
    /// `[rows][heads][frames][head_width]`.
    sound_keys: Vec<f32>,
    sound_values: Vec<f32>,
}

pub struct HostCache {
    layers: Vec<Layer>,
    isa: Isa,
    threads: usize,
    heads: usize,
    width: usize,
    positions: usize,
    frames: usize,
}

impl HostCache {
    pub(super) fn new(shape: &Shape, rows: usize, threads: usize) -> Self {
        let make = |length: usize| vec![0f32; rows * length * shape.inner()];
        HostCache {
            layers: (0..shape.decoder_layers)
                .map(|_| Layer {
                    keys: make(shape.positions),
                    values: make(shape.positions),
                    sound_keys: make(shape.frames),
                    sound_values: make(shape.frames),
                })
                .collect(),
            isa: Isa::detect(),
            threads: threads.max(1),
            heads: shape.heads,
            width: shape.head_width,
            positions: shape.positions,
            frames: shape.frames,
        }
    }

    pub(super) fn put_sound(
        &mut self,
        layer: usize,
        slots: &[usize],
        both: &Tensor,
    ) -> Result<(), Error> {
        let both = numbers(both)?;
        let (heads, width, frames) = (self.heads, self.width, self.frames);
        let inner = heads * width;
        let layer = &mut self.layers[layer];
        for (row, slot) in both.chunks_exact(frames * 2 * inner).zip(slots) {
            let place = slot * frames * inner..(slot + 1) * frames * inner;
            for (half, cache) in [&mut layer.sound_keys, &mut layer.sound_values]
                .into_iter()
                .enumerate()
            {
                let cache = &mut cache[place.clone()];
                for (frame, both) in row.chunks_exact(2 * inner).enumerate() {
                    let part = &both[half * inner..][..inner];
                    for (head, part) in part.chunks_exact(width).enumerate() {
                        cache[(head * frames + frame) * width..][..width].copy_from_slice(part);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn attend_self(
        &mut self,
        layer: usize,
        new: &Tensor,
        step: &Step<'_>,
    ) -> Result<Tensor, Error> {
        let new = numbers(new)?;
        let (heads, width, length) = (self.heads, self.width, self.positions);
        let inner = heads * width;
        let row_size = inner * length;
        let cache = &mut self.layers[layer];
        for ((row, new), at) in new.chunks_exact(3 * inner).enumerate().zip(step.positions) {
            for (part, cache) in [(1, &mut cache.keys), (2, &mut cache.values)] {
                let cache = &mut cache[row * row_size..][..row_size];
                let part = &new[part * inner..][..inner];
                for (head, part) in part.chunks_exact(width).enumerate() {
                    cache[(head * length + at) * width..][..width].copy_from_slice(part);
                }
            }
        }
        let used: Vec<usize> = step.positions.iter().map(|at| at + 1).collect();
        let cache = &self.layers[layer];
        self.attend(new, 3 * inner, (&cache.keys, &cache.values, length), &used)
    }

    pub(super) fn attend_sound(&self, layer: usize, queries: &Tensor) -> Result<Tensor, Error> {
        let inner = self.heads * self.width;
        let queries = numbers(queries)?;
        let used = vec![self.frames; queries.len() / inner];
        let cache = &self.layers[layer];
        let caches = (
            cache.sound_keys.as_slice(),
            cache.sound_values.as_slice(),
            self.frames,
        );
        self.attend(queries, inner, caches, &used)
    }

    /// Each row's first `inner` numbers of `stride` are its queries; it attends to as many positions as are in use.
    fn attend(
        &self,
        queries: &[f32],
        stride: usize,
        (keys, values, length): (&[f32], &[f32], usize),
        used: &[usize],
    ) -> Result<Tensor, Error> {
        let (heads, width) = (self.heads, self.width);
        let inner = heads * width;
        let rows = used.len();
        let mut out = vec![0f32; rows * inner];
        let some_rows = |first: usize, out: &mut [f32]| {
            let mut scratch = Scratch::new(length);
            for (index, out) in out.chunks_exact_mut(inner).enumerate() {
                let row = first + index;
                let queries = &queries[row * stride..][..inner];
                for (head, out) in out.chunks_exact_mut(width).enumerate() {
                    let place = (row * heads + head) * length * width;
                    let taken = place..place + used[row] * width;
                    self.isa.run(Head {
                        query: &queries[head * width..][..width],
                        keys: &keys[taken.clone()],
                        values: &values[taken],
                        scratch: &mut scratch,
                        out,
                    });
                }
            }
        };
        let work: usize = used.iter().sum::<usize>() * inner * 2;
        let threads = self.threads.min(work / WORTH_A_THREAD).min(rows).max(1);
        if threads == 1 {
            some_rows(0, &mut out);
        } else {
            std::thread::scope(|scope| {
                let mut rest = out.as_mut_slice();
                let mut first = 0;
                let mut done = 0;
                for thread in 0..threads {
                    // As many rows as make up this thread's share of all positions.
                    let share = used.iter().sum::<usize>() * (thread + 1) / threads;
                    let mut last = first;
                    while last < rows && (done < share || thread + 1 == threads) {
                        done += used[last];
                        last += 1;
                    }
                    let (mine, others) = rest.split_at_mut((last - first) * inner);
                    rest = others;
                    let begin = first;
                    first = last;
                    if thread + 1 == threads {
                        some_rows(begin, mine);
                    } else {
                        let some_rows = &some_rows;
                        scope.spawn(move || some_rows(begin, mine));
                    }
                }
            });
        }
        Ok(Tensor::f_from_slice(&out)?.f_view([rows as i64, inner as i64])?)
    }

    pub(super) fn move_rows(&mut self, moves: &[(usize, usize, usize)]) {
        let (heads, width) = (self.heads, self.width);
        for layer in &mut self.layers {
            for (from, to, used) in moves.iter().copied() {
                for (cache, length, used) in [
                    (&mut layer.keys, self.positions, used),
                    (&mut layer.values, self.positions, used),
                    (&mut layer.sound_keys, self.frames, self.frames),
                    (&mut layer.sound_values, self.frames, self.frames),
                ] {
                    for head in 0..heads {
                        let place = |row: usize| (row * heads + head) * length * width;
                        cache.copy_within(place(from)..place(from) + used * width, place(to));
                    }
                }
            }
        }
    }
}

/// A tensor's numbers where they lie.
pub(in crate::mt3) fn numbers(tensor: &Tensor) -> Result<&[f32], Error> {
    let readable = tensor.device() == tch::Device::Cpu
        && tensor.kind() == tch::Kind::Float
        && tensor.is_contiguous();
    if !readable {
        return Err(Error::Device {
            message: "a tensor that is not plain float32 on the CPU".into(),
            sticky: false,
        });
    }
    #[expect(
        unsafe_code,
        reason = "a look at a tensor's memory, whose kind and place were just asked"
    )]
    // SAFETY: contiguous float32 on the host, as many as the tensor has; the tensor is borrowed for as long, and nobody else has it.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel()) })
}

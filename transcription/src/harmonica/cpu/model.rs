//! The whole network for one chunk, and the threads that share a batch of chunks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::config::{BINS, HEADS, KEPT, PITCHES, Size};
use super::heads::{Head, Room};
use super::layers::{Down, Harmonic, Residual, Weights, lay};
use super::planes::{Planes, ROW};
use crate::cpu::Isa;

/// Numbers in a chunk's maps.
const MAPS: usize = HEADS.len() * KEPT * PITCHES;
/// Semitones that a harmonic layer looks past the last key.
const REACH: usize = 36;

/// The loaded network.
pub struct Model {
    isa: Isa,
    size: Size,
    threads: usize,
    stem: Residual,
    front: [Residual; 2],
    down: Down,
    trunk: Vec<(Harmonic, Residual)>,
    heads: Vec<Head>,
    /// One for each thread that ever ran; kept, since they are large.
    desks: Mutex<Vec<Desk>>,
}

/// What one thread works on.
struct Desk {
    input: Planes,
    front: Planes,
    front_inner: Planes,
    trunk: Planes,
    trunk_inner: Planes,
    sums: Vec<f32>,
    room: Room,
}

impl Desk {
    fn new(size: &Size) -> Self {
        let planes = |channels| Planes::new(channels, BINS, 2);
        let keys = |channels| Planes::new(channels, PITCHES, REACH);
        let most = (size.front_channels * BINS).max(size.channels * PITCHES);
        Desk {
            input: planes(1),
            front: planes(size.front_channels),
            front_inner: planes(size.front_channels),
            trunk: keys(size.channels),
            trunk_inner: keys(size.channels),
            sums: vec![0.0; most * ROW],
            room: Room::new(size.channels, size.hidden()),
        }
    }
}

impl Model {
    /// `weights` gives a tensor's numbers by name; they were checked against [`Size::tensors`].
    pub(crate) fn new(isa: Isa, size: &Size, threads: usize, weights: &Weights<'_>) -> Self {
        let (front, channels) = (size.front_channels, size.channels);
        let residual = |name: &str, inputs, channels, kernel| {
            Residual::new(isa, weights, name, inputs, channels, kernel)
        };
        Model {
            isa,
            size: *size,
            threads: threads.max(1),
            stem: residual("stem", 1, front, 5),
            front: [
                residual("frontend.0", front, front, 5),
                residual("frontend.1", front, front, 5),
            ],
            down: Down::new(isa, weights, front),
            trunk: (0..size.blocks)
                .map(|block| {
                    let harmonic = format!("trunk.{}", 2 * block);
                    let after = format!("trunk.{}", 2 * block + 1);
                    (
                        Harmonic::new(isa, weights, &harmonic, channels),
                        residual(&after, channels, channels, 3),
                    )
                })
                .collect(),
            heads: HEADS
                .iter()
                .map(|head| {
                    let name = format!("heads.{head}");
                    Head::new(isa, weights, &name, channels, size.hidden())
                })
                .collect(),
            desks: Mutex::new(Vec::new()),
        }
    }

    /// Multiply-adds that the layers do for one chunk (norms and what is done to single numbers are not counted): for benchmarks.
    pub fn products(&self) -> usize {
        let front: usize = self.front.iter().map(|part| part.products(BINS)).sum();
        let trunk = self.trunk.iter();
        let trunk: usize = trunk
            .map(|(harmonic, residual)| harmonic.products(PITCHES) + residual.products(PITCHES))
            .sum();
        let heads: usize = self.heads.iter().map(Head::products).sum();
        self.stem.products(BINS) + front + self.down.products(PITCHES) + trunk + heads
    }

    /// The maps of a batch, `[chunk][head][KEPT][PITCHES]`. Each chunk is one thread's alone.
    pub fn forward(&self, chunks: &[&[f32]]) -> Vec<f32> {
        let mut maps = vec![0f32; chunks.len() * MAPS];
        let slots: Vec<Mutex<&mut [f32]>> = maps.chunks_exact_mut(MAPS).map(Mutex::new).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut desk = self.desk();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some((chunk, slot)) = chunks.get(index).zip(slots.get(index)) else {
                    break;
                };
                if let Ok(mut map) = slot.lock() {
                    self.chunk(&mut desk, chunk, &mut map, &mut |_, _| ());
                }
            }
            self.desks().push(desk);
        };
        let helpers = self.threads.min(chunks.len()).saturating_sub(1);
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(work);
            }
            work();
        });
        drop(slots);
        maps
    }

    /// What each part of the network gives for one chunk: names of stages and their planes, then the maps.
    pub fn stages(&self, chunk: &[f32]) -> (Vec<(String, Vec<f32>)>, Vec<f32>) {
        let mut stages = Vec::new();
        let mut maps = vec![0f32; MAPS];
        let mut see = |name: &str, planes: &Planes| {
            let numbers = (0..planes.channels)
                .flat_map(|channel| planes.plane(channel).chunks_exact(ROW))
                .flat_map(|row| &row[..super::super::config::CHUNK])
                .copied()
                .collect();
            stages.push((name.to_owned(), numbers));
        };
        self.chunk(&mut self.desk(), chunk, &mut maps, &mut see);
        (stages, maps)
    }

    fn desks(&self) -> std::sync::MutexGuard<'_, Vec<Desk>> {
        // A desk is whole at any time: each run writes all that it reads.
        self.desks
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn desk(&self) -> Desk {
        let kept = self.desks().pop();
        kept.unwrap_or_else(|| Desk::new(&self.size))
    }

    fn chunk(
        &self,
        desk: &mut Desk,
        spectrum: &[f32],
        maps: &mut [f32],
        see: &mut dyn FnMut(&str, &Planes),
    ) {
        let isa = self.isa;
        let Desk {
            input,
            front,
            front_inner,
            trunk,
            trunk_inner,
            sums,
            room,
        } = desk;
        lay(spectrum, input);
        let front_sums = &mut sums[..front.channels * BINS * ROW];
        self.stem.widen(isa, input, front, front_inner, front_sums);
        see("stem", front);
        for (index, residual) in self.front.iter().enumerate() {
            residual.run(isa, front, front_inner, front_sums);
            see(&format!("frontend.{index}"), front);
        }
        self.down.run(isa, front, trunk);
        see("down", trunk);
        let trunk_sums = &mut sums[..trunk.channels * PITCHES * ROW];
        for (index, (harmonic, residual)) in self.trunk.iter().enumerate() {
            harmonic.run(isa, trunk, trunk_sums);
            see(&format!("trunk.{}", 2 * index), trunk);
            residual.run(isa, trunk, trunk_inner, trunk_sums);
            see(&format!("trunk.{}", 2 * index + 1), trunk);
        }
        room.fill(isa, trunk);
        for (head, map) in self.heads.iter().zip(maps.chunks_exact_mut(KEPT * PITCHES)) {
            head.run(isa, room, map);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harmonica::config::{CHUNK, SIZES};
    use crate::harmonica::cpu::tile::counted;

    #[test]
    fn the_products_are_those_that_the_tiles_do() {
        // Nano's front has four channels, all others' layers a multiple of eight: other tiles on some processors.
        for size in &SIZES[..2] {
            let shapes: std::collections::HashMap<_, _> = size.tensors().into_iter().collect();
            for isa in Isa::all() {
                let model = Model::new(isa, size, 1, &|name| {
                    vec![0.01; shapes[name].iter().product()]
                });
                counted::take();
                model.stages(&[0.5; BINS * CHUNK]);
                assert_eq!(counted::take(), model.products(), "{}, {isa:?}", size.name);
            }
        }
    }
}

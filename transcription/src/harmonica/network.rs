//! Harmonica as the engine sees it: a one-shot network that pulls one batch of chunks and gives their maps.

use std::path::Path;

use safetensors::SafeTensors;

use super::config::{BINS, CHUNK, HEADS, KEPT, PITCHES, Size, Thresholds};
use super::cpu::{Isa, Model};
use super::decoding::{Maps, NoteEvent, decode};
use super::reference::Reference;
use super::segments::Chunks;
use crate::guard::guarded;
use crate::network::{Feed, Network, Segments, Sink};
use crate::precision::Precision;
use crate::registry::Store;
use crate::registry::tensors::numbers;
use crate::{DeviceChoice, Error};

/// Numbers in a chunk's maps.
pub(super) const MAPS: usize = HEADS.len() * KEPT * PITCHES;

/// One chunk of a song's log spectrum.
pub struct Chunk {
    /// `[BINS][CHUNK]`
    pub spectrum: Vec<f32>,
    /// Set on the song's last chunk: frames of the whole song.
    pub song_frames: Option<usize>,
}

/// The kept frames of a chunk.
pub struct ChunkMaps {
    /// `[onset, sustain, velocity][KEPT][PITCHES]`
    pub maps: Vec<f32>,
    /// Whether the network saw nothing but zeros.
    pub silent: bool,
    /// As in [`Chunk`].
    pub song_frames: Option<usize>,
}

/// The network with its batch size.
pub struct Harmonica {
    engine: Engine,
    rows: usize,
}

enum Engine {
    /// Our own code, on the CPU.
    Own(Box<Model>),
    /// Libtorch's operations, on a GPU.
    Libtorch(Box<Reference>),
}

/// How a network is to run.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub device: tch::Device,
    /// Of the CPU; at least one.
    pub threads: usize,
    /// Chunks a batch.
    pub rows: usize,
    /// Libtorch's operations on the CPU too: a second opinion, several times slower.
    pub libtorch: bool,
}

impl Harmonica {
    /// Loads converted weights.
    pub fn load(size: &Size, file: &Path, setup: Setup) -> Result<Self, Error> {
        let bytes = fs_err::read(file).map_err(|source| Error::Store {
            what: format!("cannot read the weights of {}", size.model),
            source,
        })?;
        let damaged = |reason: String| Error::ModelDamaged {
            name: size.model.into(),
            reason,
        };
        let weights =
            SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
        let own = setup.device == tch::Device::Cpu && !setup.libtorch;
        let engine = if own {
            Engine::Own(Box::new(own_model(size, &weights, setup.threads)?))
        } else {
            Engine::Libtorch(Box::new(Reference::load(size, &weights, setup.device)?))
        };
        Ok(Harmonica {
            engine,
            rows: setup.rows,
        })
    }

    /// `[chunk][head][KEPT][PITCHES]`
    pub fn forward(&self, chunks: &[&[f32]]) -> Result<Vec<f32>, Error> {
        match &self.engine {
            Engine::Own(model) => Ok(model.forward(chunks)),
            Engine::Libtorch(reference) => reference.forward(chunks, None),
        }
    }
}

/// Our own network, every tensor checked before it is packed.
pub fn own_model(size: &Size, weights: &SafeTensors<'_>, threads: usize) -> Result<Model, Error> {
    own_model_for(Isa::detect(), size, weights, threads)
}

/// The same for a given width of vectors.
pub fn own_model_for(
    isa: Isa,
    size: &Size,
    weights: &SafeTensors<'_>,
    threads: usize,
) -> Result<Model, Error> {
    let tensors = size
        .tensors()
        .into_iter()
        .map(|(name, shape)| {
            let shape: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
            Ok((name.clone(), numbers(weights, &name, &shape)?))
        })
        .collect::<Result<std::collections::HashMap<_, _>, Error>>()?;
    Ok(Model::new(isa, size, threads, &|name| {
        tensors[name].clone()
    }))
}

impl Harmonica {
    /// An installed network.
    pub fn of_store(
        store: &Store,
        model: &str,
        device: DeviceChoice,
        threads: usize,
        libtorch: bool,
    ) -> Result<Loaded, Error> {
        let size =
            Size::of_model(model).ok_or_else(|| Error::ModelUnknown { name: model.into() })?;
        let installed = store.installed(size.model)?;
        let thresholds = crate::registry::thresholds(&installed.file)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let setup = Setup {
            device: device.open()?,
            threads: if threads == 0 { cores } else { threads },
            rows: 1,
            libtorch,
        };
        if libtorch {
            tch::set_num_threads(i32::try_from(setup.threads).unwrap_or(1));
        }
        let network = Harmonica::load(&size, &installed.file, setup)?;
        Ok(Loaded {
            network,
            thresholds,
        })
    }
}

/// A network with the thresholds that came with it, for comparisons with the package: without the engine, and without a song's threads.
pub struct Loaded {
    network: Harmonica,
    thresholds: Thresholds,
}

impl Loaded {
    /// Runs a recording through, `rows` chunks at a time.
    pub fn maps(&self, chunks: &mut Chunks, rows: usize) -> Result<Maps, Error> {
        let mut all = Vec::new();
        while let Some(chunk) = chunks.next()? {
            all.push(chunk);
        }
        self.maps_of(&all, rows)
    }

    /// The same for chunks that are there.
    pub fn maps_of(&self, chunks: &[Chunk], rows: usize) -> Result<Maps, Error> {
        let mut maps = Maps::default();
        for batch in chunks.chunks(rows.max(1)) {
            let batch: Vec<&[f32]> = batch
                .iter()
                .map(|chunk| chunk.spectrum.as_slice())
                .collect();
            for chunk in self.network.forward(&batch)?.chunks_exact(MAPS) {
                maps.push(chunk);
            }
        }
        let frames = chunks.last().and_then(|chunk| chunk.song_frames);
        maps.cut(frames.unwrap_or_default());
        Ok(maps)
    }

    /// Multiply-adds that our own code does for one chunk; none where libtorch computes.
    pub fn products(&self) -> Option<usize> {
        match &self.network.engine {
            Engine::Own(model) => Some(model.products()),
            Engine::Libtorch(_) => None,
        }
    }

    /// Notes at the thresholds that came with the weights.
    pub fn notes(&self, maps: &Maps) -> Vec<NoteEvent> {
        decode(maps, self.thresholds.onset, self.thresholds.frame)
    }
}

impl Network for Harmonica {
    type Segment = Chunk;
    type Output = ChunkMaps;

    const GROUP: usize = 8;

    /// On the CPU it runs in code of our own, which has float32 alone.
    fn precision(asked: Precision, device: DeviceChoice) -> Precision {
        asked.on_gpu(device)
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn run(
        &mut self,
        feed: &mut dyn Feed<Chunk>,
        sink: &mut dyn Sink<ChunkMaps>,
    ) -> Result<(), Error> {
        let batch = feed.pull(self.rows);
        if batch.is_empty() {
            return Ok(());
        }
        let empty = vec![0.0; BINS * CHUNK];
        let mut chunks: Vec<&[f32]> = batch
            .iter()
            .map(|(_, chunk)| chunk.spectrum.as_slice())
            .collect();
        if feed.parity() && matches!(self.engine, Engine::Libtorch(_)) {
            chunks.resize(Self::GROUP, &empty);
        }
        let step = feed.before_step();
        let maps = match step.and_then(|()| guarded(|| self.forward(&chunks))) {
            Ok(maps) => maps,
            Err(error) => {
                feed.give_back(batch);
                return Err(error);
            }
        };
        // Maps of padding are behind those of the batch, and fall away.
        let finished =
            batch
                .into_iter()
                .zip(maps.chunks_exact(MAPS))
                .map(|((ticket, chunk), maps)| {
                    let output = ChunkMaps {
                        maps: maps.to_vec(),
                        silent: chunk.spectrum.iter().all(|value| *value == 0.0),
                        song_frames: chunk.song_frames,
                    };
                    (ticket, output)
                });
        sink.emit(finished.collect());
        Ok(())
    }
}

//! Transkun as the engine sees it: a one-shot network that pulls a batch of segments and gives what may sound in each.

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;

use super::attributes::Candidates;
use super::config::Shape;
use super::cpu::Model;
use super::reference::{Reference, tables};
use super::segments::Segment;
use crate::Error;
use crate::cpu::Isa;
use crate::guard::guarded;
use crate::network::{Feed, Network, Sink};
use crate::registry::tensors::numbers;

/// How a network is to run.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub device: tch::Device,
    /// Of the CPU; at least one.
    pub threads: usize,
    /// Segments a batch.
    pub rows: usize,
    /// Libtorch's operations on the CPU too: a second opinion, slower.
    pub libtorch: bool,
}

/// The network with its batch size.
pub struct Transkun {
    engine: Engine,
    shape: Shape,
    rows: usize,
}

enum Engine {
    /// Our own code, on the CPU.
    Own(Box<Model>),
    /// Libtorch's operations, on a GPU.
    Libtorch(Box<Reference>),
}

impl Transkun {
    /// Loads converted weights of the published network.
    pub fn load(file: &Path, setup: Setup) -> Result<Self, Error> {
        let bytes = fs_err::read(file).map_err(|source| Error::Store {
            what: format!("cannot read the weights of {}", super::NAME),
            source,
        })?;
        let weights = SafeTensors::deserialize(&bytes).map_err(|error| Error::ModelDamaged {
            name: super::NAME.into(),
            reason: error.to_string(),
        })?;
        Self::of_weights(Shape::PUBLISHED, &weights, setup)
    }

    /// A network of any shape.
    pub fn of_weights(
        shape: Shape,
        weights: &SafeTensors<'_>,
        setup: Setup,
    ) -> Result<Self, Error> {
        let own = setup.device == tch::Device::Cpu && !setup.libtorch;
        let engine = if own {
            let model = own_model(Isa::detect(), setup.threads, shape, weights)?;
            Engine::Own(Box::new(model))
        } else {
            if setup.device == tch::Device::Cpu {
                tch::set_num_threads(i32::try_from(setup.threads).unwrap_or(1));
            }
            Engine::Libtorch(Box::new(Reference::load(shape, weights, setup.device)?))
        };
        Ok(Transkun {
            engine,
            shape,
            rows: setup.rows,
        })
    }

    /// Multiply-adds of a segment, where they are counted.
    pub fn products(&self) -> Option<usize> {
        match &self.engine {
            Engine::Own(model) => Some(model.products()),
            Engine::Libtorch(_) => None,
        }
    }

    /// What may sound in each segment.
    pub fn forward(&self, segments: &[&Segment]) -> Result<Vec<Candidates>, Error> {
        match &self.engine {
            Engine::Own(model) => Ok(segments
                .iter()
                .map(|segment| model.forward(segment))
                .collect()),
            Engine::Libtorch(reference) => reference.forward(segments, None),
        }
    }
}

/// Our own network for a given width of vectors, every tensor checked before it is packed.
pub fn own_model(
    isa: Isa,
    threads: usize,
    shape: Shape,
    weights: &SafeTensors<'_>,
) -> Result<Model, Error> {
    let tables = tables(&shape, weights)?;
    let tensors = shape
        .tensors()
        .into_iter()
        .map(|(name, shape)| {
            let shape: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
            Ok((name.clone(), numbers(weights, &name, &shape)?))
        })
        .collect::<Result<HashMap<_, _>, Error>>()?;
    Ok(Model::new(isa, threads, shape, tensors, tables))
}

impl Network for Transkun {
    type Segment = Segment;
    type Output = Candidates;

    const GROUP: usize = 4;

    fn rows(&self) -> usize {
        self.rows
    }

    fn run(
        &mut self,
        feed: &mut dyn Feed<Segment>,
        sink: &mut dyn Sink<Candidates>,
    ) -> Result<(), Error> {
        let batch = feed.pull(self.rows);
        if batch.is_empty() {
            return Ok(());
        }
        let empty = Segment::silence(&self.shape);
        let mut segments: Vec<&Segment> = batch.iter().map(|(_, segment)| segment).collect();
        if feed.parity() && matches!(self.engine, Engine::Libtorch(_)) {
            segments.resize(Self::GROUP, &empty);
        }
        let step = feed.before_step();
        let found = match step.and_then(|()| guarded(|| self.forward(&segments))) {
            Ok(found) => found,
            Err(error) => {
                feed.give_back(batch);
                return Err(error);
            }
        };
        // What was found in padding is behind that of the batch, and falls away.
        let tickets = batch.iter().map(|(ticket, _)| *ticket);
        sink.emit(tickets.zip(found).collect());
        Ok(())
    }
}

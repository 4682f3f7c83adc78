//! The lazy decoder.

use crate::{Error, Limits, Source, Warning};

/// A bounded piece of a recording, all channels interleaved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    pub samples: Vec<f32>,
}

/// A recording that is decoded block by block.
pub struct Recording {}

impl Recording {
    pub fn open(_source: Box<dyn Source>, _extension: Option<&str>, _limits: Limits) -> Result<Self, Error> {
        todo!()
    }

    pub fn sample_rate(&self) -> u32 {
        todo!()
    }

    pub fn channels(&self) -> u16 {
        todo!()
    }

    /// `None` = unknown; never guessed.
    pub fn duration_seconds(&self) -> Option<f64> {
        todo!()
    }

    /// The next block; `None` at the end.
    pub fn next_block(&mut self) -> Result<Option<Block>, Error> {
        todo!()
    }

    pub fn seconds_read(&self) -> f64 {
        todo!()
    }

    pub fn warnings(&self) -> &[Warning] {
        todo!()
    }
}

//! Keys and values of the rows in flight, allocated once. Two homes: in libtorch's tensors on any device (`device`), and on the CPU in
//! memory of our own with kernels that read just what is in use of each row (`host`).

mod device;
mod host;
mod kernel;

use tch::{Device, Tensor};

use super::config::Shape;
use crate::Error;
use device::DeviceCache;
use host::HostCache;
pub(super) use host::numbers;

/// Where each row of a step stands.
pub struct Step<'a> {
    /// The place of each row's new token.
    pub positions: &'a [usize],
    /// The same on the device.
    pub on_device: &'a Tensor,
}

impl Step<'_> {
    pub fn rows(&self) -> usize {
        self.positions.len()
    }

    /// Positions in use, of the row that has most.
    pub fn used(&self) -> usize {
        self.positions.iter().max().map_or(0, |last| last + 1)
    }
}

/// For so many rows; rows that work are the first ones.
pub enum Cache {
    Host(HostCache),
    Device(DeviceCache),
}

impl Cache {
    /// `libtorch`: its operations on the CPU too.
    pub fn new(
        shape: &Shape,
        rows: usize,
        device: Device,
        threads: usize,
        libtorch: bool,
    ) -> Result<Self, Error> {
        Ok(if device == Device::Cpu && !libtorch {
            Cache::Host(HostCache::new(shape, rows, threads))
        } else {
            Cache::Device(DeviceCache::new(shape, rows, device)?)
        })
    }

    /// What the encoder made of new rows: `[rows, frames, 2 * inner]`, keys then values.
    pub fn put_sound(&mut self, layer: usize, slots: &[usize], both: &Tensor) -> Result<(), Error> {
        match self {
            Cache::Host(cache) => cache.put_sound(layer, slots, both),
            Cache::Device(cache) => cache.put_sound(layer, slots, both),
        }
    }

    /// Adds the new position of each row and attends to all up to it: `[rows, 3 * inner]` (queries, keys, values) -> `[rows, inner]`.
    pub fn attend_self(
        &mut self,
        layer: usize,
        new: &Tensor,
        step: &Step<'_>,
    ) -> Result<Tensor, Error> {
        match self {
            Cache::Host(cache) => cache.attend_self(layer, new, step),
            Cache::Device(cache) => cache.attend_self(layer, new, step),
        }
    }

    /// Attends to the sound: `[rows, inner]` -> the same.
    pub fn attend_sound(&self, layer: usize, queries: &Tensor) -> Result<Tensor, Error> {
        match self {
            Cache::Host(cache) => cache.attend_sound(layer, queries),
            Cache::Device(cache) => cache.attend_sound(layer, queries),
        }
    }

    /// Rows change their places, each `(from, to, positions in use)`; a place that is moved to is free.
    pub fn move_rows(&mut self, moves: &[(usize, usize, usize)]) -> Result<(), Error> {
        match self {
            Cache::Host(cache) => {
                cache.move_rows(moves);
                Ok(())
            }
            Cache::Device(cache) => cache.move_rows(moves),
        }
    }
}

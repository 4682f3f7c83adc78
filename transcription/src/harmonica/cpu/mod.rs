//! Our own code for the processor: the network without libtorch, several times faster than its general operations on layers as narrow as these.
//!
//! `tile` is the two inner loops, over the vectors of `crate::cpu`, `planes` how activations lie in memory, `layers` and
//! `heads` the network's parts, `model` the whole for one chunk. Threads take whole chunks, so a chunk's result never depends on its neighbours.

mod heads;
mod layers;
pub mod model;
mod planes;
pub(crate) mod tile;

pub use crate::cpu::Isa;
pub use model::Model;

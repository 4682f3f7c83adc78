//! Our own code for the processor: the network without libtorch, several times faster than its general operations on layers as narrow as these.
//!
//! `simd` is the width of the processor's vectors, `tile` the two inner loops, `planes` how activations lie in memory, `layers` and
//! `heads` the network's parts, `model` the whole for one chunk. Threads take whole chunks, so a chunk's result never depends on its neighbours.

mod heads;
mod layers;
pub mod model;
mod planes;
pub(crate) mod simd;
pub(crate) mod tile;

pub use model::Model;
pub use simd::Isa;

//! The network in our own code, on the CPU. `crate::cpu::product` is where nearly all time goes: everything is laid out so that convolutions,
//! projections and scores are products of rows and packed panels. Threads share the work in units whose results do not depend on
//! who does them.

mod backbone;
mod front_end;
mod functions;
mod image;
mod model;
mod scores;
mod transformer;

pub use model::Model;
pub(super) use model::Tables;

//! Kernels of our own for networks on the CPU: vectors of float32 (`lanes`), sums of weighted rows (`rows`), convolutions made of them
//! (`convolution`), products of rows and packed matrices (`product`), a Fourier transform of many columns at once (`fourier`) and elementwise
//! functions (`functions`). They work on plain slices. `crew` is threads that share work; `peak` measures what the processor could do at most.
//!
//! They know no network, no `tch` and, but for `crew` and `peak`, no threads: a caller runs one piece of work on one thread, and what else runs beside it
//! changes no bit of the result.

pub(crate) mod aligned;
pub(crate) mod convolution;
pub(crate) mod crew;
pub(crate) mod fourier;
pub(crate) mod functions;
mod isa;
mod lanes;
pub(crate) mod peak;
pub(crate) mod product;
pub(crate) mod rows;

pub use isa::Isa;
pub(crate) use isa::{Work, for_each_isa};
pub(crate) use lanes::Lanes;

#[cfg(test)]
pub(crate) mod noise {
    /// Numbers from -0.5 to 0.5 that look random and are the same each time.
    pub(crate) fn noise(seed: u32, count: usize) -> Vec<f32> {
        (0..count as u32)
            .map(|at| {
                let mixed =
                    (at.wrapping_add(seed.wrapping_mul(0x9e37_79b9))).wrapping_mul(2_654_435_761);
                let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b);
                ((mixed ^ mixed >> 13) >> 8) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect()
    }
}

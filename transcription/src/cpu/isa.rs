//! Which instructions the processor has. Work is written once and compiled for each kind; [`Isa::run`] picks the one.

#[cfg(target_arch = "x86_64")]
use super::lanes::{Eight, Sixteen};
use super::lanes::{Lanes, Plain};

/// A kind of vector instructions that this processor has: nobody outside can make one that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Isa(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Plain,
}

/// Something to do in vectors of any kind. `run` and whatever it calls must be `#[inline(always)]`, to be compiled for each.
pub(crate) trait Work {
    type Out;
    fn run<V: Lanes>(self) -> Self::Out;
}

impl Isa {
    /// The widest that is here.
    pub(crate) fn detect() -> Self {
        Self::all()[0]
    }

    /// All that are here, the widest first; the last one is everywhere.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx2") {
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                {
                    all.push(Isa(Kind::Avx512));
                }
                all.push(Isa(Kind::Avx2));
            }
        }
        all.push(Isa(Kind::Plain));
        all
    }

    /// Multiply-adds round as they like.
    #[inline]
    pub(crate) fn run<W: Work>(self, work: W) -> W::Out {
        // Where fused ones are at hand in every processor of the kind, they are the fast ones.
        self.choose::<W, { cfg!(any(target_feature = "fma", target_arch = "aarch64")) }>(work)
    }

    /// Multiply-adds round once, on every processor, so that all give the same bits.
    #[inline]
    pub(crate) fn run_fused<W: Work>(self, work: W) -> W::Out {
        self.choose::<W, true>(work)
    }

    #[inline]
    fn choose<W: Work, const FUSED: bool>(self, work: W) -> W::Out {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => {
                #[expect(
                    unsafe_code,
                    reason = "`all` asked the processor for these instructions"
                )]
                // SAFETY: an `Isa` of this kind arises only where they are.
                unsafe {
                    avx512(work)
                }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => {
                #[expect(
                    unsafe_code,
                    reason = "`all` asked the processor for these instructions"
                )]
                // SAFETY: an `Isa` of this kind arises only where they are.
                unsafe {
                    avx2(work)
                }
            }
            Kind::Plain => work.run::<Plain<FUSED>>(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
fn avx512<W: Work>(work: W) -> W::Out {
    work.run::<Sixteen>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<W: Work>(work: W) -> W::Out {
    work.run::<Eight>()
}

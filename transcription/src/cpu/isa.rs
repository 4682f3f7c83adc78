//! Which instructions the processor has. Work is written once and compiled for each kind; [`Isa::run`] picks the one.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use super::lanes::{Eight, Sixteen};
use super::lanes::{Lanes, Plain};

/// A kind of vector instructions that this processor has: nobody outside can make one that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Kind);

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
    /// The widest that is here; `WTT_ISA=avx512|avx2|plain` takes another one, for comparisons.
    pub fn detect() -> Self {
        static HERE: OnceLock<Isa> = OnceLock::new();
        *HERE.get_or_init(|| {
            let wanted = std::env::var("WTT_ISA").unwrap_or_default();
            let all = Self::all();
            let found = all.iter().find(|isa| isa.name() == wanted);
            *found.unwrap_or(&all[0])
        })
    }

    fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            Kind::Plain => "plain",
        }
    }

    /// All that are here, the widest first; the last one is everywhere.
    pub fn all() -> Vec<Self> {
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

/// Makes a function that runs `$body` compiled for the processor at hand: plain loops in it become vectors of the full width. `$body` and what it
/// calls must be `#[inline(always)]`.
macro_rules! for_each_isa {
    ($(#[$about:meta])* $vis:vis fn $name:ident = $body:ident ($($arg:ident: $kind:ty),* $(,)?)) => {
        $(#[$about])*
        $vis fn $name(isa: $crate::cpu::Isa, $($arg: $kind),*) {
            struct Arguments<T>(T);
            impl $crate::cpu::Work for Arguments<($($kind,)*)> {
                type Out = ();
                #[inline(always)]
                fn run<V: $crate::cpu::Lanes>(self) {
                    let ($($arg,)*) = self.0;
                    $body($($arg),*)
                }
            }
            isa.run(Arguments(($($arg,)*)))
        }
    };
}
pub(crate) use for_each_isa;

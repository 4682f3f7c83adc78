//! Vectors of float32 as wide as the processor has them. It knows no network: a handful of operations under one trait, and which of the
//! three widths runs here.

use std::sync::OnceLock;

/// What the processor can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Isa {
    /// The best of this machine. `WTT_ISA=avx2|portable` takes a lesser one, for tests and comparisons.
    pub fn here() -> Isa {
        static HERE: OnceLock<Isa> = OnceLock::new();
        *HERE.get_or_init(|| {
            let wanted = std::env::var("WTT_ISA").unwrap_or_default();
            Isa::all()
                .into_iter()
                .find(|isa| wanted.is_empty() || isa.name() == wanted)
                .unwrap_or(Isa::Portable)
        })
    }

    /// Every one that runs here, best first.
    pub fn all() -> Vec<Isa> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                all.push(Isa::Avx512);
            }
            if std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("fma")
            {
                all.push(Isa::Avx2);
            }
        }
        all.push(Isa::Portable);
        all
    }

    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            Isa::Portable => "portable",
        }
    }
}

/// # Safety
/// Each method may only run where the processor has the implementor's instructions; pointers must be good for `LANES` numbers.
#[expect(
    unsafe_code,
    reason = "processor intrinsics; the trait says when they may run"
)]
pub(super) trait Simd: Copy {
    type V: Copy;
    const LANES: usize;
    unsafe fn splat(number: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, vector: Self::V);
    /// `a * b + c`
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Simd;

    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512;

    #[expect(
        unsafe_code,
        reason = "processor intrinsics; the trait says when they may run"
    )]
    impl Simd for Avx512 {
        type V = __m512;
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn splat(number: f32) -> __m512 {
            unsafe { _mm512_set1_ps(number) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            unsafe { _mm512_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn store(to: *mut f32, vector: __m512) {
            unsafe { _mm512_storeu_ps(to, vector) }
        }

        #[inline(always)]
        unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
    }

    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2;

    #[expect(
        unsafe_code,
        reason = "processor intrinsics; the trait says when they may run"
    )]
    impl Simd for Avx2 {
        type V = __m256;
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn splat(number: f32) -> __m256 {
            unsafe { _mm256_set1_ps(number) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m256 {
            unsafe { _mm256_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn store(to: *mut f32, vector: __m256) {
            unsafe { _mm256_storeu_ps(to, vector) }
        }

        #[inline(always)]
        unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

/// Four numbers in an array: every processor's compiler makes vectors of that.
#[derive(Clone, Copy)]
pub(super) struct Portable;

#[expect(unsafe_code, reason = "the trait's methods take raw pointers")]
impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(number: f32) -> [f32; 4] {
        [number; 4]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, vector: [f32; 4]) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(vector) }
    }

    #[inline(always)]
    unsafe fn fma(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|at| a[at] * b[at] + c[at])
    }
}

/// Makes a function that runs `$body` compiled for the processor at hand: plain loops in it become vectors of the full width.
macro_rules! for_each_isa {
    ($(#[$about:meta])* $vis:vis fn $name:ident = $body:ident ($($arg:ident: $kind:ty),* $(,)?)) => {
        $(#[$about])*
        #[expect(unsafe_code, reason = "each variant runs only where `isa` was found")]
        $vis fn $name(isa: $crate::harmonica::cpu::simd::Isa, $($arg: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx2,fma")]
            fn wide($($arg: $kind),*) { $body($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn middle($($arg: $kind),*) { $body($($arg),*) }
            match isa {
                // SAFETY: `Isa::all` names a variant only after the processor was asked.
                #[cfg(target_arch = "x86_64")]
                $crate::harmonica::cpu::simd::Isa::Avx512 => unsafe { wide($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::harmonica::cpu::simd::Isa::Avx2 => unsafe { middle($($arg),*) },
                $crate::harmonica::cpu::simd::Isa::Portable => $body($($arg),*),
            }
        }
    };
}
pub(super) use for_each_isa;

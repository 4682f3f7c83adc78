//! A few float32 that are worked on together: one trait, a type for each kind of register. Kernels are written once over the trait.

#![expect(
    unsafe_code,
    reason = "instructions that only some processors have: values of these types arise only inside `Isa::run`, which asked the processor"
)]

/// Neighbouring float32 in one register (or a few, where registers are narrow).
///
/// Values of a type may be made only on a processor that has its instructions; [`super::Isa`] sees to that.
pub(crate) trait Lanes: Copy {
    /// How many numbers.
    const LANES: usize;
    /// How many rows of sums fit into the registers beside what they are made of.
    const ROWS: usize;

    /// # Safety
    /// `LANES` numbers from `at` on can be read.
    unsafe fn load(at: *const f32) -> Self;
    /// # Safety
    /// `LANES` numbers from `at` on can be written.
    unsafe fn store(self, at: *mut f32);
    fn splat(number: f32) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self * factor + summand`.
    fn mul_add(self, factor: Self, summand: Self) -> Self;
    fn max(self, other: Self) -> Self;

    /// No instruction: it keeps the compiler from reading ahead. Where a tile fills all registers, an input read before the last
    /// one was used sends a sum through memory at every step (AVX2's sixteen: two thirds of the speed).
    #[inline(always)]
    fn settled(self) -> Self {
        self
    }

    #[inline(always)]
    fn read(from: &[f32], at: usize) -> Self {
        let numbers = &from[at..at + Self::LANES];
        // SAFETY: the slice holds as many numbers.
        unsafe { Self::load(numbers.as_ptr()) }
    }

    #[inline(always)]
    fn write(self, to: &mut [f32], at: usize) {
        let numbers = &mut to[at..at + Self::LANES];
        // SAFETY: the slice holds as many numbers.
        unsafe { self.store(numbers.as_mut_ptr()) }
    }
}

/// Four numbers in plain Rust. `FUSED`: one rounding in `mul_add`, whatever that costs where the processor cannot.
#[derive(Clone, Copy)]
pub(super) struct Plain<const FUSED: bool>([f32; 4]);

impl<const FUSED: bool> Plain<FUSED> {
    #[inline(always)]
    fn with(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Plain(std::array::from_fn(|lane| f(self.0[lane], other.0[lane])))
    }
}

impl<const FUSED: bool> Lanes for Plain<FUSED> {
    const LANES: usize = 4;
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: the caller vouches for four numbers.
        Plain(unsafe { at.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: the caller vouches for four numbers.
        unsafe { at.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    fn splat(number: f32) -> Self {
        Plain([number; 4])
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| a * b)
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        if FUSED {
            Plain(std::array::from_fn(|lane| {
                self.0[lane].mul_add(factor.0[lane], summand.0[lane])
            }))
        } else {
            self.mul(factor).add(summand)
        }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.with(other, |a, b| if a > b { a } else { b })
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Eight, Sixteen};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    /// A register of AVX-512.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Sixteen(__m512);

    /// A register of AVX2.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Eight(__m256);

    macro_rules! lanes {
        ($name:ident, $lanes:literal, $rows:literal, $load:ident, $store:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $fma:ident, $max:ident $(, $settle:ident)?) => {
            impl Lanes for $name {
                const LANES: usize = $lanes;
                const ROWS: usize = $rows;

                #[inline(always)]
                unsafe fn load(at: *const f32) -> Self {
                    // SAFETY: the caller vouches for the numbers; the type, for the instruction.
                    $name(unsafe { $load(at) })
                }

                #[inline(always)]
                unsafe fn store(self, at: *mut f32) {
                    // SAFETY: the caller vouches for the numbers; the type, for the instruction.
                    unsafe { $store(at, self.0) }
                }

                #[inline(always)]
                fn splat(number: f32) -> Self {
                    // SAFETY: the type vouches for the instruction.
                    $name(unsafe { $splat(number) })
                }

                #[inline(always)]
                fn add(self, other: Self) -> Self {
                    // SAFETY: the type vouches for the instruction.
                    $name(unsafe { $add(self.0, other.0) })
                }

                #[inline(always)]
                fn sub(self, other: Self) -> Self {
                    // SAFETY: the type vouches for the instruction.
                    $name(unsafe { $sub(self.0, other.0) })
                }

                #[inline(always)]
                fn mul(self, other: Self) -> Self {
                    // SAFETY: the type vouches for the instruction.
                    $name(unsafe { $mul(self.0, other.0) })
                }

                #[inline(always)]
                fn mul_add(self, factor: Self, summand: Self) -> Self {
                    // SAFETY: the type vouches for the instruction.
                    $name(unsafe { $fma(self.0, factor.0, summand.0) })
                }

                #[inline(always)]
                fn max(self, other: Self) -> Self {
                    // SAFETY: the type vouches for the instruction.
                    $name(unsafe { $max(self.0, other.0) })
                }

                $(#[inline(always)]
                fn settled(self) -> Self {
                    // SAFETY: the type vouches for the register.
                    $name(unsafe { $settle(self.0) })
                })?
            }
        };
    }

    lanes!(
        Sixteen,
        16,
        8,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_fmadd_ps,
        _mm512_max_ps
    );
    lanes!(
        Eight,
        8,
        4,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_fmadd_ps,
        _mm256_max_ps,
        settle
    );

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn settle(mut number: __m256) -> __m256 {
        // SAFETY: no instruction, only a comment; by its options it may touch memory, which is what orders it.
        unsafe {
            std::arch::asm!("/* {0} */", inout(ymm_reg) number, options(nostack, preserves_flags))
        };
        number
    }
}

//! What multiply-adds alone would reach on this processor: the ceiling that benchmarks hold kernels against. It computes nothing of use.

use std::hint::black_box;
use std::time::Instant;

use super::{Isa, Lanes, Work};

/// Sums that do not wait for each other: enough to keep two units of four cycles busy, and few enough for sixteen registers.
const CHAINS: usize = 12;
const STEPS: usize = 1 << 21;

/// Multiply-adds on registers alone; gives how many numbers each of them makes.
struct Chains(f32);

impl Work for Chains {
    type Out = usize;

    #[inline(always)]
    fn run<V: Lanes>(self) -> usize {
        let (factor, mut sums) = (V::splat(self.0), [V::splat(1.0); CHAINS]);
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, factor);
            }
        }
        let mut numbers = [0f32; 64];
        for sum in sums {
            sum.write(&mut numbers, 0);
            black_box(&numbers);
        }
        V::LANES
    }
}

/// Multiply-adds a second of so many threads together, the best of `rounds`.
pub fn multiply_adds_a_second(threads: usize, rounds: usize) -> f64 {
    let isa = Isa::detect();
    let mut best = 0f64;
    for _ in 0..rounds {
        let begun = Instant::now();
        let lanes: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads.max(1))
                .map(|_| scope.spawn(move || isa.run(Chains(black_box(0.5)))))
                .collect();
            all.into_iter()
                .map(|thread| thread.join().unwrap_or(0))
                .sum()
        });
        best = best.max((lanes * CHAINS * STEPS) as f64 / begun.elapsed().as_secs_f64());
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_done() {
        let found = multiply_adds_a_second(1, 1);
        assert!(found.is_finite() && found > 1e6, "{found}");
    }
}

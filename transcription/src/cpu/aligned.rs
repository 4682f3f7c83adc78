//! Numbers that begin at a cache line, so that the widest vectors do not straddle two.

use std::ops::{Deref, DerefMut};

/// Numbers in one cache line.
const LINE: usize = 16;

/// Zeros at first; its length never changes.
pub(crate) struct Aligned {
    numbers: Vec<f32>,
    start: usize,
    length: usize,
}

impl Aligned {
    pub(crate) fn zeros(length: usize) -> Self {
        let numbers = vec![0f32; length + LINE];
        // Where the allocation cannot be aligned it merely is slower.
        let start = numbers
            .as_ptr()
            .align_offset(LINE * size_of::<f32>())
            .min(LINE);
        Aligned {
            numbers,
            start,
            length,
        }
    }

    pub(crate) fn copy_of(numbers: &[f32]) -> Self {
        let mut aligned = Aligned::zeros(numbers.len());
        aligned.copy_from_slice(numbers);
        aligned
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers[self.start..self.start + self.length]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_a_line_and_are_all_there() {
        for length in [0, 1, 15, 16, 1000] {
            let aligned = Aligned::zeros(length);
            assert_eq!(aligned.len(), length);
            assert_eq!(aligned.as_ptr().addr() % 64, 0);
            assert!(aligned.iter().all(|number| *number == 0.0));
        }
        assert_eq!(&*Aligned::copy_of(&[1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
    }
}

//! What segments cost, counted from the layers' shapes: multiply-adds, and bytes that a step reads at least. For benchmarks, which hold
//! times against it; it runs nothing.

use super::config::{BANDS, FREQUENCIES, Shape};

/// A float32.
const BYTES: usize = 4;

impl Shape {
    /// Multiply-adds before the first token: bands, encoder, and the keys and values that the decoder takes of the sound. Transforms are
    /// not counted.
    pub const fn listening_products(&self) -> usize {
        let (width, inner, frames) = (self.width, self.inner(), self.frames);
        let layer = 4 * width * inner + 3 * width * self.mlp_width + 2 * frames * inner;
        let a_frame = FREQUENCIES * BANDS
            + BANDS * width
            + self.encoder_layers * layer
            + self.decoder_layers * 2 * width * inner;
        frames * a_frame
    }

    /// Numbers of the decoder's weights that every step of a row goes through.
    const fn step_weights(&self) -> usize {
        let (width, inner) = (self.width, self.inner());
        let layer = 4 * width * inner + 2 * width * inner + 3 * width * self.mlp_width;
        self.decoder_layers * layer + width * self.vocabulary
    }

    /// Keys and values that a row's step at `position` looks at.
    const fn looked_at(&self, position: usize) -> usize {
        self.decoder_layers * 2 * self.inner() * (position + 1 + self.frames)
    }

    /// Multiply-adds of one row's step at `position`.
    pub const fn step_products(&self, position: usize) -> usize {
        self.step_weights() + self.looked_at(position)
    }

    /// Multiply-adds of a segment that comes to so many tokens, the first one included.
    pub fn products(&self, tokens: usize) -> usize {
        let steps = 0..tokens.saturating_sub(1);
        self.listening_products() + steps.map(|at| self.step_products(at)).sum::<usize>()
    }

    /// Bytes that a step reads at least, of so many rows that all stand at `position`: weights once, keys and values of each row.
    pub const fn step_bytes(&self, rows: usize, position: usize) -> usize {
        BYTES * (self.step_weights() + rows * self.looked_at(position))
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::PUBLISHED;

    /// Of every matrix of the network, how often a row's step or a frame goes through it.
    #[test]
    fn all_weights_are_counted() {
        let matrices = |part: &str| -> usize {
            PUBLISHED
                .tensors()
                .iter()
                .filter(|(name, shape)| name.starts_with(part) && shape.len() == 2)
                .map(|(_, shape)| shape.iter().product::<usize>())
                .sum()
        };
        let sound = 8 * 2 * 512 * 384;
        // A step looks one row of the embeddings up, and leaves what is the sound's to the beginning.
        assert_eq!(
            PUBLISHED.step_weights(),
            matrices("decoder") - 1_536 * 512 - sound
        );
        let attention = 256 * 256 * 384 * 2 * 8;
        let bands = 256 * 1_025 * 512;
        assert_eq!(
            PUBLISHED.listening_products(),
            256 * (matrices("encoder") + sound) + attention + bands
        );
    }

    #[test]
    fn a_segment_is_its_beginning_and_its_steps() {
        assert_eq!(PUBLISHED.products(1), PUBLISHED.listening_products());
        let third = PUBLISHED.products(4) - PUBLISHED.products(3);
        assert_eq!(third, PUBLISHED.step_products(2));
        assert_eq!(
            PUBLISHED.step_products(1) - PUBLISHED.step_products(0),
            8 * 2 * 384
        );
        assert_eq!(
            PUBLISHED.step_bytes(3, 0) - PUBLISHED.step_bytes(2, 0),
            4 * 8 * 2 * 384 * 257
        );
    }
}

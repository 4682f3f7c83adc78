//! What a segment costs: multiply-adds, counted from the layers' shapes. For benchmarks, which hold times against it; it runs nothing.

use super::config::{MELS, PATCH, SYMBOLS, Shape, VIEWS};

impl Shape {
    /// Multiply-adds of a segment's convolutions, transformer and scores as they are done, the last layer only where it is asked for. Front
    /// end and heads are not counted.
    pub const fn products(&self) -> usize {
        let (width, frames) = (self.width(), self.frames());
        let projections = (self.rows() - 1) * PATCH * width * (2 * width + 1);
        self.backbone_products() + SYMBOLS * (projections + frames * frames / 2 * width)
    }

    const fn backbone_products(&self) -> usize {
        let (width, rows, columns, base) = (self.width(), self.rows(), self.columns(), self.base);
        let [_, once, twice, thrice] = self.pictures();
        let convolutions = self.frames() * MELS * 9 * VIEWS * base
            + once.0 * once.1 * 9 * base * 2 * base
            + twice.0 * twice.1 * 9 * 2 * base * width
            + thrice.0 * thrice.1 * 9 * width * width * 2;
        let whole = rows * block(width, columns, columns) + columns * block(width, rows, rows);
        let last =
            (rows - 1) * block(width, columns, SYMBOLS) + SYMBOLS * block(width, rows, rows - 1);
        convolutions + (self.layers - 1) * whole + last
    }
}

/// Keys and values of what is seen; queries, the way out and the inner network of what asks; scores and sums.
const fn block(width: usize, seen: usize, asked: usize) -> usize {
    2 * seen * width * width + asked * (2 + 8) * width * width + 2 * seen * asked * width
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 176.7 thousand million are written; the last layer is not done for what nobody asks.
    #[test]
    fn nearly_all_that_is_written_is_done() {
        let products = Shape::PUBLISHED.products() as f64 / 1e9;
        assert!(products > 140.0 && products < 176.7, "{products}");
    }
}

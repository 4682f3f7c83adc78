//! A layer of the transformer along one axis: attention from some places to all of them, and the network behind it.

use super::functions::{gelu, inverse_size, soften};
use crate::cpu::product::{Finish, PANEL, Packed, Rows, product};
use crate::cpu::{Isa, Lanes, Work};
use crate::transkun::config::HEAD;

/// Places whose inner layer is held at once: it fits into a core's second cache, beside the weights that pass.
const TILE: usize = 96;
/// Numbers between two rows that would otherwise all lie a power of two apart, in one corner of the nearest cache.
const APART: usize = 16;

/// The weights of one axis of one layer.
pub(super) struct Block {
    width: usize,
    query: Packed,
    key: Packed,
    value: Packed,
    out: Packed,
    out_bias: Vec<f32>,
    scale: Vec<f32>,
    inner: Packed,
    inner_bias: Vec<f32>,
    outer: Packed,
    outer_bias: Vec<f32>,
    inner_scale: Vec<f32>,
}

impl Block {
    /// `get` gives a tensor by name; `attention` and `network` are the names of the block's parts.
    pub(super) fn new(
        width: usize,
        get: &dyn Fn(&str) -> Vec<f32>,
        attention: &str,
        network: &str,
    ) -> Self {
        // Some are stored `[input][output]`, the others the other way round.
        let straight = |name: &str| {
            let weights = get(&format!("{attention}.module.{name}_proj_weight"));
            Packed::new(width, width, |input, output| {
                weights[input * width + output]
            })
        };
        let turned = |name: &str, inputs: usize, outputs: usize| {
            let weights = get(&format!("{name}.weight"));
            Packed::new(inputs, outputs, |input, output| {
                weights[output * inputs + input]
            })
        };
        let hidden = 4 * width;
        Block {
            width,
            query: straight("q"),
            key: straight("k"),
            value: straight("v"),
            out: turned(&format!("{attention}.module.out_proj"), width, width),
            out_bias: get(&format!("{attention}.module.out_proj.bias")),
            scale: get(&format!("{attention}.scale")),
            inner: turned(&format!("{network}.module.0"), width, hidden),
            inner_bias: get(&format!("{network}.module.0.bias")),
            outer: turned(&format!("{network}.module.3"), hidden, width),
            outer_bias: get(&format!("{network}.module.3.bias")),
            inner_scale: get(&format!("{network}.scale")),
        }
    }

    /// `x`, some places, attend to `memory`, all of them; then each goes through the network. Both hold a place's numbers side by side.
    pub(super) fn forward(&self, isa: Isa, desk: &mut Desk, memory: &[f32], x: &mut [f32]) {
        let width = self.width;
        let (seen, asked) = (memory.len() / width, x.len() / width);
        self.attend(isa, desk, memory, x);
        let add = |x: &mut [f32],
                   panel: usize,
                   rows: Rows<'_>,
                   weights: &Packed,
                   bias: &[f32],
                   scale: &[f32]| {
            let part = panel * PANEL..(panel + 1) * PANEL;
            let mut finish = Add {
                x: &mut x[panel * PANEL..],
                width,
                bias: &bias[part.clone()],
                scale: &scale[part],
            };
            product(isa, rows, weights.panel(panel), &mut finish);
        };
        debug_assert!(asked <= seen);
        let heads = Rows::plain(&desk.heads, width + APART, width, asked);
        for panel in 0..self.out.panels() {
            add(x, panel, heads, &self.out, &self.out_bias, &self.scale);
        }
        let hidden = 4 * width;
        for x in x.chunks_mut(TILE * width) {
            let count = x.len() / width;
            isa.run(Sizes {
                x,
                width,
                sizes: &mut desk.sizes,
            });
            for panel in 0..self.inner.panels() {
                let mut finish = Hidden {
                    out: &mut desk.hidden[panel * PANEL..],
                    stride: hidden + APART,
                    sizes: &desk.sizes,
                    bias: &self.inner_bias[panel * PANEL..][..PANEL],
                };
                let rows = Rows::plain(x, width, width, count);
                product(isa, rows, self.inner.panel(panel), &mut finish);
            }
            let rows = Rows::plain(&desk.hidden, hidden + APART, hidden, count);
            for panel in 0..self.outer.panels() {
                add(
                    x,
                    panel,
                    rows,
                    &self.outer,
                    &self.outer_bias,
                    &self.inner_scale,
                );
            }
        }
    }

    /// What each head sees, into `desk.heads`.
    fn attend(&self, isa: Isa, desk: &mut Desk, memory: &[f32], x: &[f32]) {
        let width = self.width;
        let (seen, asked) = (memory.len() / width, x.len() / width);
        let across = seen.div_ceil(PANEL) * PANEL;
        isa.run(Sizes {
            x,
            width,
            sizes: &mut desk.sizes,
        });
        let from = |numbers, count| Rows::plain(numbers, width, width, count);
        let root = 1.0 / (HEAD as f32).sqrt();
        desk.sizes.iter_mut().for_each(|size| *size *= root);
        for head in 0..width / HEAD {
            let mut query = Scaled {
                out: &mut desk.query,
                sizes: &desk.sizes,
            };
            product(isa, from(x, asked), self.query.panel(head), &mut query);
            let mut key = Turned { out: &mut desk.key };
            product(isa, from(memory, seen), self.key.panel(head), &mut key);
            let mut value = Store {
                out: &mut desk.value,
                stride: HEAD,
            };
            product(isa, from(memory, seen), self.value.panel(head), &mut value);
            let query = Rows::plain(&desk.query, HEAD, HEAD, asked);
            for panel in 0..across / PANEL {
                let mut scores = Store {
                    out: &mut desk.scores[panel * PANEL..],
                    stride: across,
                };
                let keys = &desk.key[panel * HEAD * PANEL..][..HEAD * PANEL];
                product(isa, query, keys, &mut scores);
            }
            isa.run(Soften {
                rows: &mut desk.scores[..asked * across],
                across,
                seen,
            });
            let mut heads = Store {
                out: &mut desk.heads[head * HEAD..],
                stride: width + APART,
            };
            let weights = Rows::plain(&desk.scores, across, seen, asked);
            product(isa, weights, &desk.value, &mut heads);
        }
    }
}

/// What one thread works on.
pub(super) struct Desk {
    query: Vec<f32>,
    /// `[panel of places][HEAD][PANEL]`
    key: Vec<f32>,
    value: Vec<f32>,
    scores: Vec<f32>,
    heads: Vec<f32>,
    hidden: Vec<f32>,
    sizes: Vec<f32>,
    /// For the caller: places that do not lie side by side.
    pub(super) memory: Vec<f32>,
    pub(super) asked: Vec<f32>,
}

impl Desk {
    /// For at most so many places.
    pub(super) fn new(width: usize, places: usize) -> Self {
        let across = places.div_ceil(PANEL) * PANEL;
        Desk {
            query: vec![0.0; places * HEAD],
            key: vec![0.0; across * HEAD],
            value: vec![0.0; places * HEAD],
            scores: vec![0.0; places * across],
            heads: vec![0.0; places * (width + APART)],
            hidden: vec![0.0; TILE * (4 * width + APART)],
            sizes: Vec::new(),
            memory: vec![0.0; places * width],
            asked: vec![0.0; places * width],
        }
    }
}

struct Sizes<'a> {
    x: &'a [f32],
    width: usize,
    sizes: &'a mut Vec<f32>,
}

impl Work for Sizes<'_> {
    type Out = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        self.sizes.clear();
        for place in self.x.chunks_exact(self.width) {
            self.sizes.push(inverse_size(place));
        }
    }
}

struct Soften<'a> {
    rows: &'a mut [f32],
    across: usize,
    seen: usize,
}

impl Work for Soften<'_> {
    type Out = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        for row in self.rows.chunks_exact_mut(self.across) {
            soften(row, self.seen);
        }
    }
}

struct Store<'a> {
    out: &'a mut [f32],
    stride: usize,
}

impl Finish for Store<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize, sums: &[f32; PANEL]) {
        self.out[row * self.stride..][..PANEL].copy_from_slice(sums);
    }
}

struct Scaled<'a> {
    out: &'a mut [f32],
    sizes: &'a [f32],
}

impl Finish for Scaled<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize, sums: &[f32; PANEL]) {
        let size = self.sizes[row];
        let out = &mut self.out[row * PANEL..][..PANEL];
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum * size;
        }
    }
}

/// Columns become rows: of each [`PANEL`] rows a panel.
struct Turned<'a> {
    out: &'a mut [f32],
}

impl Finish for Turned<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize, sums: &[f32; PANEL]) {
        let panel = &mut self.out[row / PANEL * PANEL * PANEL..][..PANEL * PANEL];
        for (at, sum) in sums.iter().enumerate() {
            panel[at * PANEL + row % PANEL] = *sum;
        }
    }
}

struct Hidden<'a> {
    out: &'a mut [f32],
    stride: usize,
    sizes: &'a [f32],
    bias: &'a [f32],
}

impl Finish for Hidden<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize, sums: &[f32; PANEL]) {
        let size = self.sizes[row];
        let out = &mut self.out[row * self.stride..][..PANEL];
        for ((out, sum), bias) in out.iter_mut().zip(sums).zip(self.bias) {
            *out = gelu(sum * size + bias);
        }
    }
}

struct Add<'a> {
    x: &'a mut [f32],
    width: usize,
    bias: &'a [f32],
    scale: &'a [f32],
}

impl Finish for Add<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize, sums: &[f32; PANEL]) {
        let x = &mut self.x[row * self.width..][..PANEL];
        for (((x, sum), bias), scale) in x.iter_mut().zip(sums).zip(self.bias).zip(self.scale) {
            *x += (sum + bias) * scale;
        }
    }
}

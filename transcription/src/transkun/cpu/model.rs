//! The whole network for one segment.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::backbone::{Backbone, Room};
use super::front_end::FrontEnd;
use super::functions::gelu;
use super::scores::{Desk, Scorer};
use crate::cpu::Isa;
use crate::cpu::crew::Crew;
use crate::cpu::product::{Finish, PANEL, Packed, Rows, product};
use crate::transkun::attributes::{Attributes, Candidates, TIMES, Track};
use crate::transkun::config::{PATCH, SYMBOLS, Shape};
use crate::transkun::segments::Segment;

/// Intervals whose attributes one thread computes at once.
const INTERVALS: usize = 48;

/// The loaded network.
pub struct Model {
    isa: Isa,
    crew: Crew,
    shape: Shape,
    front_end: FrontEnd,
    backbone: Backbone,
    scorer: Scorer,
    /// One for each frame of a row.
    up: Vec<Packed>,
    up_bias: Vec<f32>,
    velocity: Predictor,
    times: Predictor,
    room: Mutex<Option<Room>>,
}

/// What our code takes over from libtorch, since it is computed once and to be equal to the package's: the learned tables of places, and
/// the windows.
pub(in crate::transkun) struct Tables {
    pub(in crate::transkun) places: [Vec<f32>; 3],
    pub(in crate::transkun) windows: Vec<f32>,
}

impl Model {
    /// `weights` were checked against [`Shape::tensors`].
    pub(in crate::transkun) fn new(
        isa: Isa,
        threads: usize,
        shape: Shape,
        mut weights: HashMap<String, Vec<f32>>,
        tables: Tables,
    ) -> Self {
        let mels = weights
            .remove("framewiseFeatureExtractor.freq2mels")
            .unwrap_or_default();
        let get = |name: &str| weights.get(name).cloned().unwrap_or_default();
        let width = shape.width();
        let (up, up_bias) = (
            get("backbone.upConv1dSkip.weight"),
            get("backbone.upConv1dSkip.bias"),
        );
        let (map, map_bias) = (get("scorer.map.0.weight"), get("scorer.map.0.bias"));
        Model {
            isa,
            crew: Crew(threads.max(1)),
            shape,
            front_end: FrontEnd::new(shape, tables.windows, &mels),
            backbone: Backbone::new(shape, &get, tables.places),
            scorer: Scorer::new(shape, (&up, &up_bias), (&map, &map_bias)),
            up: (0..PATCH)
                .map(|frame| {
                    Packed::new(width, width, |input, output| {
                        up[(input * width + output) * PATCH + frame]
                    })
                })
                .collect(),
            up_bias,
            velocity: Predictor::new(&get, "velocityPredictor", 3 * width, shape.inner),
            times: Predictor::new(&get, "refinedOFPredictor", 3 * width, shape.inner),
            room: Mutex::new(None),
        }
    }

    /// What may sound in a segment.
    pub fn forward(&self, segment: &Segment) -> Candidates {
        let kept = self
            .room
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mut room = kept.unwrap_or_else(|| Room::new(&self.shape));
        self.front_end
            .run(self.crew, self.isa, segment, &mut room.features);
        self.backbone.run(self.crew, self.isa, &mut room);
        let mut tracks = self.intervals(&room.symbols);
        self.attribute(&room.symbols, &mut tracks);
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) = Some(room);
        Candidates {
            tracks,
            silent: segment.is_silent(),
        }
    }

    /// What the network's parts give, row-major, for comparisons: the pictures (`[frame][mel][view]`), the sound that the transformer
    /// begins with (`[row][column][width]`) and what it says of the symbols (`[symbol][row][width]`).
    pub fn stages(&self, segment: &Segment) -> [Vec<f32>; 3] {
        let mut room = Room::new(&self.shape);
        self.front_end
            .run(self.crew, self.isa, segment, &mut room.features);
        self.backbone.run(self.crew, self.isa, &mut room);
        [room.features.inside(), room.sound().inside(), room.symbols]
    }

    /// Multiply-adds of a segment's transformer, convolutions and scores, as they are done here.
    pub fn products(&self) -> usize {
        self.shape.products()
    }

    fn symbol_size(&self) -> usize {
        (self.shape.rows() - 1) * self.shape.width()
    }

    fn intervals(&self, symbols: &[f32]) -> Vec<Track> {
        let mut tracks = vec![Track::default(); SYMBOLS];
        self.crew.share(
            tracks
                .iter_mut()
                .zip(symbols.chunks_exact(self.symbol_size())),
            || Desk::new(&self.shape),
            |desk, _, (track, symbol)| {
                track.intervals = self.scorer.intervals(self.isa, desk, symbol);
            },
        );
        tracks
    }

    /// The attributes of every interval that was found.
    fn attribute(&self, symbols: &[f32], tracks: &mut [Track]) {
        let width = self.shape.width();
        // Every first and last frame, those that lie at the same place of a row together.
        let mut ends: Vec<(usize, usize, usize)> = Vec::new();
        for (symbol, track) in tracks.iter().enumerate() {
            for (begin, end) in &track.intervals {
                for frame in [begin, end] {
                    let frame = usize::from(*frame);
                    let row = symbol * (self.shape.rows() - 1) + frame / PATCH;
                    ends.push((frame % PATCH, row, ends.len()));
                }
            }
        }
        let mut frames = vec![0f32; ends.len() * width];
        let mut places: Vec<Option<&mut [f32]>> =
            frames.chunks_exact_mut(width).map(Some).collect();
        ends.sort_unstable();
        let pieces: Vec<Piece<'_>> = ends
            .chunk_by(|a, b| a.0 == b.0)
            .flat_map(|same| same.chunks(INTERVALS))
            .map(|ends| Piece {
                frame: ends[0].0,
                rows: ends
                    .iter()
                    .filter_map(|end| Some((end.1, places[end.2].take()?)))
                    .collect(),
            })
            .collect();
        self.crew.share(
            pieces,
            || [vec![0f32; INTERVALS * width], vec![0f32; INTERVALS * width]],
            |[rows, out], _, piece| {
                for ((row, _), rows) in piece.rows.iter().zip(rows.chunks_exact_mut(width)) {
                    rows.copy_from_slice(&symbols[row * width..][..width]);
                }
                let (weights, count) = (&self.up[piece.frame], piece.rows.len());
                linear(
                    self.isa,
                    (rows, width),
                    count,
                    weights,
                    &self.up_bias,
                    out,
                    false,
                );
                for ((_, place), out) in piece.rows.into_iter().zip(out.chunks_exact(width)) {
                    place.copy_from_slice(out);
                }
            },
        );
        let mut attributes: Vec<Option<Attributes>> = vec![None; ends.len() / 2];
        self.crew.share(
            attributes
                .chunks_mut(INTERVALS)
                .zip(frames.chunks(2 * INTERVALS * width)),
            || (vec![0f32; INTERVALS * 3 * width], Vec::new(), Vec::new()),
            |(input, velocity, times), _, (attributes, frames)| {
                let count = attributes.len();
                for (input, pair) in input
                    .chunks_exact_mut(3 * width)
                    .zip(frames.chunks_exact(2 * width))
                {
                    let (begin, end) = pair.split_at(width);
                    input[..2 * width].copy_from_slice(pair);
                    for (product, (a, b)) in
                        input[2 * width..].iter_mut().zip(begin.iter().zip(end))
                    {
                        *product = a * b;
                    }
                }
                self.velocity.run(self.isa, input, count, velocity);
                self.times.run(self.isa, input, count, times);
                let logits = velocity.chunks_exact(128).zip(times.chunks_exact(TIMES));
                for (attributes, (velocity, times)) in attributes.iter_mut().zip(logits) {
                    *attributes = Some(Attributes::new(velocity, times));
                }
            },
        );
        let mut attributes = attributes.into_iter().flatten();
        for track in tracks {
            track.attributes = attributes.by_ref().take(track.intervals.len()).collect();
        }
    }
}

/// Frames at one place of their rows, with where each is to be written.
struct Piece<'a> {
    frame: usize,
    rows: Vec<(usize, &'a mut [f32])>,
}

/// Two layers with a rounding off between them.
struct Predictor {
    inner: Packed,
    inner_bias: Vec<f32>,
    outer: Packed,
    outer_bias: Vec<f32>,
}

impl Predictor {
    fn new(get: &dyn Fn(&str) -> Vec<f32>, name: &str, inputs: usize, hidden: usize) -> Self {
        let layer = |at: usize, inputs: usize| {
            let weights = get(&format!("{name}.{at}.weight"));
            let bias = get(&format!("{name}.{at}.bias"));
            let packed = Packed::new(inputs, bias.len(), |input, output| {
                weights[output * inputs + input]
            });
            (packed, bias)
        };
        let ((inner, inner_bias), (outer, outer_bias)) = (layer(0, inputs), layer(3, hidden));
        Predictor {
            inner,
            inner_bias,
            outer,
            outer_bias,
        }
    }

    fn run(&self, isa: Isa, input: &[f32], count: usize, out: &mut Vec<f32>) {
        let mut hidden = vec![0f32; count * self.inner.columns];
        let left = (input, self.inner.depth);
        linear(
            isa,
            left,
            count,
            &self.inner,
            &self.inner_bias,
            &mut hidden,
            true,
        );
        out.resize(count * self.outer.columns, 0.0);
        let left = (hidden.as_slice(), self.outer.depth);
        linear(isa, left, count, &self.outer, &self.outer_bias, out, false);
    }
}

/// A layer with a bias, rounded off where that is asked. `left`: the rows and how far apart they are.
fn linear(
    isa: Isa,
    left: (&[f32], usize),
    count: usize,
    weights: &Packed,
    bias: &[f32],
    out: &mut [f32],
    round: bool,
) {
    for panel in 0..weights.panels() {
        let columns = PANEL.min(weights.columns - panel * PANEL);
        let mut finish = Linear {
            out: &mut out[panel * PANEL..],
            stride: weights.columns,
            bias: &bias[panel * PANEL..][..columns],
            round,
        };
        let rows = Rows::plain(left.0, left.1, weights.depth, count);
        product(isa, rows, weights.panel(panel), &mut finish);
    }
}

struct Linear<'a> {
    out: &'a mut [f32],
    stride: usize,
    bias: &'a [f32],
    round: bool,
}

impl Finish for Linear<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize, sums: &[f32; PANEL]) {
        let out = &mut self.out[row * self.stride..][..self.bias.len()];
        for ((out, sum), bias) in out.iter_mut().zip(sums).zip(self.bias) {
            *out = sum + bias;
        }
        if self.round {
            out.iter_mut().for_each(|out| *out = gelu(*out));
        }
    }
}

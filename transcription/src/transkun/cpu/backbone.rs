//! From the six pictures to what the transformer says of each symbol.

use super::image::{Convolution, Image, Norm, layer};
use super::transformer::{Block, Desk};
use crate::cpu::Isa;
use crate::cpu::crew::Crew;
use crate::transkun::config::{MELS, SYMBOLS, Shape, VIEWS};

/// Zeros before the picture's first row and column, which the network adds to make its sizes even.
const BEFORE: (usize, usize) = (4, 2);

pub(super) struct Backbone {
    shape: Shape,
    input: Convolution,
    /// Added behind it, `[mel][channel]`.
    mel_places: Vec<f32>,
    convolutions: Vec<(Convolution, Norm)>,
    sound_places: Vec<f32>,
    symbol_places: Vec<f32>,
    /// Along the columns, then along the rows.
    layers: Vec<[Block; 2]>,
}

/// The pictures and places of one segment under way; kept from one to the next, since they are large.
pub(super) struct Room {
    pub(super) features: Image,
    pictures: Vec<Image>,
    /// `[row][column][width]`
    places: Vec<f32>,
    between: Vec<f32>,
    /// `[symbol][row][width]`, without the empty row.
    pub(super) symbols: Vec<f32>,
}

impl Room {
    pub(super) fn new(shape: &Shape) -> Self {
        let [padded, once, twice, thrice] = shape.pictures();
        let (base, width) = (shape.base, shape.width());
        let places = shape.rows() * shape.columns() * width;
        Room {
            features: Image::new((shape.frames(), MELS), VIEWS),
            pictures: vec![
                Image::new(padded, base),
                Image::new(once, 2 * base),
                Image::new(twice, width),
                Image::new(thrice, width),
                Image::new(thrice, width),
            ],
            places: vec![0.0; places],
            between: vec![0.0; places],
            symbols: vec![0.0; SYMBOLS * (shape.rows() - 1) * width],
        }
    }
}

impl Room {
    /// The last of the pictures.
    pub(super) fn sound(&self) -> &Image {
        &self.pictures[4]
    }
}

impl Backbone {
    /// `places`: the learned tables, added behind the first convolution (`[channel][mel]`), to the sound and to the symbols.
    pub(super) fn new(shape: Shape, get: &dyn Fn(&str) -> Vec<f32>, places: [Vec<f32>; 3]) -> Self {
        let convolution = |name: &str, steps| {
            let name = format!("backbone.{name}");
            Convolution::new(
                &get(&format!("{name}.weight")),
                get(&format!("{name}.bias")),
                steps,
            )
        };
        let [mels, sound_places, symbol_places] = places;
        let block = |index: usize, axis: &str| {
            let name = |kind: &str| format!("backbone.encoderLayers.{index}.{kind}Block{axis}");
            Block::new(shape.width(), get, &name("mha"), &name("fnn"))
        };
        Backbone {
            shape,
            input: convolution("inputConv", (1, 1)),
            mel_places: (0..MELS * shape.base)
                .map(|at| mels[at % shape.base * MELS + at / shape.base])
                .collect(),
            convolutions: [(1, (2, 1)), (5, (2, 2)), (9, (2, 2)), (13, (1, 1))]
                .into_iter()
                .map(|(at, steps)| {
                    let norm = format!("backbone.downConv.{}", at + 1);
                    let norm = Norm::new(
                        get(&format!("{norm}.weight")),
                        get(&format!("{norm}.bias")),
                        at != 13,
                    );
                    (convolution(&format!("downConv.{at}"), steps), norm)
                })
                .collect(),
            sound_places,
            symbol_places,
            layers: (0..shape.layers)
                .map(|index| [block(index, "F"), block(index, "T")])
                .collect(),
        }
    }

    /// From `room.features` to `room.symbols`.
    pub(super) fn run(&self, crew: Crew, isa: Isa, room: &mut Room) {
        self.convolve(crew, isa, room);
        self.place(crew, room);
        let Some((last, layers)) = self.layers.split_last() else {
            return;
        };
        for layer in layers {
            self.layer(crew, isa, layer, room);
        }
        self.last_layer(crew, isa, last, room);
    }

    fn convolve(&self, crew: Crew, isa: Isa, room: &mut Room) {
        let base = self.shape.base;
        let (features, frames) = (&room.features, self.shape.frames());
        crew.share(
            room.pictures[0].rows_mut().skip(BEFORE.0).take(frames),
            || (),
            |(), row, out| {
                let out = &mut out[BEFORE.1 * base..][..MELS * base];
                self.input.row(isa, features, row, out);
                for (out, place) in out.iter_mut().zip(&self.mel_places) {
                    *out += place;
                }
            },
        );
        for (at, convolution) in self.convolutions.iter().enumerate() {
            let (before, after) = room.pictures.split_at_mut(at + 1);
            layer(crew, isa, convolution, &before[at], &mut after[0]);
        }
    }

    /// The picture and the symbols side by side, an empty row and column before the picture.
    fn place(&self, crew: Crew, room: &mut Room) {
        let (width, sound) = (self.shape.width(), self.shape.sound_columns());
        let picture = &room.pictures[4];
        crew.share(
            room.places.chunks_exact_mut(self.shape.columns() * width),
            || (),
            |(), row, out| {
                let (out, symbols) = out.split_at_mut(sound * width);
                symbols
                    .copy_from_slice(&self.symbol_places[row * symbols.len()..][..symbols.len()]);
                out.copy_from_slice(&self.sound_places[row * out.len()..][..out.len()]);
                if row > 0 {
                    for (out, number) in out[width..].iter_mut().zip(picture.row(row - 1)) {
                        *out += number;
                    }
                }
            },
        );
    }

    fn desk(&self) -> Desk {
        Desk::new(
            self.shape.width(),
            self.shape.columns().max(self.shape.rows()),
        )
    }

    /// Along the columns from `places` into `between`, then along the rows back again.
    fn layer(&self, crew: Crew, isa: Isa, [across, along]: &[Block; 2], room: &mut Room) {
        let (width, rows, columns) = (self.shape.width(), self.shape.rows(), self.shape.columns());
        let (places, between) = (&room.places, &mut room.between);
        crew.share(
            between.chunks_exact_mut(columns * width),
            || self.desk(),
            |desk, row, out| {
                let memory = &places[row * out.len()..][..out.len()];
                out.copy_from_slice(memory);
                across.forward(isa, desk, memory, out);
            },
        );
        let between = &room.between;
        let mut pieces: Vec<Vec<&mut [f32]>> = (0..columns).map(|_| Vec::new()).collect();
        for (at, place) in room.places.chunks_exact_mut(width).enumerate() {
            pieces[at % columns].push(place);
        }
        crew.share(
            pieces,
            || self.desk(),
            |desk, column, mut places| {
                let mut memory = std::mem::take(&mut desk.memory);
                let mut asked = std::mem::take(&mut desk.asked);
                for (row, place) in places.iter().enumerate() {
                    let from = (row * columns + column) * width;
                    memory[row * width..][..width].copy_from_slice(place);
                    asked[row * width..][..width].copy_from_slice(&between[from..][..width]);
                }
                let count = rows * width;
                along.forward(isa, desk, &memory[..count], &mut asked[..count]);
                for (place, asked) in places.iter_mut().zip(asked.chunks_exact(width)) {
                    place.copy_from_slice(asked);
                }
                (desk.memory, desk.asked) = (memory, asked);
            },
        );
    }

    /// The same where only the symbols are asked for, and not the empty row: into `symbols`.
    fn last_layer(&self, crew: Crew, isa: Isa, [across, along]: &[Block; 2], room: &mut Room) {
        let (width, rows, columns) = (self.shape.width(), self.shape.rows(), self.shape.columns());
        let sound = self.shape.sound_columns();
        let places = &room.places;
        let between = &mut room.between[..(rows - 1) * SYMBOLS * width];
        crew.share(
            between.chunks_exact_mut(SYMBOLS * width),
            || self.desk(),
            |desk, row, out| {
                let memory = &places[(row + 1) * columns * width..][..columns * width];
                out.copy_from_slice(&memory[sound * width..]);
                across.forward(isa, desk, memory, out);
            },
        );
        let between = &room.between;
        crew.share(
            room.symbols.chunks_exact_mut((rows - 1) * width),
            || self.desk(),
            |desk, symbol, out| {
                let mut memory = std::mem::take(&mut desk.memory);
                for row in 0..rows {
                    let from = (row * columns + sound + symbol) * width;
                    memory[row * width..][..width].copy_from_slice(&places[from..][..width]);
                }
                for (row, out) in out.chunks_exact_mut(width).enumerate() {
                    let from = (row * SYMBOLS + symbol) * width;
                    out.copy_from_slice(&between[from..][..width]);
                }
                along.forward(isa, desk, &memory[..rows * width], out);
                desk.memory = memory;
            },
        );
    }
}

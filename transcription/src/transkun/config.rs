//! The network's constants, its shape and the options of a song. Numbers: `2.0.conf` and the modules of transkun 2.0.1.

use serde_json::{Map, Value};

use crate::Error;

/// Hz.
pub const SAMPLE_RATE: u32 = 44_100;
/// Samples from one frame to the next.
pub const HOP: usize = 1024;
/// Samples of a frame.
pub const WINDOW: usize = 4096;
/// Frequencies of a frame's spectrum.
pub const BINS: usize = WINDOW / 2 + 1;
pub const MELS: usize = 229;
/// A Hann window and five learned ones; each gives the network a picture of its own.
pub const VIEWS: usize = 6;
/// What may sound: two pedals, then the keys from A0 to C8.
pub const SYMBOLS: usize = 90;
/// Numbers of a head of the attention.
pub const HEAD: usize = 32;
/// Groups of the norms behind the convolutions.
pub const GROUPS: usize = 4;
/// The frames that one row of the transformer stands for.
pub const PATCH: usize = 8;
/// Seconds of a frame.
pub const FRAME_SECONDS: f64 = HOP as f64 / SAMPLE_RATE as f64;

/// The number by which the network knows a symbol: a key's MIDI number, or a pedal's controller, negative.
pub const fn symbol(index: usize) -> i32 {
    match index {
        0 => -64,
        1 => -67,
        key => 19 + key as i32,
    }
}

/// How large a network is. There is one published; tests have smaller ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels of the first convolution; the transformer is four times as wide.
    pub base: usize,
    pub layers: usize,
    /// Inner width of the networks that tell a note's velocity and its exact times.
    pub inner: usize,
    /// Seconds from one segment to the next, before rounding up to whole frames; a segment is twice as long.
    pub hop_seconds: usize,
}

impl Shape {
    pub const PUBLISHED: Shape = Shape {
        base: 64,
        layers: 6,
        inner: 512,
        hop_seconds: 8,
    };

    /// Width of the transformer.
    pub const fn width(&self) -> usize {
        4 * self.base
    }

    /// Heads of its attention.
    pub const fn heads(&self) -> usize {
        self.width() / HEAD
    }

    /// Width of its inner layers.
    pub const fn hidden(&self) -> usize {
        4 * self.width()
    }

    /// Samples of zeros before and after a recording.
    pub const fn lead(&self) -> usize {
        self.hop_seconds * SAMPLE_RATE as usize
    }

    /// Samples of a segment.
    pub const fn segment(&self) -> usize {
        2 * self.lead()
    }

    /// Frames from one segment's start to the next one's.
    pub const fn step_frames(&self) -> usize {
        self.lead().div_ceil(HOP)
    }

    /// Samples from one segment's start to the next one's.
    pub const fn step(&self) -> usize {
        self.step_frames() * HOP
    }

    /// Frames of a segment.
    pub const fn frames(&self) -> usize {
        self.segment().div_ceil(HOP) + 1
    }

    /// An interval that ends before this frame has certainly ended.
    pub const fn last_frame(&self) -> usize {
        (self.segment() + HOP / 2) / HOP
    }

    /// The frame at which the first segment's sound begins.
    pub const fn first_start(&self) -> usize {
        self.lead() / HOP
    }

    /// Rows and columns of the picture between the convolutions: as padded, then after each of the three that shrink it.
    pub const fn pictures(&self) -> [(usize, usize); 4] {
        let (time, frequency) = (self.frames() + 7, MELS + 3);
        let once = (time.div_ceil(2), frequency);
        let twice = (once.0.div_ceil(2), once.1.div_ceil(2));
        let thrice = (twice.0.div_ceil(2), twice.1.div_ceil(2));
        [(time, frequency), once, twice, thrice]
    }

    /// Rows of the transformer: one for each patch of frames, and an empty one before them.
    pub const fn rows(&self) -> usize {
        self.pictures()[3].0 + 1
    }

    /// Its columns that hold the sound: an empty one, then the picture's.
    pub const fn sound_columns(&self) -> usize {
        self.pictures()[3].1 + 1
    }

    /// All of its columns: the sound's, then one for each symbol.
    pub const fn columns(&self) -> usize {
        self.sound_columns() + SYMBOLS
    }

    /// Every tensor of the network with its shape, as the package names them.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (base, width, hidden) = (self.base, self.width(), self.hidden());
        let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
        let mut add = |name: &str, shape: &[usize]| tensors.push((name.into(), shape.to_vec()));
        let extractor = "framewiseFeatureExtractor";
        add(&format!("{extractor}.freq2mels"), &[BINS, MELS]);
        add(&format!("{extractor}.spectrogramExtractor.win"), &[WINDOW]);
        for part in ["sigma", "center"] {
            let name = format!("{extractor}.spectrogramExtractor.winGen.{part}");
            add(&name, &[VIEWS - 1]);
        }
        let mut layer = |name: &str, shape: &[usize], outputs: usize| {
            add(&format!("{name}.weight"), shape);
            add(&format!("{name}.bias"), &[outputs]);
        };
        layer("scorer.map.0", &[2 * width + 1, width], 2 * width + 1);
        for (name, outputs) in [("velocityPredictor", 128), ("refinedOFPredictor", 4)] {
            layer(&format!("{name}.0"), &[self.inner, 3 * width], self.inner);
            layer(&format!("{name}.3"), &[outputs, self.inner], outputs);
        }
        for (name, width, coordinates) in [
            ("posEmbedBuilder", base, 1),
            ("posEmbedBuilderAttnTF", width, 2),
            ("posEmbedBuilderAttnTE", width, 2),
        ] {
            let name = format!("backbone.{name}");
            layer(&format!("{name}.proj"), &[width, coordinates], width);
            layer(&format!("{name}.mlp.0"), &[4 * width, width], 4 * width);
            layer(&format!("{name}.mlp.3"), &[width, 4 * width], width);
        }
        layer("backbone.inputConv", &[base, VIEWS, 3, 3], base);
        for (index, from, to) in [
            (1, base, 2 * base),
            (5, 2 * base, width),
            (9, width, width),
            (13, width, width),
        ] {
            let name = |index: usize| format!("backbone.downConv.{index}");
            layer(&name(index), &[to, from, 3, 3], to);
            layer(&name(index + 1), &[to], to);
        }
        layer("backbone.upConv1dSkip", &[width, width, PATCH], width);
        for index in 0..self.layers {
            for axis in ["F", "T"] {
                let block = format!("backbone.encoderLayers.{index}.mhaBlock{axis}");
                layer(&format!("{block}.module.out_proj"), &[width, width], width);
                let block = format!("backbone.encoderLayers.{index}.fnnBlock{axis}");
                layer(&format!("{block}.module.0"), &[hidden, width], hidden);
                layer(&format!("{block}.module.3"), &[width, hidden], width);
            }
        }
        for index in 0..self.layers {
            for axis in ["F", "T"] {
                let block =
                    |kind: &str| format!("backbone.encoderLayers.{index}.{kind}Block{axis}");
                add(&format!("{}.scale", block("mha")), &[width]);
                for part in ["q", "k", "v"] {
                    let name = format!("{}.module.{part}_proj_weight", block("mha"));
                    add(&name, &[width, width]);
                }
                add(&format!("{}.scale", block("fnn")), &[width]);
            }
        }
        tensors
    }
}

/// What may be chosen for a song: nothing about its notes.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Options {
    /// Beats a minute in the MIDI header; moves no note.
    pub midi_tempo: f64,
}

impl Options {
    /// Reads options as users write them; an unknown name or a value out of range is refused by name.
    pub fn parse(options: &Map<String, Value>) -> Result<Self, Error> {
        let mut parsed = Options { midi_tempo: 120.0 };
        for (name, value) in options {
            let refused = |reason: String| Error::Options {
                model: super::NAME.into(),
                option: name.clone(),
                reason,
            };
            if name != "midi_tempo" {
                return Err(refused("this model has no such option".into()));
            }
            parsed.midi_tempo = value
                .as_f64()
                .filter(|tempo| (4.0..=1000.0).contains(tempo))
                .ok_or_else(|| refused(format!("{value} is not a number from 4 to 1000")))?;
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_published_network_has_the_published_numbers() {
        let shape = Shape::PUBLISHED;
        assert_eq!((shape.segment(), shape.step()), (705_600, 353_280));
        assert_eq!((shape.frames(), shape.step_frames()), (691, 345));
        assert_eq!((shape.last_frame(), shape.first_start()), (689, 344));
        assert_eq!(
            shape.pictures(),
            [(698, 232), (349, 232), (175, 116), (88, 58)]
        );
        assert_eq!((shape.rows(), shape.columns()), (89, 149));
        let tensors = shape.tensors();
        assert_eq!(tensors.len(), 184);
        let numbers: usize = tensors
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        assert_eq!(numbers, 14_087_028);
        assert_eq!((symbol(0), symbol(1)), (-64, -67));
        assert_eq!((symbol(2), symbol(SYMBOLS - 1)), (21, 108));
    }

    #[test]
    fn wrong_options_are_refused_by_name() {
        let parse = |options: Value| Options::parse(options.as_object().unwrap());
        assert_eq!(parse(json!({"midi_tempo": 90})).unwrap().midi_tempo, 90.0);
        for (given, name) in [
            (json!({"midi_tempo": 1}), "midi_tempo"),
            (json!({"onset_threshold": 0.5}), "onset_threshold"),
        ] {
            let error = parse(given).unwrap_err();
            assert!(
                matches!(&error, Error::Options { option, .. } if option == name),
                "{error}"
            );
        }
    }
}

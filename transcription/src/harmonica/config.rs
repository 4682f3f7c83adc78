//! The network's constants, its sizes, and the options of its note decoding. Numbers: `config.py` and `inference.py` of harmonica-amt 0.3.0.

use serde_json::{Map, Value};

use crate::Error;

/// Hz.
pub const SAMPLE_RATE: u32 = 16_000;
/// Samples from one frame to the next.
pub const HOP: usize = 512;
/// Frames a second.
pub const FRAME_RATE: f64 = SAMPLE_RATE as f64 / HOP as f64;
/// Semitones from A0.
pub const PITCHES: usize = 88;
/// A0.
pub const LOWEST_PITCH: usize = 21;
/// Three bins a semitone.
pub const BINS: usize = 3 * PITCHES;
/// Frames that the network sees at once: five seconds, rounded to a multiple of four.
pub const CHUNK: usize = 156;
/// Frames of a chunk that are kept, in its middle.
pub const KEPT: usize = CHUNK / 2;
/// Frames before and after them.
pub const MARGIN: usize = CHUNK / 4;
/// Semitones to the harmonics and subharmonics 1 to 8, in the order of the harmonic layers' weights.
pub const HARMONIC_SHIFTS: [i64; 15] = [
    -36, -34, -31, -28, -24, -19, -12, 0, 12, 19, 24, 28, 31, 34, 36,
];
/// Each of the three maps has a head of this name. A fourth head, `offset`, is never used by the package and not kept.
pub const HEADS: [&str; 3] = ["onset", "sustain", "velocity"];

/// A published network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// What follows the colon in the model's name.
    pub name: &'static str,
    /// The model's whole name.
    pub model: &'static str,
    /// Channels before and after the step from bins to semitones.
    pub front_channels: usize,
    pub channels: usize,
    /// Harmonic layers, each with a residual block behind it.
    pub blocks: usize,
}

/// Smallest first.
pub const SIZES: [Size; 5] = [
    size("nano", "harmonica:nano", 16, 2),
    size("small", "harmonica:small", 32, 3),
    size("medium", "harmonica:medium", 64, 4),
    size("large", "harmonica:large", 128, 5),
    size("x-large", "harmonica:x-large", 256, 6),
];

/// The package's default.
pub const DEFAULT_SIZE: Size = SIZES[2];

const fn size(name: &'static str, model: &'static str, channels: usize, blocks: usize) -> Size {
    Size {
        name,
        model,
        front_channels: channels / 4,
        channels,
        blocks,
    }
}

impl Size {
    /// `harmonica` or `harmonica:SIZE`.
    pub fn of_model(model: &str) -> Option<Size> {
        if model == super::FAMILY {
            return Some(DEFAULT_SIZE);
        }
        SIZES.into_iter().find(|size| size.model == model)
    }

    /// Width of each direction of a head's LSTM.
    pub const fn hidden(&self) -> usize {
        self.channels / 2
    }

    /// Every tensor of the network with its shape, as the package names them.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (front, channels, hidden) = (self.front_channels, self.channels, self.hidden());
        let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            tensors.push((format!("{name}.weight"), shape.to_vec()));
            tensors.push((format!("{name}.bias"), shape[..1].to_vec()));
        };
        let residual = |add: &mut dyn FnMut(String, &[usize]), name: &str, of, from, kernel| {
            add(format!("{name}.conv1"), &[of, from, kernel, kernel]);
            add(format!("{name}.norm1"), &[of]);
            add(format!("{name}.conv2"), &[of, of, kernel, kernel]);
            add(format!("{name}.norm2"), &[of]);
        };
        residual(&mut add, "stem", front, 1, 5);
        add("stem.skip".into(), &[front, 1, 1, 1]);
        residual(&mut add, "frontend.0", front, front, 5);
        residual(&mut add, "frontend.1", front, front, 5);
        add("down".into(), &[channels, front, 3, 1]);
        for block in 0..self.blocks {
            let harmonic = format!("trunk.{}", 2 * block);
            add(
                format!("{harmonic}.conv"),
                &[channels, HARMONIC_SHIFTS.len() * channels],
            );
            add(format!("{harmonic}.norm"), &[channels]);
            residual(
                &mut add,
                &format!("trunk.{}", 2 * block + 1),
                channels,
                channels,
                3,
            );
        }
        for head in HEADS {
            add(format!("heads.{head}.linear"), &[1, 2 * hidden]);
        }
        for head in HEADS {
            for way in ["", "_reverse"] {
                for (part, shape) in [
                    ("weight_ih_l0", &[4 * hidden, channels][..]),
                    ("weight_hh_l0", &[4 * hidden, hidden]),
                    ("bias_ih_l0", &[4 * hidden]),
                    ("bias_hh_l0", &[4 * hidden]),
                ] {
                    tensors.push((format!("heads.{head}.lstm.{part}{way}"), shape.to_vec()));
                }
            }
        }
        tensors
    }
}

/// What the checkpoint's authors chose for decoding; travels with the weights.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Thresholds {
    pub onset: f64,
    pub frame: f64,
}

/// Note decoding.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Options {
    /// Least onset activation, 0 to 1.
    pub onset_threshold: f64,
    /// Least sustain activation that keeps a note on, 0 to 1.
    pub frame_threshold: f64,
    /// Beats a minute in the MIDI header; moves no note.
    pub midi_tempo: f64,
}

impl Options {
    /// Reads options as users write them; an unknown name or a value out of range is refused by name.
    /// What is not said comes from the weights.
    pub fn parse(
        model: &str,
        options: &Map<String, Value>,
        defaults: Thresholds,
    ) -> Result<Self, Error> {
        let mut parsed = Options {
            onset_threshold: defaults.onset,
            frame_threshold: defaults.frame,
            midi_tempo: 120.0,
        };
        let refused = |option: &str, reason: String| Error::Options {
            model: model.into(),
            option: option.into(),
            reason,
        };
        let number = |name: &str, value: &Value, low: f64, high: f64| {
            value
                .as_f64()
                .filter(|number| (low..=high).contains(number))
                .ok_or_else(|| {
                    refused(
                        name,
                        format!("{value} is not a number from {low} to {high}"),
                    )
                })
        };
        for (name, value) in options {
            match name.as_str() {
                "onset_threshold" => parsed.onset_threshold = number(name, value, 0.0, 1.0)?,
                "frame_threshold" => parsed.frame_threshold = number(name, value, 0.0, 1.0)?,
                "midi_tempo" => parsed.midi_tempo = number(name, value, 4.0, 1000.0)?,
                _ => return Err(refused(name, "this model has no such option".into())),
            }
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_sizes_have_the_published_tensors() {
        // The package's counts, less the head that is not kept: 10 tensors, and its weights.
        for (size, tensors, parameters) in [
            (SIZES[0], 92 - 10, 26_296),
            (SIZES[1], 104 - 10, 137_132),
            (SIZES[2], 116 - 10, 679_444),
            (SIZES[3], 128 - 10, 3_248_804),
            (SIZES[4], 140 - 10, 15_136_324),
        ] {
            let (channels, hidden) = (size.channels, size.hidden());
            let head = 2 * 4 * hidden * (channels + hidden + 2) + 2 * hidden + 1;
            let found = size.tensors();
            assert_eq!(found.len(), tensors, "{}", size.name);
            let sum: usize = found
                .iter()
                .map(|(_, shape)| shape.iter().product::<usize>())
                .sum();
            assert_eq!(sum + head, parameters, "{}", size.name);
        }
    }

    #[test]
    fn models_are_found_by_name() {
        assert_eq!(Size::of_model("harmonica").unwrap().name, "medium");
        assert_eq!(Size::of_model("harmonica:x-large").unwrap().channels, 256);
        for wrong in ["harmonica:", "harmonica:huge", "nano", "Harmonica"] {
            assert_eq!(Size::of_model(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn wrong_options_are_refused_by_name_and_the_rest_comes_from_the_weights() {
        let defaults = Thresholds {
            onset: 0.2,
            frame: 0.45,
        };
        let parse = |options: Value| {
            Options::parse("harmonica:nano", options.as_object().unwrap(), defaults)
        };
        let options = parse(json!({"onset_threshold": 0.3})).unwrap();
        assert_eq!(
            (options.onset_threshold, options.frame_threshold),
            (0.3, 0.45)
        );
        for (given, name) in [
            (json!({"onset_threshold": 1.5}), "onset_threshold"),
            (json!({"frame_threshold": "0.3"}), "frame_threshold"),
            (json!({"melodia": true}), "melodia"),
        ] {
            let error = parse(given).unwrap_err();
            assert!(
                matches!(&error, Error::Options { option, .. } if option == name),
                "{error}"
            );
        }
    }
}

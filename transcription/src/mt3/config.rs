//! The network's constants and its sizes: what the weights say by their shapes, and what only a configuration says.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Hz.
pub const SAMPLE_RATE: u32 = 16_000;
/// Samples from one frame to the next.
pub const HOP: usize = 128;
/// Samples that a frame sees.
pub const WINDOW: usize = 2_048;
/// Frames a second.
pub const FRAME_RATE: f64 = 125.0;
/// Of a spectrum.
pub const FREQUENCIES: usize = WINDOW / 2 + 1;
/// Bands of a frame.
pub const BANDS: usize = 512;
/// Hz.
pub const LOWEST: f64 = 20.0;
/// Hz.
pub const HIGHEST: f64 = 7_600.0;
/// What the logarithm is taken of where there is nothing.
pub const FLOOR: f64 = 1e-5;
/// Begins every sequence, and fills up what is shorter.
pub const START: i64 = 0;
/// Ends a sequence.
pub const END: i64 = 1;

/// No list of sizes that makes sense has larger numbers.
const LARGEST: u64 = 1 << 16;
const MOST_LAYERS: u64 = 256;

/// Whose arithmetic is followed, down to the last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The authors' own inference: each segment's spectrum of its own samples.
    #[default]
    Magenta,
    /// The PyTorch port: one spectrum of the whole recording, cut.
    Seed,
}

impl Profile {
    pub fn as_str(self) -> &'static str {
        match self {
            Profile::Magenta => "magenta",
            Profile::Seed => "seed",
        }
    }

    /// When a segment begins, in seconds, as the profile's arithmetic has it.
    pub fn start_time(self, segment: usize, frames: usize) -> f64 {
        let frame = (segment * frames) as f64;
        match self {
            Profile::Magenta => frame / FRAME_RATE,
            Profile::Seed => f64::from(frame as f32 / FRAME_RATE as f32),
        }
    }
}

impl std::str::FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "magenta" => Ok(Profile::Magenta),
            "seed" => Ok(Profile::Seed),
            _ => Err(format!("`{text}` is no profile; write magenta or seed")),
        }
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The network's sizes, under the names that configurations use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    #[serde(rename = "vocab_size")]
    pub vocabulary: usize,
    #[serde(rename = "emb_dim")]
    pub width: usize,
    #[serde(rename = "num_heads")]
    pub heads: usize,
    #[serde(rename = "head_dim")]
    pub head_width: usize,
    #[serde(rename = "num_encoder_layers")]
    pub encoder_layers: usize,
    #[serde(rename = "num_decoder_layers")]
    pub decoder_layers: usize,
    #[serde(rename = "mlp_dim")]
    pub mlp_width: usize,
    /// Frames of a segment.
    #[serde(rename = "max_encoder_length")]
    pub frames: usize,
    /// Tokens of a segment at most, the first one included.
    #[serde(rename = "max_decoder_length")]
    pub positions: usize,
}

/// The network whose weights were published.
pub const PUBLISHED: Shape = Shape {
    vocabulary: 1_536,
    width: 512,
    heads: 6,
    head_width: 64,
    encoder_layers: 8,
    decoder_layers: 8,
    mlp_width: 1_024,
    frames: 256,
    positions: 1_024,
};

impl Shape {
    /// All heads side by side.
    pub const fn inner(&self) -> usize {
        self.heads * self.head_width
    }

    /// Bytes of keys and values that a row in flight needs.
    pub const fn row_bytes(&self) -> usize {
        2 * self.decoder_layers * (self.positions + self.frames) * self.inner() * 4
    }

    /// Samples of a segment's frames, with what the last frames reach beyond.
    pub const fn samples(&self) -> usize {
        self.frames * HOP + WINDOW - HOP
    }

    /// Every tensor with its shape.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (width, inner, mlp) = (self.width, self.inner(), self.mlp_width);
        let mut tensors = vec![
            ("encoder.input_projection.weight".into(), vec![width, BANDS]),
            ("encoder.final_norm.weight".into(), vec![width]),
            (
                "decoder.token_embeddings.weight".into(),
                vec![self.vocabulary, width],
            ),
            ("decoder.final_norm.weight".into(), vec![width]),
            (
                "decoder.output_projection.weight".into(),
                vec![self.vocabulary, width],
            ),
        ];
        let mut layer = |name: String, attentions: &[&str], norms: usize| {
            for attention in attentions {
                for part in ["q", "k", "v"] {
                    tensors.push((
                        format!("{name}.{attention}.{part}_proj.weight"),
                        vec![inner, width],
                    ));
                }
                tensors.push((
                    format!("{name}.{attention}.out_proj.weight"),
                    vec![width, inner],
                ));
            }
            for part in ["wi_0", "wi_1"] {
                tensors.push((format!("{name}.mlp.{part}.weight"), vec![mlp, width]));
            }
            tensors.push((format!("{name}.mlp.wo.weight"), vec![width, mlp]));
            for norm in 1..=norms {
                tensors.push((format!("{name}.norm{norm}.weight"), vec![width]));
            }
        };
        for index in 0..self.encoder_layers {
            layer(format!("encoder.layers.{index}"), &["self_attn"], 2);
        }
        for index in 0..self.decoder_layers {
            layer(
                format!("decoder.layers.{index}"),
                &["self_attn", "cross_attn"],
                3,
            );
        }
        tensors
    }

    /// Reads a configuration; what it does not say is taken from the shapes of the weights, by `shape_of`.
    pub fn parse<'a>(
        text: &str,
        names: impl Iterator<Item = &'a str>,
        shape_of: impl Fn(&str) -> Option<Vec<usize>>,
    ) -> Result<Self, String> {
        let config = object(text)?;
        let number = |key: &str, most: u64| match config.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_u64()
                .filter(|number| *number <= most)
                .map(|number| Some(number as usize))
                .ok_or_else(|| {
                    format!("`{key}` is {value}, a whole number up to {most} is needed")
                }),
        };
        let size = |key: &str, found: Option<usize>| {
            number(key, LARGEST)?
                .or(found)
                .filter(|size| *size > 0)
                .ok_or_else(|| {
                    format!("the configuration has no `{key}`, and the weights do not say it")
                })
        };
        let axis = |name: &str, axis: usize| shape_of(name)?.get(axis).copied();
        let names: Vec<&str> = names.collect();
        let layers = |side: &str| {
            names
                .iter()
                .filter_map(|name| {
                    let rest = name.strip_prefix(side)?.strip_prefix(".layers.")?;
                    rest.split('.').next()?.parse::<usize>().ok()
                })
                .max()
                .map_or(0, |last| last.saturating_add(1))
        };
        let depth = number("input_depth", LARGEST)?.unwrap_or(BANDS);
        if depth != BANDS {
            return Err(format!(
                "`input_depth` is {depth}; the front end makes {BANDS} bands"
            ));
        }
        let inner = axis("decoder.layers.0.self_attn.q_proj.weight", 0)
            .or_else(|| axis("encoder.layers.0.self_attn.q_proj.weight", 0));
        let (heads, head_width) = (number("num_heads", LARGEST)?, number("head_dim", LARGEST)?);
        let (heads, head_width) = match (heads, head_width, inner) {
            (Some(heads), Some(width), _) => (heads, width),
            (Some(part), None, Some(inner)) if part > 0 && inner % part == 0 => {
                (part, inner / part)
            }
            (None, Some(part), Some(inner)) if part > 0 && inner % part == 0 => {
                (inner / part, part)
            }
            _ => {
                return Err(
                    "the configuration needs `num_heads` and `head_dim`, which the weights do not say"
                        .into(),
                );
            }
        };
        let shape = Shape {
            vocabulary: size("vocab_size", axis("decoder.token_embeddings.weight", 0))?,
            width: size("emb_dim", axis("decoder.token_embeddings.weight", 1))?,
            heads,
            head_width,
            encoder_layers: number("num_encoder_layers", MOST_LAYERS)?
                .unwrap_or_else(|| layers("encoder")),
            decoder_layers: number("num_decoder_layers", MOST_LAYERS)?
                .unwrap_or_else(|| layers("decoder")),
            mlp_width: size(
                "mlp_dim",
                axis("decoder.layers.0.mlp.wi_0.weight", 0)
                    .or_else(|| axis("encoder.layers.0.mlp.wi_0.weight", 0)),
            )?,
            frames: size("max_encoder_length", Some(PUBLISHED.frames))?,
            positions: size("max_decoder_length", Some(PUBLISHED.positions))?,
        };
        shape.check()?;
        Ok(shape)
    }

    /// Before anything is built of sizes that a file says: a list of tensors, for one, is as long as they want it.
    pub(super) fn check(&self) -> Result<(), String> {
        let sizes = [
            ("vocab_size", self.vocabulary),
            ("emb_dim", self.width),
            ("num_heads", self.heads),
            ("head_dim", self.head_width),
            ("mlp_dim", self.mlp_width),
            ("max_encoder_length", self.frames),
            ("max_decoder_length", self.positions),
        ];
        let fits = |size: usize| (1..=LARGEST).contains(&(size as u64));
        if let Some((name, size)) = sizes.into_iter().find(|(_, size)| !fits(*size)) {
            return Err(format!(
                "`{name}` is {size}, a whole number from 1 to {LARGEST} is needed"
            ));
        }
        if self.width < 4 {
            return Err("`emb_dim` is at least 4: positions have two waves or more".into());
        }
        if self.vocabulary < 3 {
            return Err("`vocab_size` is at least 3".into());
        }
        if self.encoder_layers as u64 > MOST_LAYERS || self.decoder_layers as u64 > MOST_LAYERS {
            return Err(format!("more than {MOST_LAYERS} layers"));
        }
        Ok(())
    }
}

/// The object itself, or the one that it holds under `config`.
fn object(text: &str) -> Result<Map<String, Value>, String> {
    let wrong = || "the configuration is not a JSON object".to_owned();
    let Value::Object(mut whole) =
        serde_json::from_str(text).map_err(|error| format!("{}: {error}", wrong()))?
    else {
        return Err(wrong());
    };
    match whole.remove("config") {
        None => Ok(whole),
        Some(Value::Object(inner)) => Ok(inner),
        Some(_) => Err("the configuration's `config` is not a JSON object".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_network_has_the_published_weights() {
        let tensors = PUBLISHED.tensors();
        assert_eq!(tensors.len(), 189);
        let count: usize = tensors
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        assert_eq!(count, 45_896_704);
    }

    #[test]
    fn sizes_that_a_file_claims_are_bounded() {
        assert_eq!(PUBLISHED.check(), Ok(()));
        let layers = |encoder_layers| Shape {
            encoder_layers,
            ..PUBLISHED
        };
        assert_eq!(layers(0).check(), Ok(()));
        assert!(layers(257).check().is_err() && layers(usize::MAX).check().is_err());
        for (frames, positions) in [(0, 1_024), (256, usize::MAX)] {
            let shape = Shape {
                frames,
                positions,
                ..PUBLISHED
            };
            assert!(shape.check().is_err(), "{shape:?}");
        }
    }

    #[test]
    fn start_times_are_the_profiles_own() {
        assert_eq!(Profile::Seed.start_time(1, 256), 2.048_000_097_274_780_3);
        assert_eq!(Profile::Magenta.start_time(1, 256), 2.048);
    }

    #[test]
    fn a_configuration_is_read_wherever_it_stands_and_filled_from_the_weights() {
        let shape_of = |name: &str| match name {
            "decoder.token_embeddings.weight" => Some(vec![1_536, 64]),
            "decoder.layers.0.self_attn.q_proj.weight" => Some(vec![48, 64]),
            "decoder.layers.0.mlp.wi_0.weight" => Some(vec![100, 64]),
            _ => None,
        };
        let names = [
            "encoder.layers.1.norm1.weight",
            "decoder.layers.3.norm1.weight",
        ];
        let parse = |text: &str| Shape::parse(text, names.into_iter(), shape_of);
        let expected = Shape {
            vocabulary: 1_536,
            width: 64,
            heads: 3,
            head_width: 16,
            encoder_layers: 2,
            decoder_layers: 4,
            mlp_width: 100,
            frames: 256,
            positions: 1_024,
        };
        for text in [
            r#"{"num_heads": 3}"#,
            r#"{"config": {"head_dim": 16, "dropout_rate": 0.1}, "segments": []}"#,
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for (text, word) in [
            ("{", "JSON"),
            ("[1]", "JSON object"),
            ("{}", "num_heads"),
            (r#"{"num_heads": 5}"#, "head_dim"),
            (r#"{"num_heads": 3, "emb_dim": "64"}"#, "emb_dim"),
            (r#"{"num_heads": 3, "emb_dim": -1}"#, "emb_dim"),
            (
                r#"{"num_heads": 3, "num_encoder_layers": 1e9}"#,
                "num_encoder_layers",
            ),
            (r#"{"num_heads": 3, "input_depth": 80}"#, "input_depth"),
            (r#"{"num_heads": 0, "head_dim": 16}"#, "num_heads"),
            (r#"{"config": 7}"#, "config"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}

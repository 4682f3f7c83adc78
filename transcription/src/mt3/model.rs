//! The transformer: encoder, and decoder one position at a time. No biases anywhere, root-mean-square norms, gated GELU, sinusoids for
//! positions, attention without a scale.

use tch::{Device, Kind, Tensor};

use super::cache::{Cache, Step};
use super::config::{Profile, Shape};
use super::front_end::FrontEnd;
use super::linear::Linear;
use super::weights::Weights;
use crate::Error;
use crate::stages::mark;

const EPSILON: f64 = 1e-6;

struct Attention {
    /// Queries, keys, values, one under the other.
    into: Linear,
    out: Linear,
}

struct Mlp {
    /// What goes through the GELU, then what it opens and closes.
    into: Linear,
    out: Linear,
    width: i64,
    gelu: &'static str,
}

impl Mlp {
    fn forward(&self, xs: &Tensor) -> Result<Tensor, Error> {
        let both = self.into.forward(xs)?;
        let gate = both.f_narrow(-1, 0, self.width)?.f_gelu(self.gelu)?;
        let hidden = gate.f_mul(&both.f_narrow(-1, self.width, self.width)?)?;
        self.out.forward(&hidden)
    }
}

struct EncoderLayer {
    norms: [Tensor; 2],
    attention: Attention,
    mlp: Mlp,
}

struct DecoderLayer {
    norms: [Tensor; 3],
    attention: Attention,
    sound_queries: Linear,
    /// Keys, then values.
    sound: Linear,
    sound_out: Linear,
    mlp: Mlp,
}

/// The loaded network.
pub struct Model {
    pub shape: Shape,
    pub profile: Profile,
    pub device: Device,
    front_end: FrontEnd,
    input: Linear,
    encoder_positions: Tensor,
    encoder: Vec<EncoderLayer>,
    encoder_norm: Tensor,
    embeddings: Tensor,
    decoder_positions: Tensor,
    decoder: Vec<DecoderLayer>,
    decoder_norm: Tensor,
    output: Linear,
}

impl Model {
    /// `threads`: of our own products, on the CPU; none for libtorch's.
    pub fn new(
        weights: &Weights,
        profile: Profile,
        device: Device,
        threads: Option<usize>,
    ) -> Result<Self, Error> {
        let shape = weights.shape;
        let get = |name: String| weights.tensor(&format!("{name}.weight"), device);
        let matrix = |name: String| Linear::new(get(name)?, threads);
        let stacked = |names: [String; 3], count: usize| -> Result<Linear, Error> {
            let parts = names
                .into_iter()
                .take(count)
                .map(get)
                .collect::<Result<Vec<_>, _>>()?;
            Linear::new(Tensor::f_cat(&parts, 0)?, threads)
        };
        let projections =
            |name: &str, parts: [&str; 3]| parts.map(|part| format!("{name}.{part}_proj"));
        let attention = |name: &str| -> Result<Attention, Error> {
            Ok(Attention {
                into: stacked(projections(name, ["q", "k", "v"]), 3)?,
                out: matrix(format!("{name}.out_proj"))?,
            })
        };
        let mlp = |name: &str| -> Result<Mlp, Error> {
            let wi = [
                format!("{name}.mlp.wi_0"),
                format!("{name}.mlp.wi_1"),
                String::new(),
            ];
            Ok(Mlp {
                into: stacked(wi, 2)?,
                out: matrix(format!("{name}.mlp.wo"))?,
                width: shape.mlp_width as i64,
                gelu: match profile {
                    Profile::Seed => "none",
                    Profile::Magenta => "tanh",
                },
            })
        };
        let encoder = (0..shape.encoder_layers)
            .map(|index| {
                let name = format!("encoder.layers.{index}");
                Ok(EncoderLayer {
                    norms: [get(format!("{name}.norm1"))?, get(format!("{name}.norm2"))?],
                    attention: attention(&format!("{name}.self_attn"))?,
                    mlp: mlp(&name)?,
                })
            })
            .collect::<Result<_, Error>>()?;
        let decoder = (0..shape.decoder_layers)
            .map(|index| {
                let name = format!("decoder.layers.{index}");
                let sound = format!("{name}.cross_attn");
                Ok(DecoderLayer {
                    norms: [
                        get(format!("{name}.norm1"))?,
                        get(format!("{name}.norm2"))?,
                        get(format!("{name}.norm3"))?,
                    ],
                    attention: attention(&format!("{name}.self_attn"))?,
                    sound_queries: matrix(format!("{sound}.q_proj"))?,
                    sound: stacked(projections(&sound, ["k", "v", ""]), 2)?,
                    sound_out: matrix(format!("{sound}.out_proj"))?,
                    mlp: mlp(&name)?,
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Model {
            shape,
            profile,
            device,
            front_end: FrontEnd::new(profile, device)?,
            input: matrix("encoder.input_projection".into())?,
            encoder_positions: positions(profile, shape.frames, shape.width, device)?,
            encoder,
            encoder_norm: get("encoder.final_norm".into())?,
            embeddings: get("decoder.token_embeddings".into())?,
            decoder_positions: positions(profile, shape.positions, shape.width, device)?,
            decoder,
            decoder_norm: get("decoder.final_norm".into())?,
            output: matrix("decoder.output_projection".into())?,
        })
    }

    pub fn front_end(&self) -> &FrontEnd {
        &self.front_end
    }

    /// `[rows, frames, BANDS]` -> `[rows, frames, width]`.
    pub fn encode(&self, frames: &Tensor) -> Result<Tensor, Error> {
        let [rows, count, _] = frames.size()[..] else {
            return Err(Error::Device {
                message: "frames of another shape".into(),
                sticky: false,
            });
        };
        let (heads, width) = (self.shape.heads as i64, self.shape.head_width as i64);
        let mut xs = self.input.forward(frames)?.f_add(&self.encoder_positions)?;
        for layer in &self.encoder {
            let parts = layer
                .attention
                .into
                .forward(&self.norm(&xs, &layer.norms[0])?)?
                .f_view([rows, count, 3, heads, width])?
                .f_permute([2, 0, 3, 1, 4])?;
            let scores = parts
                .f_get(0)?
                .f_matmul(&parts.f_get(1)?.f_transpose(-2, -1)?)?
                .f_softmax(-1, None)?;
            let mixed = scores
                .f_matmul(&parts.f_get(2)?)?
                .f_transpose(1, 2)?
                .f_reshape([rows, count, heads * width])?;
            xs = xs.f_add(&layer.attention.out.forward(&mixed)?)?;
            xs = xs.f_add(&layer.mlp.forward(&self.norm(&xs, &layer.norms[1])?)?)?;
        }
        let xs = self.norm(&xs, &self.encoder_norm)?;
        mark("encoder");
        Ok(xs)
    }

    /// What every layer of the decoder will look at of new rows: `[rows, frames, width]` into the cache.
    pub fn listen(&self, cache: &mut Cache, slots: &[usize], sound: &Tensor) -> Result<(), Error> {
        for (index, layer) in self.decoder.iter().enumerate() {
            cache.put_sound(index, slots, &layer.sound.forward(sound)?)?;
        }
        mark("keys and values of the sound");
        Ok(())
    }

    /// One position more of each row: its token `[rows]` -> what may come next, `[rows, vocabulary]`.
    pub fn step(
        &self,
        cache: &mut Cache,
        tokens: &Tensor,
        step: &Step<'_>,
    ) -> Result<Tensor, Error> {
        let mut xs = self
            .embeddings
            .f_index_select(0, tokens)?
            .f_add(&self.decoder_positions.f_index_select(0, step.on_device)?)?;
        for (index, layer) in self.decoder.iter().enumerate() {
            let new = layer
                .attention
                .into
                .forward(&self.norm(&xs, &layer.norms[0])?)?;
            mark("decoder: projections");
            let mixed = cache.attend_self(index, &new, step)?;
            mark("decoder: attention to tokens");
            xs = xs.f_add(&layer.attention.out.forward(&mixed)?)?;
            let queries = layer
                .sound_queries
                .forward(&self.norm(&xs, &layer.norms[1])?)?;
            mark("decoder: projections");
            let mixed = cache.attend_sound(index, &queries)?;
            mark("decoder: attention to the sound");
            xs = xs.f_add(&layer.sound_out.forward(&mixed)?)?;
            mark("decoder: projections");
            xs = xs.f_add(&layer.mlp.forward(&self.norm(&xs, &layer.norms[2])?)?)?;
            mark("decoder: gated layers");
        }
        let scores = self.output.forward(&self.norm(&xs, &self.decoder_norm)?)?;
        mark("decoder: scores");
        Ok(scores)
    }

    fn norm(&self, xs: &Tensor, scale: &Tensor) -> Result<Tensor, Error> {
        Ok(xs.f_rms_norm([self.shape.width as i64], Some(scale), EPSILON)?)
    }
}

/// `[count, width]`: sines of all waves, then their cosines. `seed` computes in float32, as its library does.
pub fn positions(
    profile: Profile,
    count: usize,
    width: usize,
    device: Device,
) -> Result<Tensor, Error> {
    let half = width / 2;
    let step = -(10_000f64.ln()) / (half - 1) as f64;
    let kind = match profile {
        Profile::Seed => Kind::Float,
        Profile::Magenta => Kind::Double,
    };
    let options = (kind, Device::Cpu);
    let waves = Tensor::f_arange(half as i64, options)?
        .f_mul_scalar(step)?
        .f_exp()?;
    let turns = Tensor::f_arange(count as i64, options)?
        .f_unsqueeze(1)?
        .f_mul(&waves)?;
    let mut parts = vec![turns.f_sin()?, turns.f_cos()?];
    if width % 2 == 1 {
        parts.push(Tensor::f_zeros([count as i64, 1], options)?);
    }
    Ok(Tensor::f_cat(&parts, 1)?
        .f_to_kind(Kind::Float)?
        .f_to_device(device)?)
}

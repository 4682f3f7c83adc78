//! The network in libtorch's own operations: on a GPU it is what runs, on the CPU it is what our own code is held against.
//! `ModelTransformer.py` and `LayersTransformer.py` of the package, in float32; the last layer is computed only where it is asked for.

mod search;
mod tables;

use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

use super::attributes::Candidates;
use super::config::{GROUPS, HEAD, HOP, PATCH, SYMBOLS, Shape, VIEWS, WINDOW};
use super::segments::Segment;
use crate::Error;
use crate::stages::mark;
pub(super) use tables::tables;
use tables::{getter, places, windows_of};

/// What the logarithm of nothing is taken of.
const FLOOR: f64 = 1e-5;

/// A layer with a weight and a bias.
struct Layer {
    weight: Tensor,
    bias: Tensor,
}

impl Layer {
    fn linear(&self, x: &Tensor) -> Result<Tensor, Error> {
        Ok(x.f_linear(&self.weight, Some(&self.bias))?)
    }
}

/// Attention along one axis, and the network behind it.
struct Block {
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Layer,
    scale: Tensor,
    inner: Layer,
    outer: Layer,
    inner_scale: Tensor,
}

/// The loaded network.
pub struct Reference {
    device: Device,
    shape: Shape,
    mels: Tensor,
    windows: Tensor,
    input: Layer,
    /// Added behind the first convolution, `[base, 1, MELS]`.
    mel_places: Tensor,
    convolutions: Vec<(Layer, Layer)>,
    /// `[rows, sound columns, width]` and `[rows, SYMBOLS, width]`.
    sound_places: Tensor,
    symbol_places: Tensor,
    /// Along the columns, then along the rows.
    layers: Vec<[Block; 2]>,
    up: Layer,
    scorer: Layer,
    velocity: [Layer; 2],
    times: [Layer; 2],
    /// `[begin, end]`: how many frames the interval lasts, zero where it does not begin before it ends.
    lengths: Tensor,
}

/// What the parts of the network gave, by name, for comparisons.
pub type Stages = Vec<(&'static str, Tensor)>;

impl Reference {
    pub fn load(shape: Shape, weights: &SafeTensors<'_>, device: Device) -> Result<Self, Error> {
        let _no_grad = tch::no_grad_guard();
        let get = getter(&shape, weights, device);
        let layer = |name: &str| {
            Ok::<_, Error>(Layer {
                weight: get(&format!("{name}.weight"))?,
                bias: get(&format!("{name}.bias"))?,
            })
        };
        let block = |index: usize, axis: &str| {
            let attention = format!("backbone.encoderLayers.{index}.mhaBlock{axis}");
            let inner = format!("backbone.encoderLayers.{index}.fnnBlock{axis}");
            Ok::<_, Error>(Block {
                query: get(&format!("{attention}.module.q_proj_weight"))?,
                key: get(&format!("{attention}.module.k_proj_weight"))?,
                value: get(&format!("{attention}.module.v_proj_weight"))?,
                out: layer(&format!("{attention}.module.out_proj"))?,
                scale: get(&format!("{attention}.scale"))?,
                inner: layer(&format!("{inner}.module.0"))?,
                outer: layer(&format!("{inner}.module.3"))?,
                inner_scale: get(&format!("{inner}.scale"))?,
            })
        };
        let [mel_places, sound_places, symbol_places] = places(&shape, &get)?;
        let frames = shape.frames() as i64;
        let frame = Tensor::f_arange(frames, (Kind::Float, device))?;
        let lengths = (frame.f_unsqueeze(0)? - frame.f_unsqueeze(1)?).f_clamp_min(0)?;
        let up = layer("backbone.upConv1dSkip")?;
        let width = shape.width() as i64;
        Ok(Reference {
            device,
            shape,
            mels: get("framewiseFeatureExtractor.freq2mels")?,
            windows: windows_of(&get)?,
            input: layer("backbone.inputConv")?,
            mel_places,
            convolutions: [1, 5, 9, 13]
                .into_iter()
                .map(|at| {
                    Ok((
                        layer(&format!("backbone.downConv.{at}"))?,
                        layer(&format!("backbone.downConv.{}", at + 1))?,
                    ))
                })
                .collect::<Result<_, Error>>()?,
            sound_places,
            symbol_places,
            layers: (0..shape.layers)
                .map(|index| Ok([block(index, "F")?, block(index, "T")?]))
                .collect::<Result<_, Error>>()?,
            // A frame is one of the eight in its patch: a plain product, `[width, PATCH * width]`.
            up: Layer {
                weight: up
                    .weight
                    .f_permute([2, 1, 0])?
                    .f_reshape([PATCH as i64 * width, width])?,
                bias: up.bias.f_repeat([PATCH as i64])?,
            },
            scorer: layer("scorer.map.0")?,
            velocity: [layer("velocityPredictor.0")?, layer("velocityPredictor.3")?],
            times: [
                layer("refinedOFPredictor.0")?,
                layer("refinedOFPredictor.3")?,
            ],
            lengths,
        })
    }

    /// What may sound in each segment, and what each part of the network gave where `stages` is asked.
    pub fn forward(
        &self,
        segments: &[&Segment],
        mut stages: Option<&mut Stages>,
    ) -> Result<Vec<Candidates>, Error> {
        let _no_grad = tch::no_grad_guard();
        let features = segments
            .iter()
            .map(|segment| self.features(segment))
            .collect::<Result<Vec<_>, _>>()?;
        let features = Tensor::f_stack(&features, 0)?;
        mark("front end");
        let mut keep = |name: &'static str, x: &Tensor| {
            if let Some(stages) = &mut stages {
                stages.push((name, x.shallow_clone()));
            }
        };
        keep("features", &features.f_permute([0, 2, 3, 1])?);
        let sound = self.convolve(&features, &mut keep)?;
        mark("convolutions");
        let context = self.transform(&sound, &mut keep)?;
        mark("transformer");
        drop((features, sound));
        keep("context", &context);
        let mut found = self.decode(&context)?;
        mark("scores and paths");
        self.attribute(&context, &mut found)?;
        mark("heads");
        for (candidates, segment) in found.iter_mut().zip(segments) {
            candidates.silent = segment.is_silent();
        }
        Ok(found)
    }

    /// `[VIEWS, frames, MELS]`
    fn features(&self, segment: &Segment) -> Result<Tensor, Error> {
        let (channels, length) = (segment.channels() as i64, self.shape.segment() as i64);
        let samples: Vec<f32> = (0..segment.channels())
            .flat_map(|channel| segment.channel(channel))
            .flatten()
            .copied()
            .collect();
        let samples = Tensor::f_from_slice(&samples)?
            .f_reshape([channels, length])?
            .f_to_device(self.device)?;
        let half = WINDOW as i64 / 2;
        let after = (self.shape.frames() as i64 - 1) * HOP as i64 + half - length;
        let frames =
            samples
                .f_constant_pad_nd([half, after])?
                .f_unfold(-1, WINDOW as i64, HOP as i64)?;
        let centred = frames.f_sub(&frames.f_mean(None)?)?;
        let frames = centred.f_div(&frames.f_std(true)?.f_add_scalar(1e-8)?)?;
        let views = (0..VIEWS as i64)
            .map(|view| {
                let spectrum = frames
                    .f_mul(&self.windows.f_get(view)?)?
                    .f_fft_rfft(None, -1, "ortho")?;
                let power = spectrum
                    .f_view_as_real()?
                    .f_square()?
                    .f_sum_dim_intlist([-1i64].as_slice(), false, None)?
                    .f_mean_dim([0i64].as_slice(), false, None)?;
                let mel = power.f_matmul(&self.mels)?.f_add_scalar(FLOOR)?;
                Ok(mel
                    .f_log()?
                    .f_sub_scalar(FLOOR.ln())?
                    .f_div_scalar(-FLOOR.ln())?)
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Tensor::f_stack(&views, 0)?)
    }

    /// `[segment, rows - 1, sound columns - 1, width]`
    fn convolve(
        &self,
        features: &Tensor,
        keep: &mut dyn FnMut(&'static str, &Tensor),
    ) -> Result<Tensor, Error> {
        let Layer { weight, bias } = &self.input;
        let mut x = features
            .f_conv2d(weight, Some(bias), [1, 1], [1, 1], [1, 1], 1)?
            .f_add(&self.mel_places)?
            .f_constant_pad_nd([2, 1, 4, 3])?;
        let strides = [[2, 1], [2, 2], [2, 2], [1, 1]];
        for (index, (convolution, norm)) in self.convolutions.iter().enumerate() {
            let Layer { weight, bias } = convolution;
            x = x
                .f_conv2d(weight, Some(bias), strides[index], [1, 1], [1, 1], 1)?
                .f_group_norm(
                    GROUPS as i64,
                    Some(&norm.weight),
                    Some(&norm.bias),
                    1e-5,
                    false,
                )?;
            if index + 1 < self.convolutions.len() {
                x = x.f_gelu("none")?;
            }
        }
        let x = x.f_permute([0, 2, 3, 1])?;
        keep("sound", &x);
        Ok(x)
    }

    /// What each frame of each symbol is like, `[segment, SYMBOLS, frames, width]`.
    fn transform(
        &self,
        sound: &Tensor,
        keep: &mut dyn FnMut(&'static str, &Tensor),
    ) -> Result<Tensor, Error> {
        let batch = sound.size()[0];
        let (rows, width) = (self.shape.rows() as i64, self.shape.width() as i64);
        let sound = sound
            .f_constant_pad_nd([0, 0, 1, 0, 1, 0])?
            .f_add(&self.sound_places)?;
        let symbols = self
            .symbol_places
            .f_unsqueeze(0)?
            .f_expand([batch, -1, -1, -1], false)?;
        let mut x = Tensor::f_cat(&[sound, symbols], 2)?;
        for (index, [across, along]) in self.layers.iter().enumerate() {
            let last = index + 1 == self.layers.len();
            let memory = x;
            // The last one is only asked for the symbols, and not for the empty row.
            let wanted = |x: &Tensor| -> Result<Tensor, Error> {
                let symbols = self.shape.sound_columns() as i64;
                if last {
                    Ok(x.f_narrow(2, symbols, SYMBOLS as i64)?)
                } else {
                    Ok(x.shallow_clone())
                }
            };
            let asked = wanted(&memory)?;
            let (asked, seen) = if last {
                (
                    asked.f_narrow(1, 1, rows - 1)?,
                    memory.f_narrow(1, 1, rows - 1)?,
                )
            } else {
                (asked, memory.shallow_clone())
            };
            let h = across.forward(&asked, &seen)?.f_transpose(1, 2)?;
            let h = along.forward(&h, &wanted(&memory)?.f_transpose(1, 2)?)?;
            x = h.f_transpose(1, 2)?;
        }
        let x = x.f_transpose(1, 2)?;
        keep("symbols", &x);
        let frames = self.shape.frames() as i64;
        Ok(self
            .up
            .linear(&x)?
            .f_reshape([batch, SYMBOLS as i64, -1, width])?
            .f_narrow(2, 0, frames)?)
    }
}

impl Block {
    /// `x` attends to `memory`, which comes as it is while `x` is normalised; both along the last axis but one.
    fn forward(&self, x: &Tensor, memory: &Tensor) -> Result<Tensor, Error> {
        let heads = |x: Tensor| x.f_unflatten(-1, [-1, HEAD as i64])?.f_transpose(-2, -3);
        let query = heads(norm(x)?.f_matmul(&self.query)?)?;
        let key = heads(memory.f_matmul(&self.key)?)?;
        let value = heads(memory.f_matmul(&self.value)?)?;
        let seen = Tensor::f_scaled_dot_product_attention(
            &query,
            &key,
            &value,
            None::<Tensor>,
            0.0,
            false,
            None,
            false,
        )?;
        let seen = self
            .out
            .linear(&seen.f_transpose(-2, -3)?.f_flatten(-2, -1)?)?;
        let x = x.f_add(&seen.f_mul(&self.scale)?)?;
        let inner = self.inner.linear(&norm(&x)?)?.f_gelu("none")?;
        Ok(x.f_add(&self.outer.linear(&inner)?.f_mul(&self.inner_scale)?)?)
    }
}

fn norm(x: &Tensor) -> Result<Tensor, Error> {
    let power = x
        .f_square()?
        .f_mean_dim([-1i64].as_slice(), true, None)?
        .f_add_scalar(1e-6)?;
    Ok(x.f_mul(&power.f_rsqrt()?)?)
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    let flat = tensor
        .f_to_device(Device::Cpu)?
        .f_contiguous()?
        .f_flatten(0, -1)?;
    Ok(Vec::<f32>::try_from(flat)?)
}

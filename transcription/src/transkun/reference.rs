//! The network in libtorch's own operations: on a GPU it is what runs, on the CPU it is what our own code is held against.
//! `ModelTransformer.py` and `LayersTransformer.py` of the package, in float32; the last layer is computed only where it is asked for.

use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

use super::attributes::{Attributes, Candidates, TIMES, Track};
use super::config::{GROUPS, HEAD, HOP, MELS, PATCH, SYMBOLS, Shape, VIEWS, WINDOW, symbol};
use super::cpu::Tables;
use super::segments::Segment;
use super::semi_crf::{Scored, best_of, best_of_all};
use crate::Error;
use crate::registry::tensors::tensor;

/// Positive scores that are copied to the host for one tile of symbols; where there are more, the whole tile is.
const MOST_POSITIVE: i64 = 2 << 20;
/// Scores of one tile: 256 MiB.
const TILE: usize = 1 << 26;
/// Intervals whose attributes are computed at once.
const INTERVALS: usize = 1 << 14;
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
        let mut keep = |name: &'static str, x: &Tensor| {
            if let Some(stages) = &mut stages {
                stages.push((name, x.shallow_clone()));
            }
        };
        keep("features", &features.f_permute([0, 2, 3, 1])?);
        let sound = self.convolve(&features, &mut keep)?;
        let context = self.transform(&sound, &mut keep)?;
        drop((features, sound));
        keep("context", &context);
        let mut found = self.decode(&context)?;
        self.attribute(&context, &mut found)?;
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

    /// The intervals that may sound, without their attributes.
    fn decode(&self, context: &Tensor) -> Result<Vec<Candidates>, Error> {
        let (batch, width) = (context.size()[0] as usize, self.shape.width() as i64);
        let frames = self.shape.frames();
        let mapped = self.scorer.linear(context)?;
        let (ends, begins) = (
            mapped
                .f_narrow(-1, 0, width)?
                .f_div_scalar((width as f64).sqrt())?,
            mapped.f_narrow(-1, width, width)?,
        );
        let single = numbers(&mapped.f_select(-1, 2 * width)?)?;
        let single = |segment: usize, symbol: usize| {
            &single[(segment * SYMBOLS + symbol) * frames..][..frames]
        };
        let mut found = vec![
            Candidates {
                tracks: vec![Track::default(); SYMBOLS],
                silent: false,
            };
            batch
        ];
        let side = (TILE / (frames * frames * batch)).clamp(1, SYMBOLS);
        for first in (0..SYMBOLS).step_by(side) {
            let count = side.min(SYMBOLS - first);
            let part = |x: &Tensor| x.f_narrow(1, first as i64, count as i64);
            let scores = part(&begins)?
                .f_matmul(&part(&ends)?.f_transpose(-1, -2)?)?
                .f_mul(&self.lengths)?;
            // Where an interval would end before it begins, the length is zero, and so is the score.
            let positive = scores.f_gt(0)?;
            let many = positive.f_sum(Kind::Int64)?.f_int64_value(&[])? > MOST_POSITIVE;
            let mut lists = vec![Vec::new(); batch * count];
            if !many {
                let places = Vec::<i64>::try_from(
                    positive
                        .f_flatten(0, -1)?
                        .f_nonzero()?
                        .f_flatten(0, -1)?
                        .f_to_device(Device::Cpu)?,
                )?;
                let values = numbers(&scores.f_masked_select(&positive)?)?;
                for (place, score) in places.into_iter().zip(values) {
                    let place = place as usize;
                    lists[place / (frames * frames)].push(Scored {
                        begin: (place / frames % frames) as u16,
                        end: (place % frames) as u16,
                        score,
                    });
                }
            }
            for (at, list) in lists.iter().enumerate() {
                let (segment, symbol) = (at / count, first + at % count);
                let single = single(segment, symbol);
                let paths = if many {
                    let whole = scores.f_get(segment as i64)?.f_get((at % count) as i64)?;
                    best_of_all(&numbers(&whole)?, single)
                } else {
                    best_of(list, single)
                };
                found[segment].tracks[symbol].intervals = paths.all().collect();
            }
        }
        Ok(found)
    }

    /// The attributes of every interval that was found.
    fn attribute(&self, context: &Tensor, found: &mut [Candidates]) -> Result<(), Error> {
        let frames = self.shape.frames();
        let context = context.f_flatten(0, 2)?;
        let mut places: [Vec<i64>; 2] = Default::default();
        let tracks = found.iter().flat_map(|candidates| &candidates.tracks);
        for (at, track) in tracks.enumerate() {
            for (begin, end) in &track.intervals {
                places[0].push((at * frames + usize::from(*begin)) as i64);
                places[1].push((at * frames + usize::from(*end)) as i64);
            }
        }
        let mut attributes = Vec::with_capacity(places[0].len());
        for (begins, ends) in places[0].chunks(INTERVALS).zip(places[1].chunks(INTERVALS)) {
            let pick = |places: &[i64]| {
                let index = Tensor::f_from_slice(places)?.f_to_device(self.device)?;
                context.f_index_select(0, &index)
            };
            let (begin, end) = (pick(begins)?, pick(ends)?);
            let both = begin.f_mul(&end)?;
            let input = Tensor::f_cat(&[begin, end, both], -1)?;
            let predict = |[inner, outer]: &[Layer; 2]| {
                numbers(&outer.linear(&inner.linear(&input)?.f_gelu("none")?)?)
            };
            let (velocity, times) = (predict(&self.velocity)?, predict(&self.times)?);
            attributes.extend(
                velocity
                    .chunks_exact(128)
                    .zip(times.chunks_exact(TIMES))
                    .map(|(velocity, times)| Attributes::new(velocity, times)),
            );
        }
        let mut attributes = attributes.into_iter();
        for candidates in found {
            for track in &mut candidates.tracks {
                track.attributes = attributes.by_ref().take(track.intervals.len()).collect();
            }
        }
        Ok(())
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

/// The learned tables: what is added behind the first convolution, `[base, 1, MELS]`, to the sound and to the symbols.
fn places(
    shape: &Shape,
    get: &dyn Fn(&str) -> Result<Tensor, Error>,
) -> Result<[Tensor; 3], Error> {
    let table = |name: &str, coordinates: &[&[f32]]| {
        let layer = |part: &str| {
            Ok::<_, Error>(Layer {
                weight: get(&format!("backbone.{name}.{part}.weight"))?,
                bias: get(&format!("backbone.{name}.{part}.bias"))?,
            })
        };
        embed(
            coordinates,
            &layer("proj")?,
            &layer("mlp.0")?,
            &layer("mlp.3")?,
        )
    };
    let count = |count: usize| (0..count).map(|at| at as f32).collect::<Vec<f32>>();
    let symbols: Vec<f32> = (0..SYMBOLS).map(|at| symbol(at) as f32).collect();
    let (rows, columns) = (count(shape.rows()), count(shape.sound_columns()));
    Ok([
        table("posEmbedBuilder", &[&count(MELS)])?
            .f_transpose(0, 1)?
            .f_unsqueeze(1)?,
        table("posEmbedBuilderAttnTF", &[&rows, &columns])?,
        table("posEmbedBuilderAttnTE", &[&rows, &symbols])?,
    ])
}

/// What our own code takes over, computed as the package computes it.
pub(super) fn tables(shape: &Shape, weights: &SafeTensors<'_>) -> Result<Tables, Error> {
    let _no_grad = tch::no_grad_guard();
    let get = getter(shape, weights, Device::Cpu);
    let [mels, sound, symbols] = places(shape, &get)?;
    Ok(Tables {
        places: [numbers(&mels)?, numbers(&sound)?, numbers(&symbols)?],
        windows: numbers(&windows_of(&get)?)?,
    })
}

/// Gives a tensor of the network by name.
fn getter<'a>(
    shape: &Shape,
    weights: &'a SafeTensors<'a>,
    device: Device,
) -> impl Fn(&str) -> Result<Tensor, Error> + 'a {
    let shapes: std::collections::HashMap<String, Vec<i64>> = shape
        .tensors()
        .into_iter()
        .map(|(name, shape)| (name, shape.iter().map(|size| *size as i64).collect()))
        .collect();
    move |name: &str| {
        let shape = shapes.get(name).map(Vec::as_slice).unwrap_or_default();
        tensor(weights, name, shape, device)
    }
}

fn windows_of(get: &dyn Fn(&str) -> Result<Tensor, Error>) -> Result<Tensor, Error> {
    let part = |name: &str| {
        get(&format!(
            "framewiseFeatureExtractor.spectrogramExtractor.{name}"
        ))
    };
    windows(
        &part("win")?,
        &part("winGen.sigma")?,
        &part("winGen.center")?,
    )
}

/// A learned table of places on a grid.
fn embed(
    coordinates: &[&[f32]],
    project: &Layer,
    inner: &Layer,
    outer: &Layer,
) -> Result<Tensor, Error> {
    let device = project.weight.device();
    let axes = coordinates
        .iter()
        .map(|axis| Tensor::f_from_slice(axis)?.f_to_device(device))
        .collect::<Result<Vec<_>, _>>()?;
    let grid = Tensor::f_stack(&Tensor::f_meshgrid_indexing(&axes, "ij")?, -1)?;
    let angles = project.linear(&grid)?;
    let half = *angles.size().last().unwrap_or(&2) as f64 / 2.0;
    let waves = angles.f_cos()?.f_div_scalar(half.sqrt())?;
    outer.linear(&inner.linear(&waves)?.f_gelu("none")?)
}

/// The fixed window and the learned ones, `[VIEWS, WINDOW]`.
fn windows(hann: &Tensor, sigma: &Tensor, centre: &Tensor) -> Result<Tensor, Error> {
    let length = WINDOW as f64;
    let at = Tensor::f_arange(WINDOW as i64, (Kind::Float, hann.device()))?.f_unsqueeze(1)?;
    let centre = centre.f_sigmoid()?.f_mul_scalar(length)?;
    let width = sigma.f_sigmoid()?.f_mul_scalar(length)?.f_div_scalar(2.0)?;
    let learned = at
        .f_sub(&centre)?
        .f_div(&width)?
        .f_square()?
        .f_mul_scalar(-0.5)?
        .f_exp()?;
    Ok(Tensor::f_cat(
        &[hann.f_unsqueeze(0)?, learned.f_transpose(0, 1)?],
        0,
    )?)
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    let flat = tensor
        .f_to_device(Device::Cpu)?
        .f_contiguous()?
        .f_flatten(0, -1)?;
    Ok(Vec::<f32>::try_from(flat)?)
}

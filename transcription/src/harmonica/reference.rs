//! The network in libtorch's own operations: on a GPU it is what runs, on the CPU it is what our own code is held against.
//! `model.py` of the package, in float32.

use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

use super::config::{BINS, CHUNK, HARMONIC_SHIFTS, HEADS, KEPT, MARGIN, PITCHES, Size};
use crate::registry::tensors::tensor;
use crate::stages::mark;
use crate::{Autocast, Error};

/// A convolution or another layer with a weight and a bias.
struct Layer {
    weight: Tensor,
    bias: Tensor,
}

struct Residual {
    convs: [Layer; 2],
    norms: [Layer; 2],
    padding: i64,
    skip: Option<Layer>,
}

struct Harmonic {
    /// One `[channels, channels]` matrix a shift.
    weights: Vec<Tensor>,
    bias: Tensor,
    norm: Layer,
}

struct Head {
    lstm: Vec<Tensor>,
    linear: Layer,
}

/// The loaded network.
pub struct Reference {
    device: Device,
    stem: Residual,
    front: [Residual; 2],
    down: Layer,
    trunk: Vec<(Harmonic, Residual)>,
    heads: Vec<Head>,
}

impl Reference {
    pub fn load(size: &Size, weights: &SafeTensors<'_>, device: Device) -> Result<Self, Error> {
        let shapes: std::collections::HashMap<String, Vec<i64>> = size
            .tensors()
            .into_iter()
            .map(|(name, shape)| (name, shape.iter().map(|size| *size as i64).collect()))
            .collect();
        let get = |name: &str| {
            let shape = shapes.get(name).map(Vec::as_slice).unwrap_or_default();
            tensor(weights, name, shape, device)
        };
        let layer = |name: &str| {
            Ok::<_, Error>(Layer {
                weight: get(&format!("{name}.weight"))?,
                bias: get(&format!("{name}.bias"))?,
            })
        };
        let residual = |name: &str, padding, skip: bool| {
            Ok::<_, Error>(Residual {
                convs: [
                    layer(&format!("{name}.conv1"))?,
                    layer(&format!("{name}.conv2"))?,
                ],
                norms: [
                    layer(&format!("{name}.norm1"))?,
                    layer(&format!("{name}.norm2"))?,
                ],
                padding,
                skip: skip.then(|| layer(&format!("{name}.skip"))).transpose()?,
            })
        };
        let mut trunk = Vec::new();
        for block in 0..size.blocks {
            let name = format!("trunk.{}", 2 * block);
            let Layer { weight, bias } = layer(&format!("{name}.conv"))?;
            let harmonic = Harmonic {
                weights: weight.f_chunk(HARMONIC_SHIFTS.len() as i64, 1)?,
                bias,
                norm: layer(&format!("{name}.norm"))?,
            };
            let after = residual(&format!("trunk.{}", 2 * block + 1), 1, false)?;
            trunk.push((harmonic, after));
        }
        let heads = HEADS
            .iter()
            .map(|head| {
                let mut lstm = Vec::new();
                for way in ["", "_reverse"] {
                    for part in ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"] {
                        lstm.push(get(&format!("heads.{head}.lstm.{part}{way}"))?);
                    }
                }
                let linear = layer(&format!("heads.{head}.linear"))?;
                Ok(Head { lstm, linear })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Reference {
            device,
            stem: residual("stem", 2, true)?,
            front: [
                residual("frontend.0", 2, false)?,
                residual("frontend.1", 2, false)?,
            ],
            down: layer("down")?,
            trunk,
            heads,
        })
    }

    /// The probabilities of the kept frames, `[chunk][head][KEPT][PITCHES]`, and what each part of the network gave where `stages` is asked.
    pub fn forward(
        &self,
        chunks: &[&[f32]],
        mut stages: Option<&mut Vec<Tensor>>,
    ) -> Result<Vec<f32>, Error> {
        let _no_grad = tch::no_grad_guard();
        let batch = chunks.len();
        let input = Tensor::f_from_slice(&chunks.concat())?
            .f_reshape([batch as i64, 1, BINS as i64, CHUNK as i64])?
            .f_to_device(self.device)?;
        mark("spectra to the device");
        let mut keep = |x: &Tensor| {
            if let Some(stages) = &mut stages {
                stages.push(x.shallow_clone());
            }
        };
        let mut x = self.stem.forward(&input)?;
        keep(&x);
        for residual in &self.front {
            x = residual.forward(&x)?;
            keep(&x);
        }
        x = x.f_conv2d(
            &self.down.weight,
            Some(&self.down.bias),
            [3, 1],
            [0, 0],
            [1, 1],
            1,
        )?;
        keep(&x);
        mark("stem, front, step to semitones");
        for (harmonic, residual) in &self.trunk {
            x = harmonic.forward(&x)?;
            keep(&x);
            mark("harmonic layers");
            x = residual.forward(&x)?;
            keep(&x);
            mark("residual blocks");
        }
        let channels = x.size()[1];
        // The heads stay in float32 whatever was asked for: they are a small part of the work, and a recurrence adds its rounding up.
        let _exact = Autocast::suspended(self.device);
        let sequence = x
            .f_to_kind(Kind::Float)?
            .f_permute([0, 2, 3, 1])?
            .f_reshape([-1, CHUNK as i64, channels])?;
        let maps = self
            .heads
            .iter()
            .map(|head| head.forward(&sequence, batch))
            .collect::<Result<Vec<_>, _>>()?;
        mark("heads");
        let maps = Tensor::f_stack(&maps, 1)?
            .f_contiguous()?
            .f_to_kind(Kind::Float)?
            .f_to_device(Device::Cpu)?;
        let mut host = vec![0f32; batch * HEADS.len() * KEPT * PITCHES];
        let length = host.len();
        maps.f_copy_data(&mut host, length)?;
        mark("maps to the host");
        Ok(host)
    }
}

fn norm(x: &Tensor, layer: &Layer) -> Result<Tensor, Error> {
    Ok(x.f_instance_norm(
        Some(&layer.weight),
        Some(&layer.bias),
        None::<&Tensor>,
        None::<&Tensor>,
        true,
        0.0,
        1e-5,
        false,
    )?)
}

impl Residual {
    fn forward(&self, x: &Tensor) -> Result<Tensor, Error> {
        let conv = |x: &Tensor, layer: &Layer, padding| {
            x.f_conv2d(
                &layer.weight,
                Some(&layer.bias),
                [1, 1],
                [padding, padding],
                [1, 1],
                1,
            )
        };
        let inner = norm(&conv(x, &self.convs[0], self.padding)?, &self.norms[0])?.f_relu()?;
        let outer = norm(&conv(&inner, &self.convs[1], self.padding)?, &self.norms[1])?;
        let past = match &self.skip {
            Some(skip) => conv(x, skip, 0)?,
            None => x.shallow_clone(),
        };
        Ok((past + outer).f_relu()?)
    }
}

impl Harmonic {
    /// The package concatenates fifteen shifted copies; one product a shift, added in place, gives the same sums without the copies.
    fn forward(&self, x: &Tensor) -> Result<Tensor, Error> {
        let size = x.size();
        let (batch, channels, rows, frames) = (size[0], size[1], size[2], size[3]);
        // Autocast leaves products that are added in place alone: they want one type throughout.
        let flat = x
            .f_reshape([batch, channels, rows * frames])?
            .f_to_kind(Kind::Float)?;
        let sums = self
            .bias
            .f_reshape([1, channels, 1])?
            .f_expand([batch, channels, rows * frames], false)?
            .f_contiguous()?;
        for (shift, weight) in HARMONIC_SHIFTS.iter().zip(&self.weights) {
            let count = (rows - shift.abs()) * frames;
            let from = flat.f_narrow(2, shift.max(&0) * frames, count)?;
            let mut to = sums.f_narrow(2, (-shift).max(0) * frames, count)?;
            let weight = weight.f_unsqueeze(0)?.f_expand([batch, -1, -1], false)?;
            let _ = to.f_baddbmm_(&weight, &from)?;
        }
        let sums = sums.f_reshape(&size)?;
        Ok((x + norm(&sums, &self.norm)?).f_relu()?)
    }
}

impl Head {
    /// `[batch * PITCHES, CHUNK, channels]` to `[batch, KEPT, PITCHES]`.
    fn forward(&self, sequence: &Tensor, batch: usize) -> Result<Tensor, Error> {
        let hidden = self.lstm[1].size()[1];
        let zeros = Tensor::f_zeros(
            [2, sequence.size()[0], hidden],
            (Kind::Float, sequence.device()),
        )?;
        let (states, _, _) = sequence.f_lstm(
            &[zeros.shallow_clone(), zeros],
            &self.lstm,
            true,
            1,
            0.0,
            false,
            true,
            true,
        )?;
        let logits = states.f_linear(&self.linear.weight, Some(&self.linear.bias))?;
        Ok(logits
            .f_reshape([batch as i64, PITCHES as i64, CHUNK as i64])?
            .f_narrow(2, MARGIN as i64, KEPT as i64)?
            .f_sigmoid()?
            .f_transpose(1, 2)?)
    }
}

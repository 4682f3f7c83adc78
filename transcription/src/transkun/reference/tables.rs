//! What does not depend on a recording: the learned tables of places and the windows. Our own code takes them over from here, so that they are
//! the package's to the last bit.

use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

use super::super::config::{MELS, SYMBOLS, Shape, WINDOW, symbol};
use super::super::cpu::Tables;
use super::{Layer, numbers};
use crate::Error;
use crate::registry::tensors::tensor;

/// The learned tables: what is added behind the first convolution, `[base, 1, MELS]`, to the sound and to the symbols.
pub(super) fn places(
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
pub(in super::super) fn tables(shape: &Shape, weights: &SafeTensors<'_>) -> Result<Tables, Error> {
    let _no_grad = tch::no_grad_guard();
    let get = getter(shape, weights, Device::Cpu);
    let [mels, sound, symbols] = places(shape, &get)?;
    Ok(Tables {
        places: [numbers(&mels)?, numbers(&sound)?, numbers(&symbols)?],
        windows: numbers(&windows_of(&get)?)?,
    })
}

/// Gives a tensor of the network by name.
pub(super) fn getter<'a>(
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

pub(super) fn windows_of(get: &dyn Fn(&str) -> Result<Tensor, Error>) -> Result<Tensor, Error> {
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

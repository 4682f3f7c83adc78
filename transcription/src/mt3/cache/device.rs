//! The cache in libtorch: batched products over what is in use of the longest row, the rest masked.

use tch::{Device, Kind, Tensor};

use super::Step;
use crate::Error;
use crate::mt3::config::Shape;

struct Layer {
    /// `[rows, heads, positions, head_width]`.
    keys: Tensor,
    values: Tensor,
    /// `[rows, heads, frames, head_width]`.
    sound_keys: Tensor,
    sound_values: Tensor,
}

pub struct DeviceCache {
    layers: Vec<Layer>,
    device: Device,
    heads: i64,
    head_width: i64,
    positions: i64,
    frames: i64,
    /// Where each row's and head's positions begin, `[rows, heads]`.
    begins: Tensor,
    /// `[positions]`.
    numbers: Tensor,
}

impl DeviceCache {
    pub(super) fn new(shape: &Shape, rows: usize, device: Device) -> Result<Self, Error> {
        let (rows, heads, head_width) = (rows as i64, shape.heads as i64, shape.head_width as i64);
        let (positions, frames) = (shape.positions as i64, shape.frames as i64);
        let options = (Kind::Float, device);
        // Zeros, since what is masked must still be numbers.
        let make = |length: i64| Tensor::f_zeros([rows, heads, length, head_width], options);
        let layers = (0..shape.decoder_layers)
            .map(|_| {
                Ok(Layer {
                    keys: make(positions)?,
                    values: make(positions)?,
                    sound_keys: make(frames)?,
                    sound_values: make(frames)?,
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(DeviceCache {
            layers,
            device,
            heads,
            head_width,
            positions,
            frames,
            begins: Tensor::f_arange(rows * heads, (Kind::Int64, device))?
                .f_mul_scalar(positions)?
                .f_reshape([rows, heads])?,
            numbers: Tensor::f_arange(positions, (Kind::Int64, device))?,
        })
    }

    pub(super) fn put_sound(
        &mut self,
        layer: usize,
        slots: &[usize],
        both: &Tensor,
    ) -> Result<(), Error> {
        let slots: Vec<i64> = slots.iter().map(|slot| *slot as i64).collect();
        let count = slots.len() as i64;
        let slots = Tensor::f_from_slice(&slots)?.f_to_device(self.device)?;
        let both = both
            .f_view([count, self.frames, 2, self.heads, self.head_width])?
            .f_permute([2, 0, 3, 1, 4])?;
        let layer = &mut self.layers[layer];
        let _ = layer
            .sound_keys
            .f_index_copy_(0, &slots, &both.f_get(0)?.f_contiguous()?)?;
        let _ = layer
            .sound_values
            .f_index_copy_(0, &slots, &both.f_get(1)?.f_contiguous()?)?;
        Ok(())
    }

    pub(super) fn attend_self(
        &mut self,
        layer: usize,
        new: &Tensor,
        step: &Step<'_>,
    ) -> Result<Tensor, Error> {
        let (rows, used) = (step.rows() as i64, step.used() as i64);
        let (heads, width) = (self.heads, self.head_width);
        let parts = new.f_view([rows, 3, heads, width])?;
        let places = self
            .begins
            .f_narrow(0, 0, rows)?
            .f_add(&step.on_device.f_unsqueeze(1)?)?
            .f_reshape([rows * heads])?;
        let layer = &mut self.layers[layer];
        for (cache, part) in [(&layer.keys, 1), (&layer.values, 2)] {
            let part = parts.f_select(1, part)?.f_reshape([rows * heads, width])?;
            let _ = cache
                .f_view([-1, width])?
                .f_index_copy_(0, &places, &part)?;
        }
        let queries = parts.f_select(1, 0)?.f_reshape([rows * heads, 1, width])?;
        let ragged = step.positions.iter().any(|at| *at != step.positions[0]);
        let mask = if ragged {
            let beyond = self
                .numbers
                .f_narrow(0, 0, used)?
                .f_gt_tensor(&step.on_device.f_unsqueeze(1)?)?;
            Some(beyond.f_unsqueeze(1)?.f_unsqueeze(1)?)
        } else {
            None
        };
        let all = |cache: &Tensor| {
            cache
                .f_view([-1, self.positions, width])?
                .f_narrow(0, 0, rows * heads)?
                .f_narrow(1, 0, used)
        };
        attend(
            &queries,
            &all(&layer.keys)?,
            &all(&layer.values)?,
            mask.as_ref(),
            [rows, heads, used],
        )?
        .f_view([rows, heads * width])
        .map_err(Error::from)
    }

    pub(super) fn attend_sound(&self, layer: usize, queries: &Tensor) -> Result<Tensor, Error> {
        let rows = queries.size()[0];
        let (heads, width) = (self.heads, self.head_width);
        let all = |cache: &Tensor| {
            cache
                .f_view([-1, self.frames, width])?
                .f_narrow(0, 0, rows * heads)
        };
        let layer = &self.layers[layer];
        attend(
            &queries.f_view([rows * heads, 1, width])?,
            &all(&layer.sound_keys)?,
            &all(&layer.sound_values)?,
            None,
            [rows, heads, self.frames],
        )?
        .f_view([rows, heads * width])
        .map_err(Error::from)
    }

    pub(super) fn move_rows(&mut self, moves: &[(usize, usize, usize)]) -> Result<(), Error> {
        let used = moves.iter().map(|(_, _, used)| *used as i64).max();
        let Some(used) = used else {
            return Ok(());
        };
        let index = |of: fn(&(usize, usize, usize)) -> usize| -> Result<Tensor, Error> {
            let index: Vec<i64> = moves.iter().map(|row| of(row) as i64).collect();
            Ok(Tensor::f_from_slice(&index)?.f_to_device(self.device)?)
        };
        let (from, to) = (index(|row| row.0)?, index(|row| row.1)?);
        for layer in &self.layers {
            for (cache, used) in [
                (&layer.keys, used),
                (&layer.values, used),
                (&layer.sound_keys, self.frames),
                (&layer.sound_values, self.frames),
            ] {
                let mut part = cache.f_narrow(2, 0, used)?;
                let moved = part.f_index_select(0, &from)?;
                let _ = part.f_index_copy_(0, &to, &moved)?;
            }
        }
        Ok(())
    }
}

/// Scores are not scaled: the trained queries are.
fn attend(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    mask: Option<&Tensor>,
    [rows, heads, length]: [i64; 3],
) -> Result<Tensor, Error> {
    let scores = queries.f_bmm(&keys.f_transpose(1, 2)?)?;
    let scores = match mask {
        Some(mask) => scores
            .f_view([rows, heads, 1, length])?
            .f_masked_fill(mask, f64::NEG_INFINITY)?
            .f_view([rows * heads, 1, length])?,
        None => scores,
    };
    Ok(scores.f_softmax(-1, None)?.f_bmm(values)?)
}

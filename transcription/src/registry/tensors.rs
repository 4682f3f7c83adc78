//! Safetensors to `tch`: a tensor by name, refused by name where it is missing or of another shape.

use safetensors::{Dtype, SafeTensors};
use tch::{Device, Tensor};

use crate::Error;

/// Reads a float32 tensor of just this shape.
pub(crate) fn tensor(
    weights: &SafeTensors<'_>,
    name: &str,
    shape: &[i64],
    device: Device,
) -> Result<Tensor, Error> {
    Ok(Tensor::f_from_slice(&numbers(weights, name, shape)?)?
        .f_reshape(shape)?
        .f_to_device(device)?)
}

/// The numbers of a float32 tensor of just this shape.
pub(crate) fn numbers(
    weights: &SafeTensors<'_>,
    name: &str,
    shape: &[i64],
) -> Result<Vec<f32>, Error> {
    let damaged = |reason: String| Error::ModelDamaged {
        name: "weights".into(),
        reason,
    };
    let view = weights
        .tensor(name)
        .map_err(|_| damaged(format!("tensor `{name}` is missing")))?;
    let found: Vec<i64> = view.shape().iter().map(|size| *size as i64).collect();
    if found != shape {
        return Err(damaged(format!(
            "tensor `{name}` has the shape {found:?}, {shape:?} is needed"
        )));
    }
    if view.dtype() != Dtype::F32 {
        return Err(damaged(format!(
            "tensor `{name}` holds {:?}, float32 is needed",
            view.dtype()
        )));
    }
    Ok(view
        .data()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect())
}

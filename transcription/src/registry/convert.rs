//! Published weights become safetensors with names of ours. Deterministic: the same file gives the same bytes.

use std::collections::HashMap;

use prost::Message;
use safetensors::{Dtype, tensor::TensorView};

use super::checkpoint::{Checkpoint, Value};
use crate::harmonica::Size;
use crate::harmonica::config::Thresholds;
use crate::transkun;

/// The key of the metadata under which a network's thresholds travel. One key alone: several would be written in any order.
pub(super) const THRESHOLDS: &str = "thresholds";

/// The parts of an ONNX file that are read (`onnx.proto3`): its graph's initializers.
#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

/// `TensorProto.DataType.FLOAT`.
const FLOAT: i32 = 1;

/// Our name, the shape we keep it in, and what the initializer's name begins with (it may go on after a `;`, or repeat itself).
const BASIC_PITCH: &[(&str, &[usize], &str)] = &[
    ("cqt.real", &[36, 1, 256], "const_fold_opt__655"),
    ("cqt.imaginary", &[36, 1, 256], "const_fold_opt__664"),
    ("cqt.low_pass", &[1, 1, 256], "const_fold_opt__734"),
    ("cqt.scale", &[309, 1], "model_1/cq_t2010v2_1/Sqrt;"),
    (
        "norm.scale",
        &[1],
        "model_1/batch_normalization/FusedBatchNormV3;model_1/batch_normalization/FusedBatchNormV3",
    ),
    (
        "norm.bias",
        &[1],
        "model_1/batch_normalization/FusedBatchNormV3;model_1/batch_normalization/FusedBatchNormV31",
    ),
    (
        "contour_hidden.weight",
        &[8, 8, 3, 39],
        "const_fold_opt__727",
    ),
    ("contour_hidden.bias", &[8], "model_1/re_lu_1/Relu;"),
    ("contour.weight", &[1, 8, 5, 5], "const_fold_opt__710"),
    (
        "contour.bias",
        &[1],
        "model_1/contours-reduced/BiasAdd/ReadVariableOp;",
    ),
    ("note_hidden.weight", &[32, 1, 7, 7], "const_fold_opt__738"),
    (
        "note_hidden.bias",
        &[32],
        "model_1/conv2d_2/BiasAdd/ReadVariableOp;",
    ),
    ("note.weight", &[1, 32, 7, 3], "const_fold_opt__702"),
    (
        "note.bias",
        &[1],
        "model_1/conv2d_3/BiasAdd/ReadVariableOp;",
    ),
    ("onset_hidden.weight", &[32, 8, 5, 5], "const_fold_opt__707"),
    ("onset_hidden.bias", &[32], "model_1/re_lu_3/Relu;"),
    ("onset.weight", &[1, 33, 3, 3], "const_fold_opt__680"),
    (
        "onset.bias",
        &[1],
        "model_1/conv2d_5/BiasAdd/ReadVariableOp;",
    ),
];

/// Converts `nmp.onnx` of basic-pitch 0.4.0.
pub(super) fn basic_pitch(onnx: &[u8]) -> Result<Vec<u8>, String> {
    let model = ModelProto::decode(onnx).map_err(|error| format!("not an ONNX file: {error}"))?;
    let initializers = model.graph.ok_or("the ONNX file has no graph")?.initializer;
    let mut tensors = Vec::with_capacity(BASIC_PITCH.len());
    for (name, shape, published) in BASIC_PITCH {
        let exact = initializers
            .iter()
            .find(|initializer| initializer.name == *published);
        let initializer = exact
            .or_else(|| {
                initializers.iter().find(|initializer| {
                    published.ends_with(';') && initializer.name.starts_with(published)
                })
            })
            .ok_or_else(|| format!("the ONNX file has no initializer `{published}`"))?;
        tensors.push((*name, *shape, floats(initializer, shape.iter().product())?));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.to_vec(), bytes).map(|view| (*name, view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    safetensors::serialize(views, None).map_err(|error| error.to_string())
}

/// Little-endian float32 bytes of an initializer that holds `count` numbers.
fn floats(initializer: &TensorProto, count: usize) -> Result<Vec<u8>, String> {
    let bytes = if initializer.raw_data.is_empty() {
        initializer
            .float_data
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    } else {
        initializer.raw_data.clone()
    };
    if initializer.data_type != FLOAT || bytes.len() != count * 4 {
        return Err(format!(
            "initializer `{}` is not {count} float32 numbers",
            initializer.name
        ));
    }
    Ok(bytes)
}

/// Converts a checkpoint of harmonica-amt 0.3.0. The head `offset`, which nothing ever asks, is left out.
pub(super) fn harmonica(size: &Size, pt: &[u8]) -> Result<Vec<u8>, String> {
    let mut checkpoint = Checkpoint::open(pt)?;
    check_config(size, checkpoint.root())?;
    let thresholds = checkpoint.root().get("thresholds")?;
    let threshold = |name: &str| {
        thresholds
            .get(name)?
            .number()
            .filter(|number| (0.0..=1.0).contains(number))
            .ok_or_else(|| format!("the threshold `{name}` is not a number from 0 to 1"))
    };
    let thresholds = Thresholds {
        onset: threshold("onset")?,
        frame: threshold("frame")?,
    };
    let found: HashMap<String, _> = checkpoint
        .tensors(&["model"])?
        .into_iter()
        .map(|(name, array)| match name.strip_prefix("_orig_mod.") {
            Some(plain) => (plain.to_owned(), array),
            None => (name, array),
        })
        .collect();
    let mut tensors = Vec::new();
    for (name, shape) in size.tensors() {
        let array = found
            .get(&name)
            .ok_or_else(|| format!("the checkpoint has no tensor `{name}`"))?;
        if array.shape != shape {
            return Err(format!(
                "tensor `{name}` has the shape {:?}, {shape:?} is needed",
                array.shape
            ));
        }
        let bytes: Vec<u8> = array
            .numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        tensors.push((name, shape, bytes));
    }
    let expected = |name: &str| {
        tensors.iter().any(|(known, ..)| known == name)
            || name.starts_with("heads.offset.")
            || name.starts_with("cqt.cqt.")
    };
    if let Some(stranger) = found.keys().find(|name| !expected(name)) {
        return Err(format!(
            "the checkpoint has a tensor `{stranger}` that size {} has not",
            size.name
        ));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name, view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let metadata = HashMap::from([(
        THRESHOLDS.to_owned(),
        serde_json::to_string(&thresholds).map_err(|error| error.to_string())?,
    )]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

/// Converts a checkpoint of transkun 2.0.1; `shape` says how large its network is.
pub(super) fn transkun(shape: &transkun::Shape, pt: &[u8]) -> Result<Vec<u8>, String> {
    let mut found: HashMap<String, _> = Checkpoint::open(pt)?
        .tensors(&["state_dict"])?
        .into_iter()
        .collect();
    let mut tensors = Vec::new();
    for (name, shape) in shape.tensors() {
        let array = found
            .remove(&name)
            .ok_or_else(|| format!("the checkpoint has no tensor `{name}`"))?;
        if array.shape != shape {
            return Err(format!(
                "tensor `{name}` has the shape {:?}, {shape:?} is needed",
                array.shape
            ));
        }
        let bytes: Vec<u8> = array
            .numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        tensors.push((name, shape, bytes));
    }
    if let Some(stranger) = found.keys().min() {
        return Err(format!(
            "the checkpoint has a tensor `{stranger}`, which Transkun 2.0 has not"
        ));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name, view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    safetensors::serialize(views, None).map_err(|error| error.to_string())
}

/// Everything that our code takes for granted, asked of the checkpoint.
fn check_config(size: &Size, root: Value<'_>) -> Result<(), String> {
    let wants = |what: &str, holds: bool| {
        if holds {
            Ok(())
        } else {
            Err(format!("a checkpoint of another kind: {what}"))
        }
    };
    wants(
        "it is not Harmonica's",
        root.get("pipeline")?.text() == Some("harmonica"),
    )?;
    wants(
        "its format version is not 2",
        root.get("checkpoint_format_version")?.int() == Some(2),
    )?;
    let model = root.get("config")?.get("model")?;
    wants(
        &format!("it is not of size {}", size.name),
        model.get("size")?.text() == Some(size.name),
    )?;
    for name in ["channels", "layers", "frontend_channels"] {
        wants(
            &format!("`{name}` is not the preset"),
            model.get(name)?.is_none(),
        )?;
    }
    let (cqt, harmonic, head) = (
        model.get("cqt")?,
        model.get("harmonic")?,
        model.get("head")?,
    );
    for (place, name, number) in [
        (cqt, "sample_rate", 16_000),
        (cqt, "hop_length", 512),
        (cqt, "bins_per_semitone", 3),
        (harmonic, "harmonics", 8),
    ] {
        wants(
            &format!("`{name}` is not {number}"),
            place.get(name)?.int() == Some(number),
        )?;
    }
    for (name, word) in [("kind", "shift_aggregate"), ("depth", "multi")] {
        wants(
            &format!("`{name}` is not {word}"),
            harmonic.get(name)?.text() == Some(word),
        )?;
    }
    wants(
        "its heads have another width",
        head.get("hidden_size")?.is_none(),
    )?;
    for name in ["bidirectional", "velocity"] {
        wants(
            &format!("`{name}` is off"),
            head.get(name)?.truth() == Some(true),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_and_strangers_are_refused() {
        assert!(basic_pitch(b"\xff\xff\xff garbage").is_err());
        let stranger = ModelProto {
            graph: Some(GraphProto {
                initializer: vec![],
            }),
        };
        assert!(
            basic_pitch(&stranger.encode_to_vec())
                .unwrap_err()
                .contains("const_fold_opt__655")
        );
    }
}

//! Published weights become safetensors with names of ours. Deterministic: the same file gives the same bytes.

use prost::Message;
use safetensors::{Dtype, tensor::TensorView};

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

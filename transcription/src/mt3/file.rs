//! A file of weights of either kind: what it holds by name and shape first, its numbers only when that was found to be right. It knows
//! no network.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors};

use crate::registry::checkpoint::{Array, Checkpoint, Kind};

/// Under which a checkpoint of a training run keeps its weights, beside whatever else.
const INSIDE: [&str; 3] = ["state_dict", "model_state_dict", "model"];

pub(super) enum File<'a> {
    Pickled {
        checkpoint: Box<Checkpoint<'a>>,
        /// Where the weights are in it.
        path: Vec<&'static str>,
    },
    Safe {
        tensors: SafeTensors<'a>,
        metadata: HashMap<String, String>,
    },
}

impl<'a> File<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        if bytes.starts_with(b"PK") {
            let checkpoint = Checkpoint::open(bytes)?;
            let inside = |name: &&&str| {
                let found = checkpoint.root().get(name);
                found.is_ok_and(|value| value.entries().is_ok())
            };
            let path = INSIDE.iter().find(inside).copied().into_iter().collect();
            return Ok(File::Pickled {
                checkpoint: Box::new(checkpoint),
                path,
            });
        }
        let wrong = |error: safetensors::SafeTensorError| {
            format!("neither safetensors nor what torch.save writes (a zip): {error}")
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
        Ok(File::Safe {
            tensors: SafeTensors::deserialize(bytes).map_err(wrong)?,
            metadata: header.metadata().clone().unwrap_or_default(),
        })
    }

    /// What a safetensors file says of itself under `key`.
    pub(super) fn says(&self, key: &str) -> Option<&str> {
        match self {
            File::Pickled { .. } => None,
            File::Safe { metadata, .. } => metadata.get(key).map(String::as_str),
        }
    }

    pub(super) fn shapes(&self) -> Result<Vec<(String, Vec<usize>)>, String> {
        match self {
            File::Pickled { checkpoint, path } => checkpoint.shapes(path),
            File::Safe { tensors, .. } => Ok(tensors
                .iter()
                .map(|(name, view)| (name.to_owned(), view.shape().to_vec()))
                .collect()),
        }
    }

    /// The numbers of all tensors whose name is wanted.
    pub(super) fn read(
        self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, Array)>, String> {
        match self {
            File::Pickled {
                mut checkpoint,
                path,
            } => checkpoint.tensors_where(&path, wanted),
            File::Safe { tensors, .. } => tensors
                .iter()
                .filter(|(name, _)| wanted(name))
                .map(|(name, view)| {
                    let kind = match view.dtype() {
                        Dtype::F32 => Kind::F32,
                        Dtype::F64 => Kind::F64,
                        Dtype::F16 => Kind::F16,
                        Dtype::BF16 => Kind::BF16,
                        other => {
                            return Err(format!(
                                "tensor `{name}` holds {other:?}, floating point of 16, 32 or 64 bits is needed"
                            ));
                        }
                    };
                    let shape = view.shape().to_vec();
                    let numbers = (0..shape.iter().product())
                        .map(|at| kind.number(view.data(), at))
                        .collect();
                    Ok((name.to_owned(), Array { shape, numbers }))
                })
                .collect(),
        }
    }
}

//! Weights of a network that its user brings: safetensors, or what `torch.save` wrote. Names and shapes are checked before anything
//! is built of them.

use std::collections::{BTreeMap, HashMap};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};
use tch::{Device, Tensor};

use super::config::{PUBLISHED, Profile, Shape};
use crate::Error;
use crate::registry::checkpoint::{Array, Checkpoint};

/// The one key of the metadata of files that we wrote.
const ABOUT: &str = "mt3";

/// What a file that we wrote says of itself.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct About {
    config: Shape,
    profile: Profile,
}

/// Checked weights on the host.
pub struct Weights {
    pub shape: Shape,
    /// Set where the file says it.
    pub profile: Option<Profile>,
    /// `sha256:...` of the file.
    pub digest: String,
    tensors: HashMap<String, Array>,
}

impl Weights {
    /// Reads a file of either kind; without `config` it holds the published network, or says itself what it holds.
    pub fn read(bytes: &[u8], config: Option<&str>) -> Result<Self, Error> {
        Self::parse(bytes, config).map_err(|reason| Error::Weights {
            name: super::NAME.into(),
            reason,
        })
    }

    fn parse(bytes: &[u8], config: Option<&str>) -> Result<Self, String> {
        let (found, about) = if bytes.starts_with(b"PK") {
            (Checkpoint::open(bytes)?.tensors(&[])?, None)
        } else {
            safetensors(bytes)?
        };
        let mut tensors: HashMap<String, Array> = found
            .into_iter()
            .filter(|(name, _)| !is_table(name))
            .collect();
        let shape = match (config, &about) {
            (Some(text), _) => Shape::parse(text, tensors.keys().map(String::as_str), |name| {
                tensors.get(name).map(|array| array.shape.clone())
            })?,
            (None, Some(about)) => about.config,
            (None, None) => PUBLISHED,
        };
        let expected: BTreeMap<String, Vec<usize>> = shape.tensors().into_iter().collect();
        let hint = if config.is_none() && about.is_none() {
            "; without a configuration only the published network is read (--config FILE says another)"
        } else {
            ""
        };
        let mut strangers: Vec<&String> = tensors
            .keys()
            .filter(|name| !expected.contains_key(*name))
            .collect();
        strangers.sort();
        if let Some(name) = strangers.first() {
            return Err(format!(
                "the network has no tensor `{name}`, the file has{hint}"
            ));
        }
        for (name, wanted) in &expected {
            let Some(array) = tensors.get(name) else {
                return Err(format!("tensor `{name}` is missing{hint}"));
            };
            if array.shape != *wanted {
                return Err(format!(
                    "tensor `{name}` has the shape {:?}, {wanted:?} is needed{hint}",
                    array.shape
                ));
            }
            if array.numbers.iter().any(|number| !number.is_finite()) {
                return Err(format!("tensor `{name}` holds what is not a number"));
            }
        }
        tensors.shrink_to_fit();
        Ok(Weights {
            shape,
            profile: about.map(|about| about.profile),
            digest: format!("sha256:{}", hex::encode(Sha256::digest(bytes))),
            tensors,
        })
    }

    /// Random weights of a given shape, the same for each seed: for measurements and tests. Scaled so that activations stay in range.
    pub fn random(shape: Shape, seed: u64) -> Self {
        let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
        let mut next = move || {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ mixed >> 31) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        };
        let tensors = shape
            .tensors()
            .into_iter()
            .map(|(name, shape)| {
                let count = shape.iter().product();
                let scale = match shape.as_slice() {
                    [_, from] => (3.0 / *from as f32).sqrt(),
                    _ => 0.0,
                };
                let scale = if name.contains("q_proj") {
                    0.3 * scale
                } else {
                    scale
                };
                let numbers = (0..count)
                    .map(|_| if scale == 0.0 { 1.0 } else { scale * next() })
                    .collect();
                (name, Array { shape, numbers })
            })
            .collect();
        Weights {
            shape,
            profile: None,
            digest: format!("random:{seed}"),
            tensors,
        }
    }

    /// The same as safetensors that say what they are, byte for byte the same each time.
    pub fn to_safetensors(&self, profile: Profile) -> Result<Vec<u8>, Error> {
        let refuse = |reason: String| Error::Weights {
            name: super::NAME.into(),
            reason,
        };
        let about = About {
            config: self.shape,
            profile,
        };
        let about = serde_json::to_string(&about).map_err(|error| refuse(error.to_string()))?;
        let bytes: Vec<(&String, &Array, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, array)| {
                let bytes = array.numbers.iter().flat_map(|number| number.to_le_bytes());
                (name, array, bytes.collect())
            })
            .collect();
        let views = bytes
            .iter()
            .map(|(name, array, bytes)| {
                TensorView::new(Dtype::F32, array.shape.clone(), bytes).map(|view| (*name, view))
            })
            .collect::<Result<BTreeMap<_, _>, _>>()
            .map_err(|error| refuse(error.to_string()))?;
        safetensors::serialize(views, Some(HashMap::from([(ABOUT.to_owned(), about)])))
            .map_err(|error| refuse(error.to_string()))
    }

    /// A tensor by name: all names of the shape are there.
    pub(super) fn numbers(&self, name: &str) -> &Array {
        &self.tensors[name]
    }

    pub(super) fn tensor(&self, name: &str, device: Device) -> Result<Tensor, Error> {
        let array = self.numbers(name);
        let shape: Vec<i64> = array.shape.iter().map(|size| *size as i64).collect();
        Ok(Tensor::f_from_slice(&array.numbers)?
            .f_reshape(&shape)?
            .f_to_device(device)?)
    }
}

/// Tables that some files carry and everybody can compute.
fn is_table(name: &str) -> bool {
    name.ends_with(".pos_encoding.pe") || name.ends_with("inv_freq")
}

type Found = (Vec<(String, Array)>, Option<About>);

fn safetensors(bytes: &[u8]) -> Result<Found, String> {
    let wrong =
        |error: String| format!("neither safetensors nor what torch.save writes (a zip): {error}");
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| wrong(error.to_string()))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| wrong(error.to_string()))?;
    let about = metadata
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(ABOUT))
        .map(|text| serde_json::from_str(text).map_err(|error| format!("its metadata: {error}")))
        .transpose()?;
    let found = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            if view.dtype() != Dtype::F32 {
                return Err(format!(
                    "tensor `{name}` holds {:?}, float32 is needed",
                    view.dtype()
                ));
            }
            let numbers = view
                .data()
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
                .collect();
            let shape = view.shape().to_vec();
            Ok((name, Array { shape, numbers }))
        })
        .collect::<Result<_, String>>()?;
    Ok((found, about))
}

//! Weights of a network that its user brings: safetensors, or what `torch.save` wrote. Names and shapes are checked before anything
//! is built of them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::{Dtype, tensor::TensorView};
use sha2::{Digest, Sha256};
use tch::{Device, Tensor};

use super::config::{PUBLISHED, Profile, Shape};
use super::file::File;
use crate::Error;
use crate::registry::checkpoint::Array;

/// The one key of the metadata of files that we wrote.
const ABOUT: &str = "mt3";
/// The published network has 184 MB in float32.
const LARGEST_FILE_BYTES: u64 = 2 << 30;

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

    /// Reads such a file from disk; a device without an end, or what cannot be weights by its size, is not read.
    pub fn open(path: &Path, config: Option<&str>) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Weights {
            name: super::NAME.into(),
            reason,
        };
        let unreadable = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => {
                refuse(format!("there is no file `{}`", path.display()))
            }
            _ => Error::Store {
                what: "cannot read the weights".into(),
                source,
            },
        };
        let about = fs_err::metadata(path).map_err(unreadable)?;
        if !about.is_file() {
            return Err(refuse(format!("`{}` is not a file", path.display())));
        }
        if about.len() > LARGEST_FILE_BYTES {
            return Err(refuse(format!(
                "`{}` has {} bytes, more than {LARGEST_FILE_BYTES}",
                path.display(),
                about.len()
            )));
        }
        Self::read(&fs_err::read(path).map_err(unreadable)?, config)
    }

    fn parse(bytes: &[u8], config: Option<&str>) -> Result<Self, String> {
        let file = File::open(bytes)?;
        let about: Option<About> = file
            .says(ABOUT)
            .map(|text| {
                serde_json::from_str(text).map_err(|error| format!("its metadata: {error}"))
            })
            .transpose()?;
        let mut found: HashMap<String, Vec<usize>> = file.shapes()?.into_iter().collect();
        found.retain(|name, _| !is_table(name));
        let shape = match (config, &about) {
            (Some(text), _) => Shape::parse(text, found.keys().map(String::as_str), |name| {
                found.get(name).cloned()
            })?,
            (None, Some(about)) => {
                let wrong = |reason: String| format!("its metadata: {reason}");
                about.config.check().map_err(wrong)?;
                about.config
            }
            (None, None) => PUBLISHED,
        };
        let hint = if config.is_none() && about.is_none() {
            "; without a configuration only the published network is read (--config FILE says another)"
        } else {
            ""
        };
        check(&shape, &found).map_err(|reason| format!("{reason}{hint}"))?;
        let tensors: HashMap<String, Array> =
            file.read(|name| !is_table(name))?.into_iter().collect();
        let mut names: Vec<&String> = tensors.keys().collect();
        names.sort();
        for name in names {
            if tensors[name]
                .numbers
                .iter()
                .any(|number| !number.is_finite())
            {
                return Err(format!("tensor `{name}` holds what is not a number"));
            }
        }
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

/// Just the network's tensors, each of its shape.
fn check(shape: &Shape, found: &HashMap<String, Vec<usize>>) -> Result<(), String> {
    let expected: BTreeMap<String, Vec<usize>> = shape.tensors().into_iter().collect();
    let strangers = found.keys().filter(|name| !expected.contains_key(*name));
    if let Some(name) = strangers.min() {
        return Err(format!("the network has no tensor `{name}`, the file has"));
    }
    for (name, wanted) in &expected {
        let Some(sizes) = found.get(name) else {
            return Err(format!("tensor `{name}` is missing"));
        };
        if sizes != wanted {
            return Err(format!(
                "tensor `{name}` has the shape {sizes:?}, {wanted:?} is needed"
            ));
        }
    }
    Ok(())
}

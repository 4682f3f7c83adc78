//! MT3's weights, which nobody publishes where we could fetch them: their user brings a file, for one run or installed once for all.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::{Installed, Manifest, ModelInfo, Store};
use crate::Error;
use crate::mt3::{self, Profile, Shape, Weights};

pub(super) const LICENCE: &str =
    "that of the weights which you bring; those of Magenta are Apache-2.0";

/// A file of weights for this run, and what is to be known of it.
#[derive(Debug, Clone)]
pub struct Brought {
    pub file: PathBuf,
    /// The configuration's text.
    pub config: Option<String>,
    pub profile: Option<Profile>,
}

/// What is known of the weights without holding them.
#[derive(Debug, Clone)]
pub struct Mt3About {
    pub installed: Installed,
    pub shape: Shape,
    pub profile: Profile,
}

/// The last file that was looked at, so that not every song reads it again.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    brought: Option<Brought>,
    last: Arc<Mutex<Option<(Stamp, Mt3About)>>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Stamp {
    file: PathBuf,
    bytes: u64,
    changed: Option<SystemTime>,
}

impl Store {
    /// The same store, but MT3 is what `brought` says.
    pub fn with_mt3(mut self, brought: Brought) -> Self {
        self.mt3 = Known {
            brought: Some(brought),
            last: Arc::default(),
        };
        self
    }

    /// Reads MT3's weights.
    pub fn mt3(&self) -> Result<(Weights, Profile), Error> {
        let (file, config, profile) = match &self.mt3.brought {
            Some(brought) => (
                brought.file.clone(),
                brought.config.as_deref(),
                brought.profile,
            ),
            None => (self.file(mt3::NAME), None, None),
        };
        if !file.is_file() && self.mt3.brought.is_none() {
            return Err(Error::ModelMissing {
                name: mt3::NAME.into(),
                dir: self.folder.display().to_string(),
            });
        }
        let weights = Weights::open(&file, config)?;
        if self.mt3.brought.is_none() {
            self.is_what_was_installed(&weights)?;
        }
        let profile = profile.or(weights.profile).unwrap_or_default();
        Ok((weights, profile))
    }

    /// What is known of them; read only where the file is another than the last time.
    pub fn mt3_about(&self) -> Result<Mt3About, Error> {
        let file = match &self.mt3.brought {
            Some(brought) => brought.file.clone(),
            None => self.file(mt3::NAME),
        };
        let stamp = std::fs::metadata(&file).ok().map(|metadata| Stamp {
            file: file.clone(),
            bytes: metadata.len(),
            changed: metadata.modified().ok(),
        });
        let mut last = self.mt3.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(stamp), Some((known, about))) = (&stamp, &*last)
            && stamp == known
        {
            return Ok(about.clone());
        }
        let (weights, profile) = self.mt3()?;
        let about = Mt3About {
            installed: Installed {
                file,
                digest: weights.digest,
            },
            shape: weights.shape,
            profile,
        };
        *last = stamp.map(|stamp| (stamp, about.clone()));
        Ok(about)
    }

    /// Converts a file of weights once and installs it.
    pub fn install_mt3(&self, brought: &Brought) -> Result<(), Error> {
        let weights = Weights::open(&brought.file, brought.config.as_deref())?;
        let profile = brought.profile.or(weights.profile).unwrap_or_default();
        let converted = weights.to_safetensors(profile)?;
        let digest = Weights::read(&converted, None)?.digest;
        let manifest = Manifest {
            name: mt3::NAME.into(),
            source: brought.file.display().to_string(),
            source_sha256: weights.digest.trim_start_matches("sha256:").to_owned(),
            licence: LICENCE.into(),
            digest,
        };
        self.write(mt3::NAME, &converted, &manifest)
            .map_err(|source| Error::Store {
                what: format!(
                    "cannot write `{}` into `{}`",
                    mt3::NAME,
                    self.folder.display()
                ),
                source,
            })
    }

    fn is_what_was_installed(&self, weights: &Weights) -> Result<(), Error> {
        let damaged = |reason: String| Error::ModelDamaged {
            name: mt3::NAME.into(),
            reason,
        };
        let path = self.folder_of(mt3::NAME).join("manifest.json");
        let manifest = read_manifest(&path).map_err(damaged)?;
        if manifest.digest != weights.digest {
            return Err(damaged(format!(
                "it has the digest {}, {} was installed",
                weights.digest, manifest.digest
            )));
        }
        Ok(())
    }

    pub(super) fn mt3_info(&self) -> ModelInfo {
        let about = self.mt3_about();
        ModelInfo {
            name: mt3::NAME.into(),
            description: "several instruments at once, 46 million weights, programs and drums; you bring the weights"
                .into(),
            licence: LICENCE.into(),
            installed: about.is_ok(),
            digest: about.map_or_else(|_| "any".into(), |about| about.installed.digest),
            path: self.file(mt3::NAME),
        }
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, String> {
    let bytes = fs_err::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("manifest.json: {error}"))
}

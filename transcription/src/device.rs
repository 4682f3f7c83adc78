//! Which device the networks run on. One binary serves both: libtorch's CUDA side is opened at run time.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::Error;

/// A device by its user's name: `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    #[default]
    Cpu,
    /// The card's index.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(DeviceChoice::Cpu),
            None if text == "cuda" => Ok(DeviceChoice::Cuda(0)),
            Some(("cuda", index)) => index
                .parse()
                .map(DeviceChoice::Cuda)
                .map_err(|_| format!("`{index}` is not the number of a GPU; write cuda:0")),
            _ => Err(format!("`{text}` is no device; write cpu, cuda or cuda:N")),
        }
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceChoice {
    /// Loads what the device needs and checks that it is there.
    pub fn open(self) -> Result<tch::Device, Error> {
        let DeviceChoice::Cuda(index) = self else {
            return Ok(tch::Device::Cpu);
        };
        let unavailable = |reason: String| Error::DeviceUnavailable {
            device: self.to_string(),
            reason,
        };
        load_cuda().map_err(unavailable)?;
        if std::env::var("NVIDIA_TF32_OVERRIDE").as_deref() != Ok("0") {
            tracing::warn!(
                "TF32 is on: single notes may shift by a frame; set NVIDIA_TF32_OVERRIDE=0 for exact float32"
            );
        }
        if !tch::Cuda::is_available() {
            return Err(unavailable(
                "libtorch sees no GPU; is the driver installed and the card given to this process?"
                    .into(),
            ));
        }
        let count = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
        if index >= count {
            return Err(unavailable(format!(
                "there are {count} GPUs here, numbered from 0"
            )));
        }
        Ok(tch::Device::Cuda(index))
    }
}

/// Where libtorch_cuda.so may lie: named by the user, beside an image's `lib/`, in the work tree.
fn cuda_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("WTT_LIBTORCH_CUDA")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    if let Ok(exe) = std::env::current_exe()
        && let Some(bin) = exe.parent()
    {
        folders.extend(
            [
                "../lib-cuda",
                "../../.libtorch/lib-cuda",
                "../../../.libtorch/lib-cuda",
            ]
            .iter()
            .map(|to| bin.join(to)),
        );
    }
    folders
}

#[cfg(target_os = "linux")]
fn load_cuda() -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    use std::sync::OnceLock;
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            let folders = cuda_folders();
            let found = folders.iter().map(|folder| folder.join("libtorch_cuda.so")).find(|file| file.is_file());
            let name = found.as_deref().unwrap_or(Path::new("libtorch_cuda.so"));
            #[expect(unsafe_code, reason = "opening libtorch's own CUDA half runs its initialisers, which register the CUDA backend")]
            let library = unsafe { Library::open(Some(name), RTLD_NOW | RTLD_GLOBAL) };
            match library {
                // Never closed: the kernels stay registered for the life of the process.
                Ok(library) => std::mem::forget(library),
                Err(error) => return Err(format!("{error}; run `make setup-cuda`, or set WTT_LIBTORCH_CUDA to its folder")),
            }
            Ok(())
        })
        .clone()
}

#[cfg(not(target_os = "linux"))]
fn load_cuda() -> Result<(), String> {
    Err("CUDA is supported on Linux only".into())
}

#[cfg(test)]
mod tests {
    use super::DeviceChoice;

    #[test]
    fn devices_parse_by_name() {
        assert_eq!("cpu".parse(), Ok(DeviceChoice::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        for wrong in ["gpu", "cuda:x", "cpu:1", ""] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }
}

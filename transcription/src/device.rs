//! Which device the networks run on. One binary serves both: libtorch's CUDA side is opened at run time.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{Error, shim};

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
        // libtorch's own default lets convolutions use it; single notes would shift by a frame.
        allow_tf32(false);
        Ok(tch::Device::Cuda(index))
    }
}

/// Whether GPU products of float32 may be shortened to TF32, in this whole process. Whoever wants it says so after opening the device.
pub fn allow_tf32(allow: bool) {
    if !shim::allow_tf32(allow) || shim::tf32_allowed() != Some(allow) {
        tracing::error!(
            allow,
            "libtorch does not let TF32 be switched; results may not be exact"
        );
    }
    // NVIDIA's own libraries obey this over what libtorch asks of them.
    if !allow && std::env::var("NVIDIA_TF32_OVERRIDE").as_deref() == Ok("1") {
        tracing::error!("NVIDIA_TF32_OVERRIDE=1 forces TF32: results are not exact; unset it");
    }
}

/// Bytes that could still be had: on a GPU of its memory, on the CPU of the machine's, or of what a container may take.
/// `None`: nobody says.
pub fn free_memory(device: tch::Device) -> Option<u64> {
    match device {
        tch::Device::Cuda(index) => shim::free_on_gpu(index),
        _ => [meminfo(), cgroup()].into_iter().flatten().min(),
    }
}

/// Waits until the device has done all that it was told; a CPU always has.
pub fn synchronise(device: tch::Device) -> Result<(), Error> {
    if let tch::Device::Cuda(index) = device {
        crate::guard::guarded(|| {
            tch::Cuda::synchronize(i64::try_from(index).unwrap_or(0));
            Ok(())
        })?;
    }
    Ok(())
}

/// Gives what libtorch holds on a GPU without using it back, so that other shapes fit.
pub fn empty_cache(device: tch::Device) {
    if matches!(device, tch::Device::Cuda(_)) && !shim::empty_cache() {
        tracing::warn!("the GPU's unused memory could not be given back");
    }
}

fn meminfo() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Version 2; a process that is in no limited group is limited by the machine alone.
fn cgroup() -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(name)).ok();
    let limit: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    Some(limit.saturating_sub(used))
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
    use super::{DeviceChoice, free_memory};

    #[test]
    fn devices_parse_by_name() {
        assert_eq!("cpu".parse(), Ok(DeviceChoice::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        for wrong in ["gpu", "cuda:x", "cpu:1", ""] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn free_memory_is_told_where_there_is_such_a_device() {
        let before = free_memory(tch::Device::Cpu).unwrap();
        assert!(before > 64 << 20, "{before}");
        if !tch::Cuda::is_available() {
            assert_eq!(free_memory(tch::Device::Cuda(0)), None);
        }
    }
}

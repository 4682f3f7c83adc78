//! What the tests share: the installed model, fixtures, and numpy's archives.

#![expect(dead_code, reason = "each test binary uses a part of it")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use transcription::basic_pitch::{Model, NAME};
use transcription::registry::Store;
use transcription::{Engine, EngineConfig};

pub(crate) fn store() -> Store {
    Store::new(Store::default_dir())
}

pub(crate) fn model() -> Model {
    let installed = store()
        .installed(NAME)
        .unwrap_or_else(|error| panic!("{error}, or `make models`"));
    Model::load(&installed.file, tch::Device::Cpu).unwrap()
}

pub(crate) fn engine() -> Engine {
    Engine::start(EngineConfig::new(store())).unwrap()
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A float32 array of `numpy.savez_compressed`.
pub(crate) fn read_npz(path: &Path, name: &str) -> Vec<f32> {
    let mut archive = zip::ZipArchive::new(Cursor::new(fs_err::read(path).unwrap())).unwrap();
    let mut npy = Vec::new();
    archive
        .by_name(&format!("{name}.npy"))
        .unwrap()
        .read_to_end(&mut npy)
        .unwrap();
    assert_eq!(&npy[..8], b"\x93NUMPY\x01\x00");
    let header = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    let described = String::from_utf8_lossy(&npy[10..header]).into_owned();
    assert!(
        described.contains("'<f4'") && described.contains("'fortran_order': False"),
        "{described}"
    );
    npy[header..]
        .chunks_exact(4)
        .map(|number| f32::from_le_bytes(number.try_into().unwrap()))
        .collect()
}

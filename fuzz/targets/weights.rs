//! Any bytes as a model: as a wheel or an ONNX file that is pulled, and as converted weights that are loaded. Refused, never a panic.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use transcription::DeviceChoice;
use transcription::basic_pitch::Model;
use transcription::registry::{PullSource, Store};

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("fuzz-weights-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder can be made");
    folder
});

fuzz_target!(|input: &[u8]| {
    let path = FOLDER.join("given");
    std::fs::write(&path, input).expect("a temporary file can be written");
    let source = PullSource::File {
        path: path.clone(),
        sha256: None,
    };
    let store = Store::new(FOLDER.join("models"));
    assert!(store.pull("basic-pitch", &source, true).is_err(), "only the one model may be installed");
    let device = DeviceChoice::Cpu.open().expect("the CPU is there");
    let _ = Model::load(&path, device);
});

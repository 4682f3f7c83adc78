//! Any bytes as a model: as a wheel or published weights that are pulled, as converted weights that are loaded, as weights of MT3 that
//! their user brings, and as the configuration beside those. Refused, never a panic; what of MT3's is taken can be installed.
#![no_main]

mod tiny;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use transcription::DeviceChoice;
use transcription::basic_pitch::Model;
use transcription::harmonica::{self, Harmonica};
use transcription::mt3::{Profile, Weights};
use transcription::registry::{PullSource, Store, thresholds_of};
use transcription::transkun::{self, Transkun};

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a temporary folder can be made"));
/// Weights that are taken.
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let weights = Weights::random(tiny::SHAPE, 1);
    let written = weights.to_safetensors(Profile::default());
    written.expect("random weights can be written")
});

fuzz_target!(init: prove(), |input: &[u8]| {
    let path = FOLDER.path().join("given");
    std::fs::write(&path, input).expect("a temporary file can be written");
    let source = PullSource::File {
        path: path.clone(),
        sha256: None,
    };
    let store = Store::new(FOLDER.path().join("models"));
    for model in ["basic-pitch", "harmonica:nano", "transkun"] {
        let pulled = store.pull(model, &source, true);
        assert!(pulled.is_err(), "only the one {model} may be installed");
    }
    let device = DeviceChoice::Cpu.open().expect("the CPU is there");
    let _ = Model::load(&path, device);
    let _ = thresholds_of(input);
    let setup = harmonica::Setup {
        device,
        threads: 1,
        rows: 1,
        libtorch: false,
    };
    let _ = Harmonica::load(&harmonica::config::SIZES[0], &path, setup);
    let setup = transkun::Setup {
        device,
        threads: 1,
        rows: 1,
        libtorch: false,
    };
    let _ = Transkun::load(&path, setup);
    tiny::taken(input, None);
    tiny::taken(input, Some(tiny::CONFIG));
    if let Ok(config) = std::str::from_utf8(input) {
        tiny::taken(&GOOD, Some(config));
    }
});

/// The target is not dead: there are weights and a configuration that are taken.
fn prove() {
    assert!(tiny::taken(&GOOD, None), "weights of our own are refused");
    assert!(
        tiny::taken(&GOOD, Some(tiny::CONFIG)),
        "the configuration is refused"
    );
}

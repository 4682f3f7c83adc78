//! The conversion of published weights, on the real file where `make models` has put it.

use transcription::registry::Store;

#[test]
fn the_installed_model_is_whole() {
    let store = Store::new(Store::default_dir());
    let installed = store.installed("basic-pitch").unwrap_or_else(|error| panic!("{error} (or `make models`)"));
    assert!(installed.digest.starts_with("sha256:"));
}

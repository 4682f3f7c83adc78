//! The rules of the house, held by tests: who may import whom (`tests/imports.rs`), what every file looks like (`tests/tidy.rs`), and what
//! the documents promise (`tests/documents.rs`). No crate may depend on this one.

use std::path::{Path, PathBuf};

/// The work tree.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

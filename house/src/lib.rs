//! The rules of the house, held by tests: who may import whom (`tests/imports.rs`) and what every file looks like (`tests/tidy.rs`).
//! Nothing to import: no crate may depend on this one.

//! Who may import whom, read from `cargo metadata`. ARCHITECTURE.md says why; where the two differ, this file is right.
//!
//! The rules stand in tables at the top. Each test collects everything that breaks its rule, so that one run shows all of it.

mod workspace;

use workspace::{Kind, Workspace};

/// The crates of the workspace, and which of ours each may depend on (dev-dependencies included).
/// A crate that is missing here fails the test: whoever adds one says where it stands.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("queue", &[]),
    ("queue-model", &[]),
    ("audio", &[]),
    ("music", &[]),
    ("crds", &[]),
    ("house", &[]),
    ("eval", &["music"]),
    ("transcription", &["audio", "music"]),
    ("api", &["queue", "audio", "music"]),
    ("worker", &["queue", "audio", "music", "transcription"]),
    ("operator", &["queue", "crds"]),
    (
        "cli",
        &["queue", "audio", "music", "transcription", "api", "worker"],
    ),
    // From outside, like e2e: the operator is measured through its resources.
    ("bench", &["queue", "crds"]),
    // Looks on from outside; of ours it uses the queue's own check at the end.
    ("chaos", &["queue"]),
    ("e2e", &["queue", "crds", "music"]),
];

/// Packages from outside that belong to the crates named and to no other: `(package, crates that may name it, may others use it in tests)`.
const BELONGS_TO: &[(&str, &[&str], bool)] = &[
    ("redis", &["queue"], false),
    ("tch", &["transcription"], false),
    ("torch-sys", &["transcription"], false),
    ("safetensors", &["transcription"], false),
    ("sqlx", &["api"], false),
    ("object_store", &["api"], false),
    ("axum", &["api"], true),
    ("axum-extra", &["api"], true),
    ("tower-http", &["api"], true),
    ("symphonia", &["audio"], false),
    ("soxr", &["audio"], false),
    ("midly", &["music"], true),
    ("kube", &["crds", "operator", "e2e", "bench"], false),
    ("k8s-openapi", &["crds", "operator", "e2e", "bench"], false),
];

/// Crates in whose build libtorch must not appear, however far down: `(crate, forbidden)`.
const NEVER_REACHES: &[(&str, &[&str])] = &[
    ("api", &["tch", "torch-sys", "transcription", "kube"]),
    ("operator", &["tch", "torch-sys", "transcription", "sqlx"]),
    ("worker", &["sqlx", "object_store", "kube"]),
    ("queue", &["tch", "torch-sys", "axum", "sqlx"]),
    ("audio", &["tch", "torch-sys", "tokio"]),
    ("music", &["tch", "torch-sys", "tokio"]),
    ("transcription", &["redis", "axum", "sqlx"]),
];

#[test]
fn every_crate_has_its_place() {
    let workspace = Workspace::read();
    let known: Vec<&str> = MAY_IMPORT.iter().map(|(name, _)| *name).collect();
    let strangers: Vec<&str> = workspace
        .members()
        .filter(|name| !known.contains(name))
        .collect();
    assert!(
        strangers.is_empty(),
        "not in the table of house/tests/imports.rs: {strangers:?}; add each with what it may import"
    );
}

#[test]
fn crates_import_only_what_they_may() {
    let workspace = Workspace::read();
    let mut wrong = Vec::new();
    for (name, allowed) in MAY_IMPORT {
        for dependency in workspace.dependencies(name) {
            if workspace.is_member(&dependency.name) && !allowed.contains(&&*dependency.name) {
                wrong.push(format!("`{name}` imports `{}`", dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn packages_stay_where_they_belong() {
    let workspace = Workspace::read();
    let mut wrong = Vec::new();
    for (package, owners, free_in_tests) in BELONGS_TO {
        for member in workspace
            .members()
            .filter(|member| !owners.contains(member))
        {
            for dependency in workspace.dependencies(member) {
                let excused = *free_in_tests && dependency.kind == Kind::Dev;
                if dependency.name == *package && !excused {
                    wrong.push(format!(
                        "`{member}` names `{package}`, which is for {owners:?} alone"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn builds_do_not_reach_what_they_must_do_without() {
    let workspace = Workspace::read();
    let mut wrong = Vec::new();
    for (name, forbidden) in NEVER_REACHES {
        let reached = workspace.reach(name);
        for package in forbidden
            .iter()
            .filter(|package| reached.contains(**package))
        {
            wrong.push(format!(
                "`{name}` builds `{package}`: {}",
                workspace.way(name, package)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The tests above pass when `cargo metadata` is read wrongly and shows nothing, so look for what is certainly there.
#[test]
fn the_reading_sees_what_is_there() {
    let workspace = Workspace::read();
    assert!(
        workspace
            .dependencies("transcription")
            .iter()
            .any(|dependency| dependency.name == "tch")
    );
    assert!(workspace.reach("transcription").contains("torch-sys"));
    assert!(workspace.reach("cli").contains("torch-sys"));
    assert_eq!(
        workspace.way("transcription", "torch-sys"),
        "transcription -> tch -> torch-sys"
    );
}

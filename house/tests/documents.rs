//! What the documents promise about the tree: links lead somewhere, and every decision is in the index.

use std::fs;
use std::path::{Path, PathBuf};

/// The documents of the project: `*.md` in the root and below docs/.
fn documents() -> Vec<PathBuf> {
    let root = house::root();
    let mut found = Vec::new();
    for folder in [root.clone(), root.join("docs"), root.join("docs/decisions")] {
        for entry in fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("its entries can be read").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    assert!(found.len() >= 6, "only {found:?}");
    found
}

/// Targets of `[text](target)` that are files, without the part after `#`.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document can be read");
        let folder = document.parent().unwrap_or(Path::new("."));
        for target in links(&text)
            .into_iter()
            .filter(|target| !folder.join(target).exists())
        {
            dead.push(format!("{}: {target}", document.display()));
        }
    }
    assert!(
        dead.is_empty(),
        "links to what is not there:\n{}",
        dead.join("\n")
    );
}

#[test]
fn every_decision_is_in_the_index() {
    let root = house::root();
    let index = fs::read_to_string(root.join("docs/README.md")).expect("the index is there");
    let mut missing = Vec::new();
    for entry in fs::read_dir(root.join("docs/decisions")).expect("the decisions are there") {
        let name = entry
            .expect("an entry can be read")
            .file_name()
            .to_string_lossy()
            .into_owned();
        if !index.contains(&name) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "not in docs/README.md: {missing:?}");
}

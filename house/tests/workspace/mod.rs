//! The workspace as `cargo metadata` tells it: members, what they declare, and what their builds reach. Knows no rule.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::Command;

use serde::Deserialize;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Dev,
    Build,
    #[default]
    #[serde(other)]
    Normal,
}

/// A dependency as a `Cargo.toml` of ours names it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    #[serde(default, deserialize_with = "kind")]
    pub(crate) kind: Kind,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Deserialize)]
struct EdgeKind {
    #[serde(default, deserialize_with = "kind")]
    kind: Kind,
}

/// Cargo writes `null` for an ordinary dependency.
fn kind<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
    Ok(Option::<Kind>::deserialize(deserializer)?.unwrap_or_default())
}

pub(crate) struct Workspace {
    members: BTreeMap<String, Vec<Dependency>>,
    /// Package id -> ids of what its build needs (ordinary and build dependencies).
    needs: BTreeMap<String, Vec<String>>,
    names: BTreeMap<String, String>,
}

impl Workspace {
    pub(crate) fn read() -> Self {
        // One platform, because only its packages have been downloaded; offline, because a test reaches for no network.
        let output = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--offline",
                "--format-version=1",
                "--filter-platform=x86_64-unknown-linux-gnu",
            ])
            .current_dir(house::root())
            .output()
            .expect("cargo runs");
        assert!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: Metadata = serde_json::from_slice(&output.stdout)
            .expect("cargo metadata is JSON of the known shape");

        let names: BTreeMap<String, String> = metadata
            .packages
            .iter()
            .map(|package| (package.id.clone(), package.name.clone()))
            .collect();
        let needs = metadata
            .resolve
            .nodes
            .into_iter()
            .map(|node| {
                let needed =
                    |edge: &Edge| edge.dep_kinds.iter().any(|entry| entry.kind != Kind::Dev);
                (
                    node.id,
                    node.deps
                        .into_iter()
                        .filter(needed)
                        .map(|edge| edge.pkg)
                        .collect(),
                )
            })
            .collect();
        let members = metadata
            .packages
            .into_iter()
            .filter(|package| metadata.workspace_members.contains(&package.id))
            .map(|package| (package.name, package.dependencies))
            .collect();
        Self {
            members,
            needs,
            names,
        }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    pub(crate) fn is_member(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// What the crate's own `Cargo.toml` names, of every kind; empty for a crate that does not exist (yet).
    pub(crate) fn dependencies(&self, name: &str) -> &[Dependency] {
        self.members.get(name).map_or(&[], Vec::as_slice)
    }

    /// Names of all packages that building the crate builds.
    pub(crate) fn reach(&self, name: &str) -> BTreeSet<&str> {
        self.walk(name)
            .keys()
            .map(|id| self.names[*id].as_str())
            .collect()
    }

    /// The shortest way from a crate to a package that it reaches, for a message that shows where to cut.
    pub(crate) fn way(&self, name: &str, package: &str) -> String {
        let came_from = self.walk(name);
        let mut step = came_from
            .keys()
            .copied()
            .find(|id| self.names[*id] == package);
        let mut way = Vec::new();
        while let Some(id) = step {
            way.push(self.names[id].as_str());
            step = came_from[id];
        }
        way.reverse();
        way.join(" -> ")
    }

    /// Breadth first from a member: each package id reached, and the one it was reached from.
    fn walk(&self, name: &str) -> BTreeMap<&str, Option<&str>> {
        let mut came_from = BTreeMap::new();
        let mut next = VecDeque::new();
        if self.is_member(name)
            && let Some(id) = self.needs.keys().find(|id| self.names[*id] == name)
        {
            came_from.insert(id.as_str(), None);
            next.push_back(id.as_str());
        }
        while let Some(id) = next.pop_front() {
            for needed in &self.needs[id] {
                if !came_from.contains_key(needed.as_str()) {
                    came_from.insert(needed, Some(id));
                    next.push_back(needed);
                }
            }
        }
        came_from
    }
}

//! Reads PyTorch checkpoints (`.pt`, `.pth`: a zip with a pickle in it) without running any of what they say.
//!
//! `machine` understands the few opcodes that `torch.save` writes for plain data and tensors and refuses everything else by name;
//! `value` walks the result; here the tensors' bytes come out of the zip. It knows no network: names and shapes are its caller's.

mod machine;
mod value;

use std::io::{Cursor, Read};

use zip::ZipArchive;

pub(crate) use value::Value;
use value::{Node, NodeId};

/// A pickle is names and shapes, kilobytes; what is larger is no checkpoint of ours.
const PICKLE_LIMIT_BYTES: u64 = 4 << 20;
/// Numbers of one tensor, and of all of them together: a GiB of float32.
const NUMBERS_LIMIT: u64 = 1 << 28;

/// An opened checkpoint.
pub(crate) struct Checkpoint<'a> {
    nodes: Vec<Node>,
    root: NodeId,
    archive: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder inside the zip.
    prefix: String,
    numbers_read: u64,
}

/// A tensor as float32, row-major.
#[derive(Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) numbers: Vec<f32>,
}

impl<'a> Checkpoint<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let mut archive = ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| format!("not a PyTorch checkpoint (no zip): {error}"))?;
        let pickles: Vec<String> = archive
            .file_names()
            .filter(|name| *name == "data.pkl" || name.ends_with("/data.pkl"))
            .map(str::to_owned)
            .collect();
        let [pickle_name] = pickles.as_slice() else {
            return Err(format!(
                "not a PyTorch checkpoint: it has {} entries named data.pkl, not one",
                pickles.len()
            ));
        };
        let prefix = pickle_name.trim_end_matches("data.pkl").to_owned();
        let order = format!("{prefix}byteorder");
        if archive.file_names().any(|name| name == order) {
            let order = read_entry(&mut archive, &order, 16)?;
            if order != b"little" {
                return Err(format!(
                    "the checkpoint's byte order is {:?}, little is needed",
                    String::from_utf8_lossy(&order)
                ));
            }
        }
        let pickle = read_entry(&mut archive, pickle_name, PICKLE_LIMIT_BYTES)?;
        let (nodes, root) = machine::run(&pickle)?;
        Ok(Checkpoint {
            nodes,
            root,
            archive,
            prefix,
            numbers_read: 0,
        })
    }

    pub(crate) fn root(&self) -> Value<'_> {
        Value::new(&self.nodes, self.root)
    }

    /// Every tensor of the dictionary that `path` leads to, by name and in the file's order.
    pub(crate) fn tensors(&mut self, path: &[&str]) -> Result<Vec<(String, Array)>, String> {
        let mut place = self.root();
        for step in path {
            place = place.get(step)?;
        }
        let mut found = Vec::new();
        for (name, value) in place.entries()? {
            let view = value
                .view()
                .map_err(|reason| format!("`{name}`: {reason}"))?;
            found.push((name.to_owned(), view.clone()));
        }
        found
            .into_iter()
            .map(|(name, view)| {
                let array = self
                    .read(&view)
                    .map_err(|reason| format!("tensor `{name}`: {reason}"))?;
                Ok((name, array))
            })
            .collect()
    }

    fn read(&mut self, view: &value::View) -> Result<Array, String> {
        let count = view.check(NUMBERS_LIMIT)?;
        self.numbers_read += count;
        if self.numbers_read > NUMBERS_LIMIT {
            return Err("the checkpoint's tensors are too large together".into());
        }
        let width = view.kind.bytes();
        let entry = format!("{}data/{}", self.prefix, view.key);
        let bytes = read_entry(&mut self.archive, &entry, view.stored * width)?;
        if bytes.len() as u64 != view.stored * width {
            return Err(format!(
                "`{entry}` has {} bytes, the pickle says {} numbers of {width} bytes",
                bytes.len(),
                view.stored
            ));
        }
        let numbers = view
            .places()
            .map(|at| view.kind.number(&bytes, at as usize))
            .collect();
        Ok(Array {
            shape: view.shape.iter().map(|size| *size as usize).collect(),
            numbers,
        })
    }
}

/// An entry of at most `limit` bytes, whatever its header claims.
fn read_entry(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    name: &str,
    limit: u64,
) -> Result<Vec<u8>, String> {
    let entry = archive
        .by_name(name)
        .map_err(|error| format!("the checkpoint has no `{name}`: {error}"))?;
    let mut bytes = Vec::new();
    entry
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("`{name}`: {error}"))?;
    if bytes.len() as u64 > limit {
        return Err(format!("`{name}` is larger than {limit} bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;

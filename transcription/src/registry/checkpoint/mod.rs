//! Reads PyTorch checkpoints (`.pt`, `.pth`: a zip with a pickle in it) without running any of what they say.
//!
//! `machine` understands the few opcodes that `torch.save` writes for plain data and tensors and refuses everything else by name;
//! `value` walks the result; here the tensors' bytes come out of the zip. It knows no network: names and shapes are its caller's.

mod machine;
mod value;

use std::io::{Cursor, Read};

use zip::ZipArchive;

pub(crate) use value::{Kind, Value};
use value::{Node, NodeId, View};

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
    read: Amounts,
}

/// Numbers so far: of storages, and of the tensors made of them.
#[derive(Default)]
struct Amounts {
    stored: u64,
    given: u64,
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
            read: Amounts::default(),
        })
    }

    pub(crate) fn root(&self) -> Value<'_> {
        Value::new(&self.nodes, self.root)
    }

    /// Name and shape of every tensor of the dictionary that `path` leads to, in the file's order; none of their numbers is read.
    pub(crate) fn shapes(&self, path: &[&str]) -> Result<Vec<(String, Vec<usize>)>, String> {
        let views = self.views(path)?.into_iter();
        Ok(views.map(|(name, view)| (name, view.sizes())).collect())
    }

    /// Every tensor of that dictionary.
    pub(crate) fn tensors(&mut self, path: &[&str]) -> Result<Vec<(String, Array)>, String> {
        self.tensors_where(path, |_| true)
    }

    /// Those of that dictionary whose name is wanted.
    pub(crate) fn tensors_where(
        &mut self,
        path: &[&str],
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, Array)>, String> {
        let mut views = self.views(path)?;
        views.retain(|(name, _)| wanted(name));
        self.read(views)
    }

    fn views(&self, path: &[&str]) -> Result<Vec<(String, View)>, String> {
        let mut place = self.root();
        for step in path {
            place = place.get(step)?;
        }
        let entries = place.entries()?.into_iter();
        entries
            .map(|(name, value)| {
                let view = value
                    .view()
                    .map_err(|reason| format!("`{name}`: {reason}"))?;
                Ok((name.to_owned(), view.clone()))
            })
            .collect()
    }

    /// Storages may be shared: each is read once, so that neither time nor memory grows with the number of tensors that look at it.
    fn read(&mut self, views: Vec<(String, View)>) -> Result<Vec<(String, Array)>, String> {
        let mut order: Vec<usize> = (0..views.len()).collect();
        order.sort_by_key(|at| &views[*at].1.key);
        let mut arrays: Vec<Option<Array>> = views.iter().map(|_| None).collect();
        let mut open: Option<(&str, Vec<u8>)> = None;
        for at in order {
            let (name, view) = &views[at];
            let array = self
                .read_one(view, &mut open)
                .map_err(|reason| format!("tensor `{name}`: {reason}"))?;
            arrays[at] = Some(array);
        }
        let names = views.iter().map(|(name, _)| name.clone());
        Ok(names.zip(arrays.into_iter().flatten()).collect())
    }

    fn read_one<'v>(
        &mut self,
        view: &'v View,
        open: &mut Option<(&'v str, Vec<u8>)>,
    ) -> Result<Array, String> {
        let count = view.check(NUMBERS_LIMIT)?;
        let entry = format!("{}data/{}", self.prefix, view.key);
        let wanted = view.stored * view.kind.bytes();
        let shared = open.take().filter(|(key, _)| *key == &*view.key);
        let storage = match shared {
            Some((_, bytes)) => bytes,
            None => {
                self.count(|read| &mut read.stored, view.stored)?;
                read_entry(&mut self.archive, &entry, wanted)?
            }
        };
        self.count(|read| &mut read.given, count)?;
        if storage.len() as u64 != wanted {
            return Err(format!(
                "`{entry}` has {} bytes, the pickle says {} numbers of {} bytes",
                storage.len(),
                view.stored,
                view.kind.bytes()
            ));
        }
        let (_, bytes) = open.insert((&*view.key, storage));
        let numbers = view
            .places()
            .map(|at| view.kind.number(bytes, at as usize))
            .collect();
        Ok(Array {
            shape: view.sizes(),
            numbers,
        })
    }

    fn count(&mut self, which: fn(&mut Amounts) -> &mut u64, more: u64) -> Result<(), String> {
        let amount = which(&mut self.read);
        *amount += more;
        if *amount > NUMBERS_LIMIT {
            return Err("the checkpoint's tensors are too large together".into());
        }
        Ok(())
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

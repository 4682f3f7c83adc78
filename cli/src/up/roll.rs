//! Who works here, on disk: after a crash of everything, the next start knows whose leases it may end at once.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use queue::WorkerId;

#[derive(Debug)]
pub(super) struct Roll {
    path: PathBuf,
    names: Mutex<BTreeSet<WorkerId>>,
}

impl Roll {
    /// Reads what the last run left. A line that is no worker id is left out.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let names = text
            .lines()
            .filter_map(|line| WorkerId::parse(line).ok())
            .collect();
        Ok(Roll {
            path,
            names: Mutex::new(names),
        })
    }

    pub(super) fn names(&self) -> Vec<WorkerId> {
        self.locked().iter().cloned().collect()
    }

    pub(super) fn enter(&self, worker: &WorkerId) {
        self.change(|names| names.insert(worker.clone()));
    }

    pub(super) fn strike(&self, worker: &WorkerId) {
        self.change(|names| names.remove(worker));
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<WorkerId>) -> bool) {
        let mut names = self.locked();
        if !change(&mut names) {
            return;
        }
        let text: String = names.iter().map(|name| format!("{name}\n")).collect();
        let next = self.path.with_extension("next");
        // Without it a crash of everything costs a lease's time, not a task.
        if let Err(error) = fs::write(&next, text).and_then(|()| fs::rename(&next, &self.path)) {
            tracing::warn!(%error, path = %self.path.display(), "cannot note down which workers run");
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeSet<WorkerId>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_run_reads_who_was_never_struck() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("workers");
        let [one, two] = ["w-1", "w-2"].map(|name| WorkerId::parse(name).unwrap());
        let roll = Roll::open(path.clone()).unwrap();
        assert!(roll.names().is_empty());
        roll.enter(&one);
        roll.enter(&two);
        roll.strike(&one);
        assert_eq!(Roll::open(path).unwrap().names(), [two]);
    }
}

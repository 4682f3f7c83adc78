//! One owner per folder: a lock of the kernel's on a file in it, which no crash can leave behind.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

/// The lock on a data folder, held while it lives.
#[derive(Debug)]
pub(super) struct DataLock {
    _file: File,
}

impl DataLock {
    /// Refuses, naming the owner, where another process has it.
    pub(super) fn take(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join("lock");
        let mut file = open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        if !try_lock(&file).with_context(|| format!("cannot lock {}", path.display()))? {
            let mut owner = String::new();
            // Only for the message: the lock is what counts.
            let _ = file.read_to_string(&mut owner);
            anyhow::bail!(
                "another `wtt up` (process {}) already runs on {}; stop it, or give another folder with --data-dir",
                if owner.trim().is_empty() {
                    "unknown"
                } else {
                    owner.trim()
                },
                data_dir.display()
            );
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(DataLock { _file: file })
    }
}

/// Opens a lock file, making it if need be; only the owner can read it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// False where another open file has the lock.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    attempt(file, FlockOperation::NonBlockingLockExclusive)
}

/// As [`try_lock`], but many can have it at once; false where one has it alone.
pub(super) fn try_share(file: &File) -> io::Result<bool> {
    attempt(file, FlockOperation::NonBlockingLockShared)
}

fn attempt(file: &File, operation: FlockOperation) -> io::Result<bool> {
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes a folder that only its owner can enter, where there is none.
pub(super) fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_owner_is_refused_and_told_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataLock::take(dir.path()).unwrap();
        let refused = DataLock::take(dir.path()).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("process {}", std::process::id())),
            "{refused}"
        );
        assert!(refused.contains("--data-dir"), "{refused}");
        drop(first);
        DataLock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_lock_file_left_by_a_crash_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("lock"),
            "999999 and more that is not a process id\n",
        )
        .unwrap();
        DataLock::take(dir.path()).unwrap();
        let text = std::fs::read_to_string(dir.path().join("lock")).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }
}

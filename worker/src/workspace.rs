//! Where the recordings in work lie on this machine's disk. A file goes when its attempt does, and what a killed worker
//! left behind goes when the next one starts.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempDir};

/// Only names that begin so are ever removed: a mistyped folder loses nothing.
const PREFIX: &str = "wtt-audio-";

pub(crate) struct Workspace {
    folder: PathBuf,
    /// The folder itself, where it is only ours for this run.
    _temporary: Option<TempDir>,
}

pub(crate) struct AudioFile(NamedTempFile);

impl Workspace {
    pub(crate) fn open(folder: Option<&Path>) -> io::Result<Self> {
        let Some(folder) = folder else {
            let temporary = Builder::new()
                .prefix("wtt-worker-")
                .permissions(fs::Permissions::from_mode(0o700))
                .tempdir()?;
            return Ok(Workspace {
                folder: temporary.path().to_owned(),
                _temporary: Some(temporary),
            });
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX)
                && entry.file_type()?.is_file()
            {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Workspace {
            folder: folder.to_owned(),
            _temporary: None,
        })
    }

    pub(crate) fn create(&self) -> io::Result<AudioFile> {
        Builder::new()
            .prefix(PREFIX)
            .tempfile_in(&self.folder)
            .map(AudioFile)
    }
}

impl AudioFile {
    /// A handle of its own for writing or reading, from the start.
    pub(crate) fn reopen(&self) -> io::Result<File> {
        self.0.reopen()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_sweeps_what_a_killed_worker_left_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (left, theirs) = (
            folder.path().join("wtt-audio-abc"),
            folder.path().join("thesis.txt"),
        );
        fs::write(&left, "x").unwrap();
        fs::write(&theirs, "x").unwrap();
        let workspace = Workspace::open(Some(folder.path())).unwrap();
        assert!(!left.exists());
        assert!(theirs.exists());
        let audio = workspace.create().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        drop(audio);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

//! Where the recordings in work lie on this machine's disk. A file goes when its attempt does, and what a killed worker
//! left behind goes when the next one starts. Trouble with the disk is this machine's and no task's: while there is any, the
//! worker claims nothing.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::{Builder, NamedTempFile, TempDir};

use crate::backoff::Outage;
use crate::config::Timing;

/// Only names that begin so are ever removed: a mistyped folder loses nothing.
const PREFIX: &str = "wtt-audio-";

pub(crate) struct Workspace {
    folder: PathBuf,
    /// The folder itself, where it is only ours for this run.
    _temporary: Option<TempDir>,
    trouble: Mutex<Option<Trouble>>,
}

/// What the disk could not take.
struct Trouble {
    needed_bytes: u64,
    outage: Outage,
    look_at: Instant,
}

/// Whether a recording can lie here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// Not now.
    Short,
    /// Not even if nothing else lay here.
    Never,
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
                trouble: Mutex::default(),
            });
        };
        make(folder)?;
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
            trouble: Mutex::default(),
        })
    }

    pub(crate) fn create(&self) -> io::Result<AudioFile> {
        let create = || Builder::new().prefix(PREFIX).tempfile_in(&self.folder);
        match create() {
            // Cleaners of temporary folders take what looks unused.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(&self.folder)?;
                create()
            }
            made => made,
        }
        .map(AudioFile)
    }

    /// What the file system says; one that says nothing is tried.
    pub(crate) fn room_for(&self, bytes: u64) -> Room {
        let Ok(disk) = rustix::fs::statvfs(&self.folder) else {
            return Room::Enough;
        };
        let fits = |blocks: u64| blocks.saturating_mul(disk.f_frsize) >= bytes;
        match (fits(disk.f_bavail), fits(disk.f_blocks)) {
            (true, _) => Room::Enough,
            (false, true) => Room::Short,
            (false, false) => Room::Never,
        }
    }

    /// The disk could not take so much: nothing is claimed until it can, and not before a pause.
    pub(crate) fn failed(&self, needed_bytes: u64, timing: &Timing) {
        let mut trouble = self.trouble.lock();
        let trouble = trouble.get_or_insert_with(|| Trouble {
            needed_bytes,
            outage: Outage::new(timing.outage_base, timing.outage_cap),
            look_at: Instant::now(),
        });
        trouble.needed_bytes = needed_bytes;
        trouble.look_at = Instant::now() + trouble.outage.failed();
    }

    /// A recording lies here: all is well.
    pub(crate) fn worked(&self) {
        if self.trouble.lock().take().is_some() {
            tracing::info!("the folder for audio works again");
        }
    }

    /// How long not to claim; `None` = not at all.
    pub(crate) fn closed(&self) -> Option<Duration> {
        let mut trouble = self.trouble.lock();
        let trouble = trouble.as_mut()?;
        let left = trouble.look_at.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Some(left);
        }
        if self.room_for(trouble.needed_bytes) == Room::Enough && self.create().is_ok() {
            return None;
        }
        let pause = trouble.outage.failed();
        trouble.look_at = Instant::now() + pause;
        Some(pause)
    }
}

fn make(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
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

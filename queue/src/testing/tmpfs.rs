//! A disk of a few megabytes that a test may fill: a tmpfs of its own, unmounted when dropped.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FILLER: &str = "filler";
const BLOCK: usize = 4096;

/// A mounted tmpfs.
#[derive(Debug)]
pub struct Tmpfs {
    folder: PathBuf,
}

impl Tmpfs {
    /// None where mounting is not allowed: that takes root, and more in some containers. The test then says that it was skipped.
    pub fn mount(bytes: usize) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!(
            "wtt-tmpfs-{}-{:08x}",
            std::process::id(),
            rand::random::<u32>()
        ));
        if let Err(error) = fs::create_dir_all(&folder) {
            panic!("cannot make {}: {error}", folder.display());
        }
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={bytes},mode=755"),
                "wtt",
            ])
            .arg(&folder)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self { folder });
        }
        let _ = fs::remove_dir(&folder);
        None
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Leaves no room at all, but for what is free inside blocks that are taken.
    pub fn fill(&self) {
        let filled = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.folder.join(FILLER))
            .and_then(|mut file| {
                loop {
                    file.write_all(&[0; BLOCK])?;
                }
            });
        match filled {
            Err(error) if error.kind() == ErrorKind::StorageFull => {}
            Err::<(), _>(error) => panic!("cannot fill {}: {error}", self.folder.display()),
            Ok(()) => {}
        }
    }

    /// Leaves this much room and no more.
    pub fn fill_but(&self, bytes: u64) {
        self.fill();
        let shortened = File::options()
            .write(true)
            .open(self.folder.join(FILLER))
            .and_then(|file| {
                let length = file.metadata()?.len();
                file.set_len(length.saturating_sub(bytes))
            });
        if let Err(error) = shortened {
            panic!("cannot make room in {}: {error}", self.folder.display());
        }
    }

    /// Takes back what `fill` took.
    pub fn free(&self) {
        let _ = fs::remove_file(self.folder.join(FILLER));
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process of the test may still have a file open there, and ends after us.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
        let _ = fs::remove_dir(&self.folder);
    }
}

//! Where results are written: never over something that is there, never half. It must not know what the bytes are.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::failure::Failure;
use crate::ui;

/// The name that stands for standard output.
const STDOUT: &str = "-";

/// Says early that a later `write` would be refused, before the work is done for nothing.
pub(crate) fn check(path: &Path, force: bool) -> anyhow::Result<()> {
    if path.as_os_str() == STDOUT {
        return Ok(());
    }
    if path.is_dir() {
        return Err(Failure::Usage(format!("{} is a folder", path.display())).into());
    }
    if !force && path.symlink_metadata().is_ok() {
        return Err(exists(path));
    }
    // The file that tries it out has no name, and is gone at once.
    tempfile::tempfile_in(folder_of(path)).with_context(|| unwritable(folder_of(path)))?;
    Ok(())
}

/// Several results cannot share standard output.
pub(crate) fn one_per_stdout(several: bool, path: Option<&Path>) -> anyhow::Result<()> {
    if several && path.is_some_and(|path| path.as_os_str() == STDOUT) {
        return Err(Failure::Usage("`-` (standard output) takes the result of one recording and nothing else; name a file or a folder".into()).into());
    }
    Ok(())
}

/// Writes a whole file or none: to a temporary name beside it, then renamed. Without `force` the rename itself refuses
/// to replace, so a file that appeared meanwhile is safe too.
pub(crate) fn write(path: &Path, bytes: &[u8], force: bool) -> anyhow::Result<()> {
    if path.as_os_str() == STDOUT {
        return ui::raw(bytes).context("failed to write to standard output");
    }
    check(path, force)?;
    let folder = folder_of(path);
    let mut file = tempfile::Builder::new()
        .prefix(".wtt-")
        // What any program would ask for: the caller's umask decides, as it would not for a private temporary file.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .with_context(|| unwritable(folder))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .with_context(|| failed(path))?;
    if force {
        file.persist(path)
            .map_err(|error| error.error)
            .with_context(|| failed(path))?;
    } else {
        file.persist_noclobber(path)
            .map_err(|error| match error.error.kind() {
                std::io::ErrorKind::AlreadyExists => exists(path),
                _ => anyhow::Error::new(error.error).context(failed(path)),
            })?;
    }
    Ok(())
}

/// `take.flac` in the folder, with another ending; a server's file name cannot lead out of the folder.
pub(crate) fn named_after(folder: &Path, filename: &str, extension: &str) -> PathBuf {
    let name = filename.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = Path::new(name)
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or("transcription");
    folder.join(format!("{stem}.{extension}"))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn unwritable(folder: &Path) -> String {
    format!("failed to write into the folder {}", folder.display())
}

fn exists(path: &Path) -> anyhow::Error {
    anyhow::anyhow!("{} is there already; --force replaces it", path.display())
}

fn failed(path: &Path) -> String {
    format!("failed to write {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_file_is_kept_without_force_and_replaced_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mid");
        write(&path, b"one", false).unwrap();
        let refused = write(&path, b"two", false).unwrap_err().to_string();
        assert!(refused.contains("--force"), "{refused}");
        assert_eq!(fs_err::read(&path).unwrap(), b"one");
        write(&path, b"two", true).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), b"two");
        assert_eq!(
            fs_err::read_dir(folder.path()).unwrap().count(),
            1,
            "a temporary file was left"
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(&folder.path().join("nowhere/a.mid"), false).is_err());
        assert!(check(&folder.path().join("a.mid"), false).is_ok());
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_dangling_link_counts_as_something_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mid");
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(write(&path, b"x", false).is_err());
    }

    #[test]
    fn a_servers_file_name_stays_in_the_folder() {
        let folder = Path::new("out");
        assert_eq!(
            named_after(folder, "take 3.flac", "mid"),
            folder.join("take 3.mid")
        );
        assert_eq!(
            named_after(folder, "../../etc/passwd", "mid"),
            folder.join("passwd.mid")
        );
        assert_eq!(
            named_after(folder, "..", "mid"),
            folder.join("transcription.mid")
        );
        assert_eq!(
            named_after(folder, "", "mid"),
            folder.join("transcription.mid")
        );
    }
}

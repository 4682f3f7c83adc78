//! Where the demo happens: the files it leaves, the address it listens at, the network it needs. All of it is checked
//! before anything is started.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use transcription::registry::Store;

use super::{MODEL, NAME};
use crate::{output, ui};

/// The files that the demo leaves behind.
pub(super) struct Files {
    pub(super) wav: PathBuf,
    pub(super) midi: PathBuf,
    pub(super) notes: PathBuf,
    pub(super) logs: PathBuf,
    pub(super) force: bool,
}

impl Files {
    /// A temporary folder is kept: its files are what the demo is for.
    pub(super) fn in_folder(folder: Option<PathBuf>, force: bool) -> anyhow::Result<Files> {
        let folder = match folder {
            Some(folder) => folder,
            None => tempfile::Builder::new()
                .prefix("wtt-demo-")
                .tempdir()?
                .keep(),
        };
        fs_err::create_dir_all(&folder)?;
        let path = |extension: &str| output::named_after(&folder, NAME, extension);
        let files = Files {
            wav: path("wav"),
            midi: path("mid"),
            notes: path("json"),
            logs: folder.join("logs"),
            force,
        };
        for path in [&files.wav, &files.midi, &files.notes] {
            output::check(path, force)?;
        }
        Ok(files)
    }
}

pub(super) fn need_model(folder: PathBuf) -> anyhow::Result<()> {
    let installed = Store::new(folder)
        .list()
        .iter()
        .any(|model| model.name == MODEL && model.installed);
    anyhow::ensure!(
        installed,
        "the network {MODEL} is not installed; `{} models pull {MODEL}` fetches it (`make setup` does so too)",
        super::farewell::program()
    );
    Ok(())
}

/// The address that was asked for, or another port of the same host where somebody else has this one.
pub(super) fn free_address(listen: SocketAddr) -> SocketAddr {
    let taken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::AddrInUse;
    if !TcpListener::bind(listen).is_err_and(|error| taken(&error)) {
        return listen;
    }
    ui::line(format!(
        "port {} is taken, so the demo uses another one",
        listen.port()
    ));
    SocketAddr::new(listen.ip(), 0)
}

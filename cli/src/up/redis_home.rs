//! Where the private Redis lives: its folder, its socket, the lock that its process carries, and whether it answers. Knows
//! nothing about starting it.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::lock;

/// The kernel takes 107 bytes; what is left over is for names that Redis may add.
const LONGEST_SOCKET: usize = 100;

#[derive(Clone, Debug)]
pub(super) struct RedisHome {
    /// Append-only file, log and lock.
    pub(super) folder: PathBuf,
    pub(super) socket: PathBuf,
}

impl RedisHome {
    pub(super) fn prepare(data_dir: &Path) -> anyhow::Result<Self> {
        let folder = data_dir.join("redis");
        lock::private_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let own = data_dir.join("run");
        let socket_dir = if fits(&own) {
            own
        } else {
            short_dir(data_dir, &std::env::temp_dir())
        };
        anyhow::ensure!(
            fits(&socket_dir),
            "no folder is short enough for a socket: {} is too long",
            socket_dir.display()
        );
        keep_private(&socket_dir)?;
        Ok(RedisHome {
            folder,
            socket: socket_dir.join("redis.sock"),
        })
    }

    pub(super) fn url(&self) -> anyhow::Result<String> {
        let file = url::Url::from_file_path(&self.socket)
            .map_err(|()| anyhow::anyhow!("{} is not an absolute path", self.socket.display()))?;
        Ok(format!("unix://{}", file.path()))
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("redis.log")
    }

    /// The lock that a Redis process on this folder carries as long as it lives, even without us: never two on one
    /// append-only file. One that was left behind by a killed `wtt up` is asked to end, and waited for.
    pub(super) async fn lock(&self, patience: Duration) -> anyhow::Result<File> {
        let path = self.folder.join("lock");
        let file = lock::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let end = tokio::time::Instant::now() + patience;
        let mut asked = false;
        loop {
            if lock::try_lock(&file)? {
                return Ok(file);
            }
            if !asked {
                tracing::warn!(
                    "a private Redis of an earlier `wtt up` still runs: asking it to end"
                );
                asked = true;
            }
            // Refused, or not there any more: the lock will tell.
            let _ = tokio::time::timeout(Duration::from_secs(1), self.ask("SHUTDOWN")).await;
            anyhow::ensure!(
                tokio::time::Instant::now() < end,
                "another redis-server still works on {}; stop it (`redis-cli -s {} shutdown`), then start again",
                self.folder.display(),
                self.socket.display()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Whether it is up and has loaded its data.
    pub(super) async fn answers(&self) -> bool {
        let answer = tokio::time::timeout(Duration::from_secs(1), self.ask("PING")).await;
        matches!(answer, Ok(Ok(text)) if text.starts_with("+PONG"))
    }

    /// After a crash the append-only file may end inside a script. Redis drops that beginning from its data but leaves it in the
    /// file, where it would run together with whatever is appended next: so each start begins with a new file.
    pub(super) async fn begin_a_new_file(&self) {
        let answer = tokio::time::timeout(Duration::from_secs(1), self.ask("BGREWRITEAOF")).await;
        if !matches!(&answer, Ok(Ok(text)) if text.starts_with('+')) {
            tracing::warn!(
                ?answer,
                "the private Redis did not begin a new append-only file"
            );
        }
    }

    /// One inline command; its first bytes of answer.
    async fn ask(&self, command: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await?;
        let mut answer = [0u8; 64];
        let bytes = stream.read(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer[..bytes]).into_owned())
    }
}

fn fits(dir: &Path) -> bool {
    dir.join("redis.sock").as_os_str().len() <= LONGEST_SOCKET
}

/// A short name in the temporary folder that is always the same for one data folder and one user.
fn short_dir(data_dir: &Path, temp: &Path) -> PathBuf {
    let hash = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    let name: String = hash
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    temp.join(format!("wtt-{}-{name}", rustix::process::getuid().as_raw()))
}

/// Makes the folder, or accepts one that nobody else could have prepared: whoever can enter it commands the queue.
fn keep_private(dir: &Path) -> anyhow::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make {}", dir.display()));
        }
        _ => {}
    }
    let found = std::fs::symlink_metadata(dir)?;
    let private = found.is_dir()
        && found.uid() == rustix::process::getuid().as_raw()
        && found.mode() & 0o077 == 0;
    anyhow::ensure!(
        private,
        "{} must be a folder that only you can enter; remove it, or `chmod 700` it",
        dir.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_long_data_folder_gets_a_short_socket_that_is_its_own() {
        let temp = Path::new("/tmp");
        let long = PathBuf::from(format!("/data/{}", "x".repeat(120)));
        assert!(!fits(&long.join("run")));
        let short = short_dir(&long, temp);
        assert!(fits(&short));
        assert_eq!(short, short_dir(&long, temp));
        assert_ne!(short, short_dir(&long.join("y"), temp));
    }

    #[test]
    fn an_open_folder_or_a_link_is_not_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let (open, link) = (dir.path().join("open"), dir.path().join("link"));
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(keep_private(&open).is_err());
        let own = dir.path().join("own");
        keep_private(&own).unwrap();
        keep_private(&own).unwrap();
        std::os::unix::fs::symlink(&own, &link).unwrap();
        assert!(keep_private(&link).is_err());
    }

    #[test]
    fn odd_characters_of_a_folder_survive_in_the_url() {
        let home = RedisHome {
            folder: PathBuf::new(),
            socket: PathBuf::from("/my music/50%/redis.sock"),
        };
        assert_eq!(home.url().unwrap(), "unix:///my%20music/50%25/redis.sock");
    }
}

//! A database of either kind for one test: a SQLite file, or a Postgres cluster of its own in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

pub(crate) enum Database {
    Sqlite,
    Postgres(Box<Postgres>),
}

impl Database {
    pub(crate) fn start(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::Sqlite,
            Kind::Postgres => Self::Postgres(Box::new(Postgres::start())),
        }
    }

    pub(crate) fn url(&self, folder: &Path) -> String {
        match self {
            Self::Sqlite => format!("sqlite://{}", folder.join("test.db").display()),
            Self::Postgres(postgres) => postgres.url(),
        }
    }
}

/// A cluster that ends with the test. As root it runs as the user `postgres`, since it refuses to run as root.
pub(crate) struct Postgres {
    server: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Postgres {
    fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("wtt-pg-")
            .tempdir()
            .unwrap();
        if is_root() {
            let owned = Command::new("chown")
                .args(["postgres", folder.path().to_str().unwrap()])
                .status()
                .unwrap();
            assert!(owned.success());
        }
        let data = folder.path().join("data");
        let made = as_owner(&binary("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=postgres", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .expect("initdb starts");
        assert!(made.success(), "initdb failed");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let server = as_owner(&binary("postgres"))
            .arg("-D")
            .arg(&data)
            .args([
                "-p",
                &port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
            ])
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                folder.path().display()
            ))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres starts");
        let postgres = Self {
            server,
            port,
            folder,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !postgres.answers() {
            assert!(Instant::now() < deadline, "postgres does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        postgres
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// `-STOP` halts every process of the server, `-CONT` lets them go on.
    pub(crate) fn signal(&self, signal: &str) {
        let postmaster = self.server.id().to_string();
        let children = Command::new("ps")
            .args(["-o", "pid=", "--ppid", &postmaster])
            .output()
            .unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        let all = children.split_whitespace().chain([postmaster.as_str()]);
        // Children may end meanwhile.
        let _ = Command::new("kill").arg(signal).args(all).status();
    }

    fn answers(&self) -> bool {
        let asked = Command::new(binary("pg_isready"))
            .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .status();
        asked.is_ok_and(|status| status.success())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A halted one could not be ended.
        self.signal("-CONT");
        // SIGINT to the postmaster: fast shutdown. Its pid stands in the first line of the file that it keeps.
        let pid = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid"));
        if let Some(pid) = pid.ok().as_deref().and_then(|text| text.lines().next()) {
            let _ = Command::new("kill").args(["-INT", pid]).status();
        } else {
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
    }
}

fn binary(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}

fn as_owner(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=postgres",
            "--regid=postgres",
            "--init-groups",
            "--",
        ])
        .arg(program);
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

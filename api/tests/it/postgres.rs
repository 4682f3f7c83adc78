//! One Postgres instance of our own for the whole test binary, on a unix socket in a temporary folder; a database per test.
//! A shell holds its leash: it stops the server and removes the folder when this process is gone, however it ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

const SCRIPT: &str = r#"
set -eu
export LC_ALL=C
dir=$(mktemp -d "${TMPDIR:-/tmp}/wtt-postgres-XXXXXX")
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] && PATH="$bin:$PATH"
cd "$dir"
initdb -D "$dir/data" -U wtt -A trust -E UTF8 --no-locale --no-sync >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
postgres -D "$dir/data" -c listen_addresses= -c unix_socket_directories="$dir" -c fsync=off -c max_connections=400 \
    >>"$dir/log" 2>&1 </dev/null &
server=$!
until pg_isready -q -h "$dir" -U wtt; do kill -0 $server || { cat "$dir/log" >&2; exit 1; }; sleep 0.05; done
echo "$dir"
cat >/dev/null || true
kill -INT $server
wait $server || true
cd /
rm -rf "$dir"
"#;

struct Instance {
    folder: String,
    /// Its standard input is the leash.
    _leash: Child,
}

static INSTANCE: OnceLock<Instance> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

fn start() -> Instance {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|out| out.stdout == b"0\n");
    // Postgres refuses to run as root.
    let mut command = match is_root {
        true => {
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                "sh",
                "-c",
                SCRIPT,
            ]);
            command
        }
        false => {
            let mut command = Command::new("sh");
            command.args(["-c", SCRIPT]);
            command
        }
    };
    let mut leash = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut folder = String::new();
    BufReader::new(leash.stdout.take().unwrap())
        .read_line(&mut folder)
        .unwrap();
    let folder = folder.trim().to_owned();
    assert!(
        !folder.is_empty(),
        "Postgres did not start; the tests need the package `postgresql`"
    );
    Instance {
        folder,
        _leash: leash,
    }
}

/// The URL of a fresh database.
pub(crate) async fn fresh_database() -> String {
    tokio::task::spawn_blocking(|| {
        let folder = &INSTANCE.get_or_init(start).folder;
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let psql = [
            "-h",
            folder,
            "-U",
            "wtt",
            "-d",
            "postgres",
            "-qc",
            &format!("CREATE DATABASE {name}"),
        ];
        let made = Command::new("psql").args(psql).output().unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        format!("postgres://wtt@localhost/{name}?host={folder}")
    })
    .await
    .unwrap()
}

//! What the tests of the client commands share: a server that answers what a test wants, and the real `wtt` run against it.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// No command of these tests needs longer; one that hangs is a failure with a name.
const DEADLINE: Duration = Duration::from_secs(60);

/// Serves a router on a free port until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    pub(crate) fn start(router: Router) -> Server {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Server {
            address,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Runs `wtt` against this server.
    pub(crate) fn wtt(&self, arguments: &[&str]) -> Output {
        wtt(&self.url(), Path::new("."), arguments)
    }

    /// The same, in a folder.
    pub(crate) fn wtt_in(&self, folder: &Path, arguments: &[&str]) -> Output {
        wtt(&self.url(), folder, arguments)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Fails with everything that was printed when the exit code is another one.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Output {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }
}

pub(crate) fn wtt(server: &str, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wtt"));
    // The settings of whoever runs the tests are not part of them.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WTT_")) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .current_dir(folder)
        .env("WTT_SERVER", server)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command.spawn().unwrap(), arguments)
}

/// Waits for the end; reads both pipes meanwhile, so that neither fills up.
fn finish(mut child: Child, arguments: &[&str]) -> Output {
    let stdout = read(child.stdout.take().unwrap());
    let stderr = read(child.stderr.take().unwrap());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("wtt {arguments:?} did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Output {
        code: status.code().unwrap_or(-1),
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

fn read(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A transcription as the service shows it.
pub(crate) fn job(id: &str, state: &str) -> Value {
    json!({
        "id": id, "object": "transcription", "state": state, "created_at": "2026-11-23T20:00:00Z",
        "source": {"kind": "upload", "filename": "take3.flac", "bytes": 8_123_456, "media_type": "audio/flac",
                   "duration_seconds": 183.2, "sample_rate": 44100, "channels": 2},
        "model": "basic-pitch", "options": {},
        "progress": null, "attempt": 1, "worker": null, "error": null
    })
}

/// A refusal as the service writes it.
pub(crate) fn problem(status: u16, code: &str, title: &str, detail: &str) -> Response {
    let body = json!({"type": format!("/problems/{code}"), "title": title, "status": status, "code": code, "detail": detail});
    let status = StatusCode::from_u16(status).unwrap();
    (
        status,
        [(header::CONTENT_TYPE, "application/problem+json")],
        body.to_string(),
    )
        .into_response()
}

//! The service as two targets call it: the whole router in this process, on a database, a folder and a Redis of its own. Its loops do
//! not run: what comes out of the queue is carried into the database between two inputs, and nothing is fetched.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, StatusCode, Uri, header};
use clap::Parser;
use queue::testing::RedisServer;
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt;

use crate::ground::{Ground, OPERATOR};

/// More than an answer needs; also what a body may hold.
const MOST_BYTES: usize = 8 << 20;
/// For a body that ends.
const PATIENCE: Duration = Duration::from_secs(10);
/// An event stream never ends by itself: its first event is there at once.
const STREAM_PATIENCE: Duration = Duration::from_millis(10);
/// Accepted requests after which what they made is deleted: a long run must neither fill the disk nor slow down.
const MOST_MADE: usize = 200;
/// When signed addresses expire, in seconds since 1970.
const FAR_FUTURE: u64 = 4_000_000_000;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: api::Config,
}

/// What both the inputs and the ground under them send requests through.
pub struct Client {
    router: axum::Router,
    bound: api::Bound,
}

/// An answer whose body has been read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub kind: String,
    pub body: Bytes,
}

pub struct Service {
    runtime: Runtime,
    client: Client,
    /// Every path of the router.
    pub paths: Vec<String>,
    ground: Ground,
    /// An input may have changed what the ground promises.
    changed: bool,
    made: usize,
    _redis: RedisServer,
    _folder: tempfile::TempDir,
}

static SERVICE: LazyLock<Mutex<Service>> = LazyLock::new(|| Mutex::new(Service::start()));

/// The one service of this process, started by the first call.
pub fn get() -> MutexGuard<'static, Service> {
    SERVICE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// None: no HTTP client could send it.
pub fn request(
    method: Method,
    path: &str,
    credential: Option<&str>,
    content: Option<(&str, Vec<u8>)>,
) -> Option<Request<Body>> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(credential) = credential {
        request = request.header(header::AUTHORIZATION, format!("Bearer {credential}"));
    }
    let body = match content {
        Some((kind, bytes)) => {
            request = request.header(header::CONTENT_TYPE, kind);
            Body::from(bytes)
        }
        None => Body::empty(),
    };
    request.body(body).ok()
}

impl Client {
    pub fn state(&self) -> &api::state::AppState {
        self.bound.state()
    }

    /// The address of a file, as a job names it.
    pub fn signed(&self, id: &str, name: &str) -> String {
        self.bound.signed_path(id, name, FAR_FUTURE)
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await;
        let answer = answer.expect("the router cannot fail");
        let status = answer.status();
        let kind = answer.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.to_owned();
        let patience = if kind.starts_with("text/event-stream") {
            STREAM_PATIENCE
        } else {
            PATIENCE
        };
        let read = axum::body::to_bytes(answer.into_body(), MOST_BYTES);
        let body = tokio::time::timeout(patience, read).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        Answer { status, kind, body }
    }

    /// What the outbox loop of a running service does.
    pub async fn drain(&self) {
        let drained = api::loops::subscriber::drain(self.state().clone()).await;
        drained.expect("the outbox can be read");
    }
}

impl Answer {
    /// For people.
    pub fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }

    /// It must be ours: nothing that goes wrong is our fault, and each refusal has the shape that its route promises.
    fn judge(&self, method: &Method, uri: &Uri) {
        let what = || format!("{method} {uri}: {} as {:?}", self.text(), self.kind);
        // Database, objects and Redis are there, so nothing may be unavailable either.
        let failed = self.status.is_server_error() && self.status != StatusCode::NOT_IMPLEMENTED;
        assert!(!failed, "{}", what());
        let refused = self.status.is_client_error() || self.status.is_server_error();
        if !refused || *method == Method::HEAD {
            return;
        }
        let said: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let first = uri.path().trim_start_matches('/').split('/').next();
        if matches!(first, Some("transcribe" | "media")) {
            let alone = said.as_object().is_some_and(|said| said.len() == 1);
            let words = said["error"].as_str().is_some_and(|text| !text.is_empty());
            assert!(alone && words, "{}", what());
            assert_eq!(self.kind, "application/json", "{}", what());
        } else {
            assert!(said["code"].is_string(), "{}", what());
            assert_eq!(said["status"], self.status.as_u16(), "{}", what());
            assert_eq!(self.kind, "application/problem+json", "{}", what());
        }
    }
}

impl Service {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let redis = RedisServer::start();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let cli = Cli::parse_from([
            "fuzz".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            format!("--data-dir={}", folder.path().display()),
            format!("--redis-url={}", redis.url()),
            format!("--operator-key={OPERATOR}"),
            // Nobody works on what the inputs queue.
            "--max-queue-depth=0".to_owned(),
        ]);
        let bound = runtime.block_on(api::bind(cli.config));
        let bound = bound.expect("the service starts");
        let paths = bound.paths();
        let router = bound.router();
        let client = Client { router, bound };
        let ground = runtime.block_on(Ground::lay(&client));
        Self {
            runtime,
            client,
            paths,
            ground,
            changed: false,
            made: 0,
            _redis: redis,
            _folder: folder,
        }
    }

    /// What the next input may name, as it is promised.
    pub fn ready(&mut self) -> &Ground {
        if std::mem::take(&mut self.changed) {
            self.runtime.block_on(self.ground.mend(&self.client));
        }
        if self.made >= MOST_MADE {
            self.made = 0;
            self.runtime.block_on(self.ground.tidy(&self.client));
        }
        &self.ground
    }

    /// Sends one request and judges its answer.
    pub fn ask(&mut self, request: Request<Body>) -> Answer {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = self.runtime.block_on(self.client.send(request));
        answer.judge(&method, &uri);
        let taken = !method.is_safe() && answer.status.is_success();
        self.made += usize::from(taken);
        // A result that was taken has used the claim up, and a token may have been fenced.
        self.changed |= taken || answer.status == StatusCode::CONFLICT;
        answer
    }
}

//! The service as the targets call it: the whole router in this process, on a database and a folder of its own, without Redis.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use clap::Parser;
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// More than an answer needs; also what a body may hold.
const MOST_BYTES: usize = 8 << 20;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: api::Config,
}

pub struct Service {
    runtime: Runtime,
    router: axum::Router,
    /// Only one of the two targets looks into it; both must keep it.
    pub _bound: api::Bound,
    _folder: tempfile::TempDir,
}

pub static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    let data = folder.path().display();
    let cli = Cli::parse_from([
        "fuzz".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
        format!("--data-dir={data}"),
        format!("--redis-url=redis+unix://{data}/nobody.sock"),
    ]);
    let bound = runtime.block_on(api::bind(cli.config)).expect("the service starts");
    Service {
        router: bound.router(),
        runtime,
        _bound: bound,
        _folder: folder,
    }
});

/// Sends one request; the answer must be ours: no 500, and each refusal a problem with a code.
pub fn ask(request: Request<Body>) {
    let what = format!("{} {}", request.method(), request.uri());
    let seed = request.uri().path().starts_with("/transcribe") || request.uri().path().starts_with("/media");
    let head = request.method() == axum::http::Method::HEAD;
    let service = &*SERVICE;
    let (status, kind, body) = service.runtime.block_on(async {
        let answer = service.router.clone().oneshot(request).await.expect("the router cannot fail");
        let status = answer.status();
        let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
        // An event stream never ends by itself.
        let read = axum::body::to_bytes(answer.into_body(), MOST_BYTES);
        let body = tokio::time::timeout(std::time::Duration::from_millis(50), read).await;
        (status, kind, body.ok().and_then(Result::ok).unwrap_or_default())
    });
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{what}: {}", String::from_utf8_lossy(&body));
    if !status.is_client_error() && !status.is_server_error() || head || seed {
        return;
    }
    let kind = kind.and_then(|kind| kind.to_str().map(str::to_owned).ok()).unwrap_or_default();
    // Health answers in its own words.
    if kind.starts_with("application/problem+json") {
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem is JSON");
        assert!(problem["code"].is_string(), "{what}: {problem}");
        assert_eq!(problem["status"], status.as_u16(), "{what}: {problem}");
    } else {
        assert!(what.contains("ealth") || what.contains("ready") || what.contains("live"), "{what}: {status} as {kind:?}");
    }
}

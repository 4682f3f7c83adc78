//! What every answer knows of its request: id and path. A task-local, so that an error built far down carries both.
//! It opens the log span of the request; it must not look at bodies or credentials.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_ID: usize = 128;

#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    pub(crate) id: String,
    pub(crate) path: String,
}

tokio::task_local! {
    static CONTEXT: RequestContext;
}

/// The context of the request that is being answered; none outside of one (a spawned task, a test).
pub(crate) fn current() -> Option<RequestContext> {
    CONTEXT.try_with(Clone::clone).ok()
}

/// Middleware: takes the client's request id where it is sane, makes one where not, and sends it back.
pub(crate) async fn with_context(request: Request, next: Next) -> Response {
    let sent = request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let id = match sent {
        Some(id) if is_sane(id) => id.to_owned(),
        _ => uuid::Uuid::now_v7().to_string(),
    };
    let path = request.uri().path().to_owned();
    let span = tracing::info_span!("request", request.id = %id, http.method = %request.method(), http.path = %path);
    let header = HeaderValue::from_str(&id);
    let started = std::time::Instant::now();
    let mut response = CONTEXT
        .scope(RequestContext { id, path }, next.run(request))
        .instrument(span.clone())
        .await;
    let elapsed_ms = started.elapsed().as_millis();
    span.in_scope(|| {
        tracing::debug!(
            http.status = response.status().as_u16(),
            elapsed_ms,
            "answered"
        )
    });
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

fn is_sane(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(|byte| byte.is_ascii_graphic())
}

//! The routes of the first What's The Tab, for its clients: same paths, fields and status words, over the same handlers as
//! everything else. Ids are integers here, errors are `{"error": ...}`, and every path works with and without its last slash.

mod generate;
mod media;
mod metrics;
mod result;
mod status;
mod upload;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde_json::json;

use crate::db::{Row, State};
use crate::error::{ApiError, Code, Said};
use crate::extract::Json;
use crate::state::AppState;
use crate::transcriptions::MULTIPART_OVERHEAD_BYTES;

/// For clients, with an API key where there is one.
pub(crate) fn router(state: &AppState) -> Router<AppState> {
    let body = state
        .config
        .limits
        .max_upload_bytes
        .saturating_add(MULTIPART_OVERHEAD_BYTES);
    let body = DefaultBodyLimit::max(usize::try_from(body).unwrap_or(usize::MAX));
    let routes = [
        // The first system answered 400 to a GET here, and its runbook looks for that.
        (
            "/transcribe/upload",
            post(upload::upload)
                .layer(body)
                .fallback(upload::not_a_file),
        ),
        (
            "/transcribe/upload_from_yt",
            post(from_youtube).fallback(wrong_method),
        ),
        (
            "/transcribe/generate",
            post(generate::generate).fallback(wrong_method),
        ),
        (
            "/transcribe/status/{id}",
            get(status::status).fallback(wrong_method),
        ),
        (
            "/transcribe/midi/{id}",
            get(status::midi).fallback(wrong_method),
        ),
        (
            "/transcribe/download_midi/{id}",
            get(status::download_midi).fallback(wrong_method),
        ),
        (
            "/transcribe/metrics",
            get(metrics::metrics).fallback(wrong_method),
        ),
    ];
    with_and_without_slash(routes)
}

/// Without an API key: health, and what shows the token of a claim.
pub(crate) fn open_router(state: &AppState) -> Router<AppState> {
    let body = DefaultBodyLimit::max(crate::internal::body_limit(state));
    let routes = [
        (
            "/transcribe",
            get(async || Json(json!({ "status": "ok" }))).fallback(wrong_method),
        ),
        (
            "/transcribe/_result",
            post(result::receive).layer(body).fallback(wrong_method),
        ),
    ];
    with_and_without_slash(routes).route("/media/{*path}", get(media::send).fallback(wrong_method))
}

fn with_and_without_slash<const N: usize>(
    routes: [(&str, MethodRouter<AppState>); N],
) -> Router<AppState> {
    routes
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router
                .route(&format!("{path}/"), methods.clone())
                .route(path, methods)
        })
}

async fn from_youtube() -> SeedError {
    SeedError::new(
        Code::NotImplemented,
        "this server takes no YouTube links; upload the recording instead",
    )
}

async fn wrong_method() -> SeedError {
    SeedError::new(Code::MethodNotAllowed, "this method does not work here")
}

/// Middleware: whatever goes wrong below the first system's paths is said in its shape, be it in a handler, for want of a key,
/// or because there is nothing. Status and headers (Retry-After, WWW-Authenticate) stay those of the problem.
pub(crate) async fn speak_seed(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let mut parts = path.trim_start_matches('/').split('/');
    let is_seed = matches!(parts.next(), Some("transcribe" | "media"));
    let mut response = next.run(request).await;
    if !is_seed {
        return response;
    }
    if let Some(Said(detail)) = response.extensions_mut().remove::<Said>() {
        *response.body_mut() = json!({ "error": detail }).to_string().into();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
    }
    response
}

/// An error in the shape of the first system.
struct SeedError(ApiError);

impl SeedError {
    fn new(code: Code, detail: &str) -> Self {
        Self(ApiError::new(code, detail))
    }

    fn unknown() -> Self {
        Self::new(Code::TranscriptionUnknown, "AudioMIDI object not found")
    }

    /// Errors that the first system answered otherwise.
    fn with_status(self, status: StatusCode) -> Response {
        let mut response = self.into_response();
        *response.status_mut() = status;
        response
    }
}

impl<E: Into<ApiError>> From<E> for SeedError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for SeedError {
    fn into_response(self) -> Response {
        // `speak_seed` gives it its shape, as it does for what goes wrong in front of the handlers.
        self.0.into_response()
    }
}

/// The row behind an id of the first system (an integer) or of ours.
async fn find(state: &AppState, id: &str) -> Result<Row, SeedError> {
    let found = match id.parse::<i64>() {
        Ok(seed_id) => state.db.get_by_seed_id(seed_id).await?,
        Err(_) => None,
    };
    found.ok_or_else(SeedError::unknown)
}

/// The status words of the first system.
fn word(state: State) -> &'static str {
    match state {
        State::Created | State::Queued => "pending",
        State::Running => "processing",
        State::Succeeded => "completed",
        State::Failed | State::Cancelled | State::Expired => "failed",
    }
}

//! Every route and layer, grouped by who calls it. Which problem an error becomes is `error`'s business.

use std::any::Any;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::{RequestBodyDeadlineLayer, RequestBodyTimeoutLayer};

use crate::error::{ApiError, Code};
use crate::state::AppState;
use crate::{
    auth, context, events, health, index, internal, linger, metrics, models, operator, problems,
    seed, signed, transcriptions,
};

/// The public port.
pub(crate) fn router(state: AppState) -> Router {
    // People and programs with an API key.
    let keyed = Router::new()
        .merge(transcriptions::router(&state))
        .merge(events::router())
        .merge(models::router())
        .merge(seed::router(&state))
        .route_layer(from_fn_with_state(state.clone(), auth::require_key));
    // Probes; workers, who show a claim token; and what gives nothing away.
    let open = Router::new()
        .merge(index::router())
        .merge(problems::router())
        .merge(health::router())
        .merge(internal::router(&state))
        .merge(operator::router(&state))
        .merge(signed::router())
        .merge(seed::open_router(&state));
    layered(keyed.merge(open), state)
}

/// The admin port: metrics and health, never exposed through an ingress.
pub(crate) fn admin_router(state: AppState) -> Router {
    layered(
        Router::new()
            .merge(metrics::router())
            .merge(health::router()),
        state,
    )
}

fn layered(routes: Router<AppState>, state: AppState) -> Router {
    let deadline = state.config.body_deadline();
    let silence = state.config.body_silence();
    let json_bytes = state.config.limits.max_json_bytes;
    routes
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(json_bytes))
        .layer(from_fn(linger::read_to_the_end))
        .layer(RequestBodyTimeoutLayer::new(silence))
        .layer(RequestBodyDeadlineLayer::new(deadline))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(seed::speak_seed))
        .layer(from_fn(security_headers))
        .layer(from_fn_with_state(state.clone(), metrics::count_request))
        .layer(from_fn(context::with_context))
        .with_state(state)
}

/// Every path of the public port. The router keeps its list to itself, but prints it.
pub(crate) fn paths(state: &AppState) -> Vec<String> {
    let printed = format!("{:?}", router(state.clone()));
    let Some((_, mut rest)) = printed.split_once("paths: {") else {
        return Vec::new();
    };
    let mut paths = Vec::new();
    // `RouteId(0): "/a", RouteId(1): "/b"}`
    while let Some((_, quoted)) = rest.split_once('"') {
        let Some((path, behind)) = quoted.split_once('"') else {
            break;
        };
        paths.push(path.to_owned());
        if behind.starts_with('}') {
            break;
        }
        rest = behind;
    }
    paths
}

async fn nothing_here() -> ApiError {
    ApiError::new(
        Code::NotFound,
        "there is nothing at this address; `GET /` names the routes",
    )
}

async fn wrong_method(State(_): State<AppState>, request: Request) -> ApiError {
    let detail = format!(
        "{} does not work here; the header Allow names what does",
        request.method()
    );
    ApiError::new(Code::MethodNotAllowed, detail)
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let said = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let said = said
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    ApiError::internal(format!("a handler panicked: {said}")).into_response()
}

/// No sniffing, no framing, no referrer, no scripts, and no shared caching unless a handler says otherwise.
async fn security_headers(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 6] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; sandbox",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}
